"""The worker process of the effect tests: it kills itself at a call to its store, or around the moment in which it sends.

    python -m tests.worker.effectful

`QUEUE` names the queue it serves, `EFFECTS` the file that is the world outside. `KILL` is `verb:number:when`, of the calls to
the store that are about an effect or its job, or `send:1:before`, `send:1:after`. `WAIT` is a place in the handler (`ready`,
`send`) where it waits until the file of that name appears.
"""

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.dying import die, die_at, serve
from windlass.app import Windlass
from windlass.running.context import Context
from windlass.running.effects import SPACE
from windlass.store import open_store

app = Windlass(os.environ.get("WINDLASS_URL", "sqlite://:memory:"), namespace=os.environ.get("WINDLASS_NAMESPACE"))
KILL = os.environ.get("KILL", "")
LEASE = float(os.environ.get("LEASE", "1.0"))


def tell(what: str, key: str, ctx: Context) -> None:
    line = f"{what} {key} {ctx.lease} {os.getpid()} 0\n"
    file = os.open(os.environ["EFFECTS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)


def send(key: str, ctx: Context) -> str:
    """What happens outside."""
    if KILL == "send:1:before":
        die()
    tell("sent", key, ctx)
    if KILL == "send:1:after":
        die()
    return f"sent under lease {ctx.lease}"


def has_been_sent(key: str) -> str | None:
    """What the world answers who asks."""
    file = Path(os.environ["EFFECTS"])
    rows = [line.split() for line in file.read_text().split("\n")[:-1]] if file.exists() else []
    return next((f"sent under lease {row[2]}" for row in rows if row[:2] == ["sent", key]), None)


def wait_at(place: str, ctx: Context) -> None:
    if os.environ.get("WAIT") != place:
        return
    tell("at", place, ctx)
    while not Path(f"{os.environ['EFFECTS']}.{place}").exists():
        time.sleep(0.005)


@app.job(kind="hold", max_attempts=1, max_rescues=100)
async def hold(ctx: Context, key: str) -> Any:
    async with ctx.effect("hold", key, {"to": key}) as effect:
        if effect.done:
            return effect.result
        wait_at("ready", ctx)
        try:
            await effect.sending()
            wait_at("send", ctx)
            return await effect.finish(send(key, ctx))
        except BaseException:  # it may not write, or (if it heard of its lease first) may not go on
            tell("stopped", key, ctx)
            raise


@app.job(kind="look", max_attempts=1, max_rescues=100)
async def look(ctx: Context, key: str) -> Any:
    async def find(prepared: Any) -> Any:
        assert prepared == {"key": key}
        return has_been_sent(key)

    async with ctx.effect("look", key, in_doubt="lookup", lookup=find) as effect:
        if effect.done:
            return effect.result
        if effect.prepared is None:
            await effect.prepare({"key": key})
        await effect.sending()
        return await effect.finish(send(key, ctx))


@app.job(kind="look-in-thread", max_attempts=1, max_rescues=100)
def look_in_thread(ctx: Context, key: str) -> Any:
    with ctx.sync.effect("look", key, in_doubt="lookup", lookup=lambda _: has_been_sent(key)) as effect:
        if effect.done:
            return effect.result
        effect.prepare({"key": key})
        effect.sending()
        return effect.finish(send(key, ctx))


@app.job(kind="hold-in-process", runtime="process", max_attempts=1, max_rescues=100)
def hold_in_process(ctx: Context, key: str) -> Any:
    with ctx.sync.effect("hold", key, {"to": key}) as effect:
        if effect.done:
            return effect.result
        effect.sending()
        return effect.finish(send(key, ctx))


@app.job(kind="again", max_attempts=1, max_rescues=100)
async def again(ctx: Context, key: str) -> Any:
    """The world knows the key and does nothing twice."""
    async with ctx.effect("again", key, in_doubt="resend") as effect:
        if effect.done:
            return effect.result
        await effect.sending()
        return await effect.finish(has_been_sent(key) or send(key, ctx))


def is_about_the_effect(verb: str, given: tuple[Any, ...], answer: Any) -> bool:
    if verb == "claim":
        return bool(answer.jobs)
    if verb == "records":
        return given[0] == SPACE
    if verb == "exchange":
        return any(swap.space == SPACE for swap in given[0])
    if verb == "finish":  # not the verdict on a job that another killed worker left behind
        return any(not end.rescued for end in given[0])
    return True


def main() -> int:
    logging.basicConfig(level="ERROR", stream=sys.stderr)
    if KILL and not KILL.startswith("send"):
        die_at(type(open_store(app.url, app.namespace)), KILL, is_about_the_effect)
    return serve(app, LEASE)


if __name__ == "__main__":
    # The handlers of child processes are found by this module's real name.
    from tests.worker import effectful

    sys.exit(effectful.main())
