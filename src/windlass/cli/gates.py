"""Breakers as people look at them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from windlass.cli.complaint import ProviderNotFound
from windlass.cli.options import Chosen, Form
from windlass.cli.show import ago, clean, emit_json, emit_lines, emit_table, note
from windlass.declare.suggest import did_you_mean
from windlass.providers.breakers import BreakerInfo
from windlass.values.queue import check_name

if TYPE_CHECKING:
    from windlass.app import Windlass

T = TypeVar("T")


async def on_each(names: Sequence[str], act: Callable[[str], Awaitable[T]]) -> list[T]:
    """One after the other."""
    return [await act(name) for name in names]


async def reset_known(app: "Windlass", names: Sequence[str], actor: str) -> list[BreakerInfo]:
    """Close breakers, none of them if one is of a provider that nobody knows: a misspelt name would close nothing."""
    known = [info.name for info in await app.breakers.list()]
    for name in names:
        if check_name(name, "provider") not in known:
            raise ProviderNotFound(
                f"no call of a provider {name!r} is known{did_you_mean(name, known)}",
                provider=name,
                mend="`windlass breakers ls` lists them",
            )
    return await on_each(names, lambda name: app.breakers.reset(name, actor=actor))


def emit_breakers(infos: Sequence[BreakerInfo], form: Form) -> None:
    """Print breakers in the form asked for."""
    if form is Form.JSON:
        emit_json({"items": infos, "next": None})
    elif form is Form.IDS:
        emit_lines(info.name for info in infos)
    elif not infos:
        note(f"no provider was called lately in {Chosen.store}")
    else:
        emit_table(
            ["provider", "state", "opens", "calls", "failed", "in a row", "jobs wait", "last failure"],
            [_row(info) for info in infos],
            right=("calls", "failed", "in a row"),
        )


def _row(info: BreakerInfo) -> list[str]:
    return [
        info.name,
        info.state if info.state != "closed" or info.opens_at is None else "rate-limited",
        ago(info.opens_at),
        str(info.calls),
        str(info.failures),
        str(info.in_a_row),
        "yes" if info.waiting else "no",
        clean(info.error),
    ]
