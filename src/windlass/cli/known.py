"""The kinds that apps and workers published."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from windlass.cli.complaint import StoreNotFound
from windlass.cli.options import Form
from windlass.cli.show import emit_json, emit_lines, emit_table, note
from windlass.cli.target import Target, on_app
from windlass.declare.kinds import KindInfo, Param

if TYPE_CHECKING:
    from windlass.app import Windlass


def gather(target: Target) -> list[KindInfo]:
    """The published kinds, by name; those of `-A` are published by opening it, and told as they are where no store is."""
    try:
        found = on_app(target, _published)
    except StoreNotFound:
        if target.app is None:
            raise
        found = target.load().kinds.described()
    return sorted(found, key=lambda info: info.name)


async def _published(app: "Windlass") -> list[KindInfo]:
    async with app:
        return await app.published_kinds()


def emit_kinds(infos: Sequence[KindInfo], form: Form) -> None:
    """Print kinds in the form asked for."""
    if form is Form.JSON:
        emit_json({"items": infos, "next": None})
    elif form is Form.IDS:
        emit_lines(info.name for info in infos)
    elif not infos:
        note("no kinds known yet; a worker publishes those of its app when it starts")
    else:
        emit_table(
            ["kind", "parameters", "queue", "runtime", "tries"],
            [
                [info.name, ", ".join(map(_param, info.params)), info.queue, info.runtime, str(info.max_attempts)]
                for info in infos
            ],
            right=("tries",),
        )


def _param(param: Param) -> str:
    star = {"rest": "*", "extra": "**"}.get(param.how, "")
    return f"{star}{param.name}" + ("" if param.required or star else "?")
