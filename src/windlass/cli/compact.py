"""`windlass compact`: give free space in the store's files back to the disk."""

from typing import Annotated

import typer

from windlass.cli import options
from windlass.cli.options import Plain, single

app = single()


@app.command("compact")
def compact(
    force: Annotated[bool, typer.Option("--force", help="Also while workers run: their writes wait.")] = False,
    output: options.PlainOutput = Plain.TEXT,
    url: options.Url = None,
    app_ref: options.AppRef = None,
    namespace: options.Namespace = None,
) -> None:
    """Write a SQLite file anew without the space that deleted jobs left in it.

    It needs free disk for two copies of what stays, and nothing can be written meanwhile. Servers see to their space themselves.
    """
    from windlass.cli.compacting import compact_now
    from windlass.cli.show import emit_json, size
    from windlass.cli.target import Target

    done, before, after = compact_now(Target(url, app_ref, namespace), force)
    if output is Plain.JSON:
        emit_json({"compacted": done, "before": before, "after": after})
    elif done:
        print(f"{size(before)} before, {size(after)} now")
    else:
        print("nothing to do: this store's server sees to its space itself")
