"""NamedHandler: a kind known by name only, resolved in the store when one of its jobs is enqueued."""

from collections.abc import Mapping
from typing import Any, Protocol

from windlass.declare.handler import Door, Handler, any_parameters
from windlass.declare.kinds import Kinds
from windlass.declare.options import declare
from windlass.declare.signature import Binder
from windlass.errors import UnknownKind
from windlass.produce.ref import JobRef
from windlass.values.job import NewJob


class NamingDoor(Door, Protocol):
    """What a named kind asks of its app."""

    kinds: Kinds

    async def find_kind(self, name: str) -> Handler[..., Any]: ...


class NamedHandler(Handler[..., Any]):
    """`app.kind("resize")` of an app that has no such handler. `options` are checked now, arguments once it is found."""

    def __init__(self, door: NamingDoor, name: str, given: tuple[Mapping[str, Any], ...] = ()) -> None:
        super().__init__(door, declare(name, ("async",), {"kind": name}), Binder(name, any_parameters()))
        self._finder = door
        self._given = given
        connections = [each["connection"] for each in given if each.get("connection") is not None]
        self.connection = connections[-1] if connections else None

    async def enqueue(self, *args: Any, **kwargs: Any) -> JobRef[Any]:
        return await (await self.found()).enqueue(*args, **kwargs)

    async def found(self) -> Handler[..., Any]:
        return self._apply(await self._finder.find_kind(self.kind))

    def job(self, *args: Any, **kwargs: Any) -> NewJob[Any]:
        """Raises `UnknownKind` until this app has learnt the kind: looking it up takes an await (`app.find_kind`)."""
        found = self._finder.kinds.here(self.kind)
        if found is None:
            raise self._unknown()
        return self._apply(found).job(*args, **kwargs)

    def _copy(self, options: Mapping[str, Any]) -> Handler[..., Any]:
        super()._copy(options)  # refuses at once what is wrong
        return NamedHandler(self._finder, self.kind, (*self._given, options))

    def _apply(self, found: Handler[..., Any]) -> Handler[..., Any]:
        for options in self._given:
            found = found.options(**options)
        return found

    def _unknown(self) -> UnknownKind:
        error = self._finder.kinds.unknown(self.kind)
        mend = f"await app.find_kind({self.kind!r}) first, or app.declare it"
        return UnknownKind(f"{error.message}; {mend}", **{**error.facts, "mend": mend})
