"""Handing a signal to a job from the command line."""

import sys
from typing import Any

import msgspec
import typer

from windlass.cli.act import actor
from windlass.cli.options import Plain
from windlass.cli.show import emit_json, note
from windlass.cli.target import Target, with_store
from windlass.errors import InvalidArgs
from windlass.operate.views import Jobs
from windlass.store.protocol import Store
from windlass.values.lease import Delivery

_SAID = {
    Delivery.WOKEN: "the job goes on",
    Delivery.KEPT: "kept until the job asks for it",
    Delivery.OVER: "the job has ended; nobody will hear it",
}


def read_data(text: str) -> Any:
    """The signal's data; `-` reads them from stdin. `InvalidArgs` for what is no JSON."""
    try:
        return msgspec.json.decode(sys.stdin.read() if text == "-" else text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise InvalidArgs(
            f"the data are not JSON: {error}", field="data", mend="""quote them: '{"by": "ann"}', or '"text"'"""
        ) from None


def hand(target: Target, id: str, name: str, data: Any, form: Plain) -> None:
    """Hand it over and say what became of it; exit code 1 when the job has ended."""

    async def act(store: Store) -> tuple[Delivery, str]:
        async def opened() -> Store:
            return store

        jobs = Jobs(opened)
        delivery = await jobs.signal(id, name, data, actor=actor())
        if delivery is not Delivery.KEPT:
            return delivery, ""
        # A misspelt name would be kept as well, so say what the job waits for.
        waiting = (step for step in await jobs.steps(id) if step.what == "signal" and not step.done)
        return delivery, next((f"; now it waits for {step.name!r}" for step in waiting), "")

    delivery, waits = with_store(target, act)
    if form is Plain.JSON:
        emit_json({"id": id, "signal": name, "delivery": str(delivery)})
    else:
        note(_SAID[delivery] + waits)
    if delivery is Delivery.OVER:
        raise typer.Exit(1)
