"""JobRef: a stored job's name, which can be awaited, asked and cancelled."""

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

import msgspec

from windlass.errors import WindlassError
from windlass.values.clock import Duration

if TYPE_CHECKING:
    from windlass.values.job import Job

R_co = TypeVar("R_co", covariant=True)


class Door(Protocol):
    """What a reference asks of its app."""

    async def result_of(self, id: str, timeout: Duration | None = None) -> Any: ...

    async def job_of(self, id: str) -> "Job": ...

    async def cancel_job(self, id: str) -> bool: ...


class JobRef(msgspec.Struct, Generic[R_co], frozen=True, dict=True):
    """A stored job: `id`, `kind`, and `created`, False when `unique` found a holder and this names that one.

    A plain value for msgspec, pydantic and pickle, which drop its app: `app.ref(ref)` gives it one again.
    """

    id: str
    kind: str = ""
    created: bool = True

    @property
    def cached(self) -> bool:
        """Whether its kind's cache knew the result when it was enqueued: it is complete and never runs. Stays behind when the
        reference travels; `job.cached` tells it anywhere."""
        return bool(self.__dict__.get("cached", False))

    async def result(self, timeout: Duration | None = None) -> R_co:
        """What the handler returned. Raises `JobFailed`, `JobCancelled`, `JobNotFound`, or after `timeout` `ResultTimeout`."""
        return await self._door().result_of(self.id, timeout)

    async def job(self) -> "Job":
        """The job as it stands now; raises `JobNotFound`."""
        return await self._door().job_of(self.id)

    async def cancel(self) -> bool:
        """Cancel it, or ask its running handler to stop; False if it had ended already."""
        return await self._door().cancel_job(self.id)

    def _door(self) -> Door:
        door = self.__dict__.get("door")
        if door is None:
            raise WindlassError(f"this reference to job {self.id} belongs to no app; use app.ref(ref)", id=self.id)
        return cast(Door, door)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        # Called by pydantic only, so it is imported already.
        from pydantic_core import core_schema

        fields = core_schema.typed_dict_schema(
            {
                "id": core_schema.typed_dict_field(core_schema.str_schema()),
                "kind": core_schema.typed_dict_field(core_schema.str_schema(), required=False),
                "created": core_schema.typed_dict_field(core_schema.bool_schema(), required=False),
            }
        )
        return core_schema.union_schema(
            [
                core_schema.is_instance_schema(cls),
                core_schema.no_info_after_validator_function(lambda given: cls(**given), fields),
            ],
            serialization=core_schema.plain_serializer_function_ser_schema(msgspec.to_builtins, return_schema=fields),
        )


def make_ref(id: str, kind: str, created: bool, door: Door, cached: bool = False) -> JobRef[Any]:
    """A reference that knows its app. The app is not a field, so it is never compared, encoded or shown."""
    ref: JobRef[Any] = JobRef(id, kind, created)
    vars(ref)["door"] = door
    if cached:
        vars(ref)["cached"] = True
    return ref
