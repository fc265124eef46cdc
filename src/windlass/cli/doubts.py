"""Effects as people look at them, and deciding about those in doubt."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from windlass.cli.options import Chosen, Form, Plain
from windlass.cli.show import ago, clean, emit_json, emit_lines, emit_table, note
from windlass.errors import InvalidOption
from windlass.operate.effects import Decision, EffectInfo

if TYPE_CHECKING:
    from windlass.app import Windlass


def decide(
    name: str, outcome: str, result: str | None, why: str, actor: str, *, retry: bool
) -> "Callable[[Windlass], Awaitable[EffectInfo]]":
    """What resolves an effect, and runs its job again if that is wanted."""
    value = None if result is None else _value(result)

    async def act(app: "Windlass") -> EffectInfo:
        info = await app.effects.resolve(name, cast("Decision", outcome), actor=actor, result=value, note=why)
        if retry and not await app.jobs.requeue(ids=[info.job], actor=actor):
            note(f"job {info.job} is not one that can be retried")
        return info

    return act


def emit_effects(infos: Sequence[EffectInfo], form: Form) -> None:
    """Print effects in the form asked for."""
    if form is Form.JSON:
        emit_json({"items": infos, "next": None})
    elif form is Form.IDS:
        emit_lines(info.effect for info in infos)
    elif not infos:
        note(f"no effect is held or doubtful in {Chosen.store}")
    else:
        emit_table(
            ["effect", "state", "since", "sends", "job", "why"],
            [[info.effect, info.state, ago(info.at), str(info.sends), info.job, info.why] for info in infos],
            right=("sends",),
            keep=("job",),
        )


def emit_effect(info: EffectInfo, form: Plain) -> None:
    """Print one effect."""
    if form is Plain.JSON:
        emit_json(info)
        return
    facts: list[tuple[str, Any]] = [
        ("effect", info.effect),
        ("state", info.state),
        ("in doubt", info.in_doubt),
        ("kind", info.kind),
        ("job", info.job),
        ("changed", ago(info.at)),
        ("sends", info.sends),
        ("prepared", _text(info.prepared)),
        ("result", _text(info.result)),
        ("why", info.why),
    ]
    emit_lines(f"{name:9} {clean(str(value))}" for name, value in facts if value not in (None, ""))
    emit_lines(f"{'decided':9} {act.did} by {clean(act.actor)}: {clean(act.note or '-')}" for act in info.acts)


def _text(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def _value(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidOption(
            f"--result is no JSON: {error}", field="result", value=text[:100], limit="JSON", mend="quote it: '\"paid\"'"
        ) from error
