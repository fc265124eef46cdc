"""`result_of(job)`: a parent's result as an argument. It is left out of the stored arguments and filled in before a run."""

from collections.abc import Mapping
from typing import Any, TypeVar, cast

import msgspec

from windlass.declare.signature import REST, Binder
from windlass.errors import InvalidArgs
from windlass.produce.ref import JobRef
from windlass.values.codec import encode
from windlass.values.job import NewJob

R = TypeVar("R")


class Promised:
    """Stands where the result will be."""

    __slots__ = ("id",)

    def __init__(self, id: str) -> None:
        self.id = id


def result_of(job: NewJob[R] | JobRef[R]) -> R:
    """The result of `job` as a whole argument of another job, which then runs after it: `b.job(path=result_of(a_job))`."""
    return cast(R, Promised(job.id))


def promises_in(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Whether an argument is a promised result."""
    return any(isinstance(value, Promised) for value in (*args, *kwargs.values()))


def bind_promises(
    binder: Binder, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: int
) -> tuple[str, dict[str, str]]:
    """The JSON object of a call without its promised results, and whose results they are: parameter -> job id."""
    given = binder.spread(args, kwargs)
    if any(isinstance(value, Promised) for value in given.get(REST, ())):
        raise InvalidArgs(
            f"{binder.kind}: result_of(...) stands among the *args, which have no name",
            field=REST,
            kind=binder.kind,
            mend="give the parameter a name of its own",
        )
    inputs = {name: value.id for name, value in given.items() if isinstance(value, Promised)}
    text = encode({name: value for name, value in given.items() if name not in inputs}, "", limit)
    binder.check_part(text, inputs)
    return text, inputs


def fill(args: str, results: Mapping[str, Any]) -> str:
    """Stored arguments with the results that were promised."""
    given = msgspec.json.decode(args, type=dict[str, msgspec.Raw])
    return msgspec.json.encode({**given, **results}).decode()
