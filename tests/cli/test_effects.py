"""`windlass effects`: a held effect is listed, shown and resolved; `windlass kinds catalogue`."""

import subprocess
import sys

import pytest

from tests.cli.terminal import Shell
from tests.store.places import a_file_and_a_server

A = ("-A", "till:app")

TILL = """
import asyncio, os
from windlass import Context, Windlass

app = Windlass(os.environ.get("WINDLASS_URL", "sqlite:///shop.db"))

@app.job(kind="pay", max_attempts=1)
async def pay(ctx: Context, order: str) -> str:
    async with ctx.effect("pay", order) as effect:
        if effect.done:
            return effect.result
        await effect.sending()
        if effect.sends == 0:
            raise TimeoutError("no answer")
        return await effect.finish("paid")

async def main():
    async with app:
        for order in ("a", "b"):
            await pay.enqueue(order)
        await app.drain()

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("engine", a_file_and_a_server(__name__), indirect=True)
def test_a_held_effect_is_listed_and_resolved(shell: Shell) -> None:
    (shell.folder / "till.py").write_text(TILL)
    run = [sys.executable, "till.py"]
    subprocess.run(run, cwd=shell.folder, env=shell.environment, check=True, timeout=60, stderr=subprocess.DEVNULL)
    assert shell.ok("effects", "ls", *A, "-o", "ids").lines == ["pay/a", "pay/b"]
    head, first, _ = shell.ok("effects", "ls", *A).lines
    assert head.split()[:3] == ["EFFECT", "STATE", "SINCE"] and first.split()[:2] == ["pay/a", "held"]
    assert "no answer" in first
    item = shell.ok("effects", "ls", *A, "-o", "json", "--name", "pay").json["items"][1]
    assert (item["effect"], item["state"], item["sends"], item["in_doubt"]) == ("pay/b", "held", 1, "hold")
    assert shell.ok("effects", "ls", *A, "--name", "mail", "-o", "ids").lines == []
    assert "held" in shell.ok("effects", "show", *A, "pay/a").out
    if "sqlite" in shell.environment.get("WINDLASS_URL", "sqlite"):
        shell.ok("migrate-engine", "--from", "sqlite:///shop.db", "--to", "sqlite:///moved.db")
        moved = shell.ok("effects", "ls", "--url", "sqlite:///moved.db", "-o", "json").json["items"]
        assert [(item["effect"], item["state"]) for item in moved] == [("pay/a", "held"), ("pay/b", "held")]

    told = shell.ok(
        "effects", "resolve", *A, "pay/a", "done", "--result", '"paid by hand"', "--note", "bank", "--retry"
    )
    assert "decided   done by cli:" in told.out and "bank" in told.out
    assert shell.ok("effects", "resolve", *A, "pay/b", "resend", "--retry", "-o", "json").json["state"] == "prepared"
    assert "no effect is held" in shell.ok("effects", "ls", *A).err
    shell.ok("worker", *A, "--until-idle")
    results = [job["result"] for job in shell.ok("jobs", "ls", *A, "-o", "json").json["items"]]
    assert sorted(results) == ["paid", "paid by hand"]

    assert shell.run("effects", "show", *A, "pay/c").code == 4
    assert shell.run("effects", "resolve", *A, "pay/a", "done").code == 2
    assert shell.run("effects", "resolve", *A, "pay/a", "perhaps").code == 2
    assert shell.run("effects", "resolve", *A, "pay/a", "done", "--result", "{").code == 2


def test_the_catalogue_says_what_is_missing(shell: Shell) -> None:
    found = {item["kind"]: item for item in shell.ok("kinds", "catalogue", "-o", "json").json["items"]}
    mail = found["send-email"]
    assert (mail["state"], mail["family"], mail["queue"]) == ("missing setting", "mail", "email-sending")
    assert [lack["name"] for lack in mail["lacks"]] == ["WINDLASS_EMAIL_FROM", "WINDLASS_SMTP_HOST"]
    shell.environment |= {"WINDLASS_EMAIL_FROM": "a@b.org", "SENDGRID_API_KEY": "key"}
    (shell.folder / "post.py").write_text(
        "from windlass import Windlass, catalogue\n"
        "from windlass.catalogue.settings import CatalogueSettings, MailSettings\n"
        "mail = MailSettings(sender='a@b.org', smtp_host='127.0.0.1', smtp_user='u')\n"
        "app = Windlass()\n"
        "catalogue.install(app, kinds=['send-email'], settings=CatalogueSettings(mail=mail))\n"
    )
    by_app = shell.ok("kinds", "catalogue", "-A", "post", "-o", "json").json["items"]
    assert {item["kind"]: item["state"] for item in by_app}["send-email"] == "ready"
    assert not list(shell.folder.glob("*.db"))
    rows = [line.split() for line in shell.ok("kinds", "catalogue").lines]
    assert ["send-email", "mail", "ready", "-"] in rows
    assert "windlass alerts standard" in shell.ok("kinds", "catalogue").err
    assert "windlass webhooks add" in shell.ok("kinds", "catalogue").err
    assert "send-email" in shell.ok("kinds", "catalogue", "-o", "ids").lines
