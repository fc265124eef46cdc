"""`app.templates`: jobs by name, with arguments and options kept in the store, so that nobody has to know them by heart."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from windlass.declare.refusal import refusal
from windlass.errors import TemplateNotFound
from windlass.operate.audit import note_act
from windlass.operate.shelf import Shelf
from windlass.produce.ref import JobRef
from windlass.values.clock import moment
from windlass.values.queue import check_name

if TYPE_CHECKING:
    from windlass.app import Windlass

SPACE = "template"
_LARGEST = 64 << 10
_LONGEST = 500


class Template(msgspec.Struct, frozen=True, kw_only=True):
    """A job to be made by name. `args` are what a caller may replace, one by one; `options` those of `handler.options(...)`, as
    JSON has them. `version` grows with each change; jobs made from it carry the tag `template:<name>`."""

    name: str
    kind: str
    args: dict[str, Any] = {}
    options: dict[str, Any] = {}
    description: str = ""
    version: int = 1
    changed_at: datetime
    changed_by: str

    def filled(self, args: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of one job."""
        return {**self.args, **args}

    @property
    def tag(self) -> str:
        return f"template:{self.name}"


class Templates:
    """The templates of an installation."""

    def __init__(self, app: "Windlass") -> None:
        self._app = app
        self._shelf = Shelf(app.store, SPACE, Template)

    async def list(self) -> list[Template]:
        """Every template by name."""
        return sorted((await self._shelf.all()).values(), key=lambda each: each.name)

    async def get(self, name: str) -> Template:
        """A template; raises `TemplateNotFound`."""
        found = await self._shelf.get(check_name(name, "name"))
        if found is None:
            raise TemplateNotFound(f"there is no template {name!r}", name=name)
        return found

    async def put(
        self,
        name: str,
        kind: str,
        args: Mapping[str, Any] | None = None,
        *,
        description: str = "",
        actor: str = "app",
        **options: Any,
    ) -> Template:
        """Make or replace a template. Its kind has to be known, its options to be right; arguments are checked when a job is made
        of it, since some may be missing until then. Raises `UnknownKind`, `InvalidOption`."""
        check_name(name, "name")
        checked: Any = options
        (await self._app.find_kind(kind)).options(**checked)
        now = moment(await (await self._app.store()).now())
        made = Template(
            name=name,
            kind=kind,
            args=dict(args or {}),
            options=options,
            description=description,
            changed_at=now,
            changed_by=actor,
        )
        _check(made)
        if not await self._shelf.add(name, made):
            made = await self._shelf.change(name, lambda old: replace(made, version=old.version + 1)) or made
        await note_act(
            await self._app.store(), actor, "put-template", f"template:{name}", {"kind": kind, "version": made.version}
        )
        return made

    async def remove(self, name: str, *, actor: str = "app") -> None:
        """Forget a template; its jobs stay. Raises `TemplateNotFound`."""
        await self.get(name)
        await self._shelf.drop(name)
        await note_act(await self._app.store(), actor, "remove-template", f"template:{name}")

    async def enqueue(self, name: str, /, **args: Any) -> JobRef[Any]:
        """Make a job of a template; `args` replace its own. Raises `TemplateNotFound`, `InvalidArgs`."""
        found = await self.get(name)
        handler = await self._app.find_kind(found.kind)
        options: Any = {**found.options, "tags": (*found.options.get("tags", ()), found.tag)}
        return await handler.options(**options).enqueue(**found.filled(args))


def _check(template: Template) -> None:
    try:
        size = len(msgspec.json.encode((template.args, template.options)))
    except (TypeError, ValueError) as error:
        raise refusal("args", type(error).__name__, "what JSON can hold", str(error)) from None
    if size > _LARGEST:
        raise refusal("args", f"{size:,} bytes", f"{_LARGEST:,} bytes", "keep large values elsewhere") from None
    if not isinstance(template.description, str) or len(template.description) > _LONGEST:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise refusal("description", "too long", f"{_LONGEST} characters", "shorten it")
