"""Error groups as people look at them."""

from collections.abc import Sequence

from windlass.cli.act import actor
from windlass.cli.meters import bars
from windlass.cli.options import Chosen, Form, Plain
from windlass.cli.show import ago, clean, clean_block, emit_facts, emit_json, emit_lines, emit_table, note
from windlass.cli.target import Target, on_app
from windlass.operate.errors import NO_ERROR, ErrorFacts


def emit_groups(groups: Sequence[ErrorFacts], form: Form) -> None:
    """Print groups in the form asked for."""
    if form is Form.JSON:
        emit_json({"items": groups, "next": None})
    elif form is Form.IDS:
        emit_lines(group.fingerprint or NO_ERROR for group in groups)
    elif not groups:
        note(f"no errors in {Chosen.store}")
    else:
        emit_table(
            ["group", "dead", "24 h", "last", "mark", "error"],
            [_row(group) for group in groups],
            right=("dead", "24 h"),
        )


def _row(group: ErrorFacts) -> list[str]:
    mark = "new" if group.is_new and group.mark == "open" else group.mark
    return [
        group.fingerprint or NO_ERROR,
        f"{group.letters:,}",
        f"{group.attempts:,}",
        ago(group.last),
        mark,
        clean(f"{group.type}: {group.message}" if group.type else group.message),
    ]


def emit_group(groups: Sequence[ErrorFacts], form: Plain) -> None:
    """Print groups closely."""
    if form is Plain.JSON:
        emit_json(groups)
        return
    for group in groups:
        emit_facts(
            [
                ("group", group.fingerprint or NO_ERROR),
                ("error", clean(f"{group.type}: {group.message}")),
                (
                    "category",
                    f"{group.category or '-'}; trying again {'may help' if group.can_retry else 'does not help'}",
                ),
                ("mark", group.mark + (f", by {clean(group.marked_by)}" if group.marked_by else "")),
                ("dead letters", f"{group.letters:,}"),
                (
                    "last 24 h",
                    f"{group.attempts:,} attempts failed, {group.failures:,} jobs gave up  {bars(group.trend)}",
                ),
                ("first seen", ago(group.first_seen) + (f", version {clean(group.version)}" if group.version else "")),
                ("last", ago(group.last)),
                ("kinds", clean(", ".join(group.kinds)) or "-"),
                ("queues", clean(", ".join(group.queues)) or "-"),
                ("sample", group.sample or "-"),
            ]
        )
        if group.trace:
            print("\n" + clean_block(group.trace))


def retry_groups(target: Target, groups: Sequence[str], per_second: float | None) -> None:
    """Run groups' letters again, at once or by a replay."""
    for group in groups:
        if per_second is None:
            acted = on_app(target, lambda app, group=group: app.errors.retry(group, actor=actor()))
            print(f"{group}: {len(acted.ids):,} will run again")
        else:
            ref = on_app(
                target, lambda app, group=group: app.errors.replay(group, per_second=per_second, actor=actor())
            )
            print(f"{group}: replay {ref.id}")
