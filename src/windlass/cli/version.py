"""`windlass version`: what is installed."""

from windlass.cli import options
from windlass.cli.options import Plain, single

app = single()


@app.command("version")
def version(output: options.PlainOutput = Plain.TEXT) -> None:
    """Versions of Windlass, Python and the engines' drivers."""
    from windlass.cli.machine import versions
    from windlass.cli.show import emit_facts, emit_json

    found = versions()
    if output is Plain.JSON:
        emit_json(found)
    else:
        emit_facts((name, value or "not installed") for name, value in found.items())
