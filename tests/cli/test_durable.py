"""`windlass jobs signal`, and the steps that `jobs show` tells."""

from tests.cli.terminal import Shell

APP = """
from windlass import Context, Windlass

app = Windlass("sqlite:///orders.db")


@app.job
async def orders(ctx: Context, item: str) -> list[object]:
    reserved = await ctx.step("reserve", lambda: {"item": item})
    return [reserved, await ctx.wait_for("approval", timeout="1h")]
"""


def test_a_signal_from_the_shell(shell: Shell) -> None:
    (shell.folder / "orders.py").write_text(APP)
    a = ("-A", "orders")
    id = shell.ok("enqueue", *a, "orders", '{"item": "anvil"}').out.strip()
    shell.ok("worker", *a, "--until-idle")
    told = shell.ok("jobs", "show", *a, id).out
    assert "blocked (waits for approval)" in told
    assert 'reserve: {"item":"anvil"}' in told and "signal approval: until" in told
    assert shell.run("jobs", "signal", *a, id, "approval", "{not json").code == 2
    wrong = shell.ok("jobs", "signal", *a, id, "aproval")
    assert "kept until the job asks for it; now it waits for 'approval'" in wrong.err
    assert shell.ok("jobs", "signal", *a, id, "approval", '{"by": "ann"}', "-o", "json").json["delivery"] == "woken"
    shell.ok("worker", *a, "--until-idle")
    shown = shell.ok("jobs", "show", *a, id, "-o", "json").json
    assert shown["result"] == [{"item": "anvil"}, {"by": "ann"}]
    assert [(step["what"], step["name"], step["done"]) for step in shown["steps"]] == [
        ("step", "reserve", True),
        ("signal", "approval", True),
    ]
    assert any(entry["action"] == "signal" for entry in shown["audit"])
    late = shell.run("jobs", "signal", *a, id, "approval")
    assert late.code == 1 and "has ended" in late.err
    assert shell.run("jobs", "signal", *a, "nobody", "approval").code == 4
