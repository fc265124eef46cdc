"""The trace context that a job carries from who enqueued it to its attempts."""

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from windlass.declare.options import run_text
from windlass.values.job import NewJob
from windlass.values.outcome import RunOptions

_RUN = msgspec.json.Decoder(RunOptions)


def carrying(job: Any, carrier: Mapping[str, str]) -> Any:
    """The job with this trace context instead of its own; what is no job (it is refused later) as it is."""
    if not carrier or not isinstance(job, NewJob):
        return job
    made = cast("NewJob[Any]", job)
    run = _RUN.decode(made.options) if made.options else RunOptions()
    return replace(made, options=run_text(replace(run, trace=dict(carrier))))


def carried(options: Mapping[str, Any]) -> dict[str, str]:
    """The trace context among the options of a job that was claimed; empty for none."""
    found: dict[str, str] = options.get("trace") or {}
    return found
