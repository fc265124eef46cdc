"""Running foreign programs for a job: a session of their own, limits, a time limit, and no life after the worker's."""

from windlass.catalogue.confined.running import (
    Done,
    Limits,
    ProgramFailed,
    ProgramHung,
    ProgramMissing,
    ProgramTooBig,
    run,
    script,
)

__all__ = ["Done", "Limits", "ProgramFailed", "ProgramHung", "ProgramMissing", "ProgramTooBig", "run", "script"]
