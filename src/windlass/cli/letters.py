"""Dead letters as people look at them, and acting on them through the app, which knows their kinds."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from windlass.cli.act import actor, confirm, tell_left
from windlass.cli.detail import emit_details, gather
from windlass.cli.listing import why
from windlass.cli.options import Chosen, Form, Plain
from windlass.cli.show import ago, clean, emit_facts, emit_json, emit_lines, emit_table, note, span
from windlass.cli.target import Target, on_app
from windlass.errors import InvalidOption
from windlass.operate.dead_letters import DeadLetter, LetterFilter
from windlass.operate.letter_stats import LetterStats
from windlass.operate.views import Acted
from windlass.values.clock import micros
from windlass.values.query import Page

if TYPE_CHECKING:
    from windlass.app import Windlass

_MOST = 1_000


def letter_filter(**given: Any) -> LetterFilter:
    """What was given of a filter."""
    found: Any = {name: value for name, value in given.items() if value not in (None, (), [])}
    return found


async def collect(app: "Windlass", filters: LetterFilter, limit: int, cursor: str | None) -> Page[DeadLetter]:
    """Up to `limit` matching letters and the cursor behind them."""
    items: list[DeadLetter] = []
    while len(items) < limit:
        page = await app.dead_letters.list(limit=min(_MOST, limit - len(items)), cursor=cursor, **filters)
        items += page.items
        cursor = page.next
        if cursor is None:
            break
    return Page(items, cursor)


def emit_letters(page: Page[DeadLetter], form: Form) -> None:
    """Print letters in the form asked for."""
    if form is Form.JSON:
        emit_json({"items": [as_plain(letter) for letter in page.items], "next": page.next})
        return
    if form is Form.IDS:
        emit_lines(letter.job.id for letter in page.items)
    elif not page.items:
        note(f"no dead letters in {Chosen.store}")
    else:
        told = any(letter.archived or letter.next_retry_at for letter in page.items)
        rows = [_row(letter, told) for letter in page.items]
        emit_table(list(rows[0]), [list(row.values()) for row in rows])
    if page.next:
        note(f"more: --cursor {page.next}")


def as_plain(letter: DeadLetter) -> dict[str, Any]:
    """A letter as JSON: the job's own fields, and what there is beside."""
    job: dict[str, Any] = msgspec.structs.asdict(letter.job)
    rest: dict[str, Any] = {
        name: getattr(letter, name) for name in ("can_retry", "next_retry_at", "archived", "policy")
    }
    return job | rest


def _row(letter: DeadLetter, told: bool) -> dict[str, str]:
    """`told`: whether any letter of the page comes back by itself or is archived."""
    job = letter.job
    again = "archived" if letter.archived else ago(letter.next_retry_at) if letter.next_retry_at else "-"
    facts = {"id": job.id, "died": ago(job.finished_at), "kind": job.kind}
    return {**facts, **({"again": again} if told else {}), "why": why(job)}


def show(target: Target, ids: Sequence[str], form: Plain) -> None:
    """Everything about letters."""

    async def ask(app: "Windlass") -> None:
        letters = [await app.dead_letters.get(id) for id in ids]
        if form is Plain.JSON:
            emit_json([as_plain(letter) for letter in letters])
            return
        for letter, detail in zip(letters, await gather(await app.store(), ids), strict=True):
            emit_details([detail], [letter.job.id], Form.TABLE)
            print()
            emit_facts(_judgement(letter))

    on_app(target, ask)


def _judgement(letter: DeadLetter) -> list[tuple[str, str]]:
    policy = letter.policy
    ladder = ", ".join(span(wait) for wait in policy.dead_retries)
    later = f"then automatic retries after {ladder}" if ladder else "no automatic retries"
    facts = [
        ("may help", "yes, trying it again may help" if letter.can_retry else "no: it fails for good"),
        ("attempts", f"{policy.max_attempts} at most, {later}"),
    ]
    if letter.next_retry_at is not None:
        facts.append(("again", f"by itself {ago(letter.next_retry_at)}"))
    if letter.archived:
        facts.append(("archived", "too old to be tried again by itself"))
    return facts


def emit_stats(stats: LetterStats, form: Plain) -> None:
    """Print statistics."""
    if form is Plain.JSON:
        emit_json(stats)
        return
    about = "" if stats.exact else " (estimated from the newest)"
    emit_facts(
        [
            ("dead letters", f"{stats.total:,}"),
            ("may help", f"{stats.retryable:,} to try again, {stats.permanent:,} not{about}"),
            ("scheduled", f"{stats.scheduled:,}"),
            ("archived", f"{stats.archived:,}"),
            ("failed", f"{ago(stats.oldest)} to {ago(stats.newest)}" if stats.oldest else "-"),
        ]
    )
    if stats.queues:
        print()
        emit_table(["queue", "dead"], [[name, f"{n:,}"] for name, n in stats.queues.items()], right=("dead",))
    if stats.groups:
        print()
        rows = [
            [each.fingerprint or "none", f"{each.n:,}", "yes" if each.can_retry else "no", clean(each.type) or "-"]
            for each in stats.groups[:20]
        ]
        emit_table(["group", "dead", "may help", "error"], rows, right=("dead",))


def requeue_edited(target: Target, id: str, args: str | None, max_attempts: int | None, form: Form) -> None:
    """Run one letter again with other arguments."""
    given = None if args is None else read_args(args)

    async def run(app: "Windlass") -> Acted:
        acted = await app.dead_letters.requeue(id, args=given, max_attempts=max_attempts, actor=actor())
        await tell_left(await app.store(), acted.ids, target.flags)
        return acted

    acted = on_app(target, run)
    if form is Form.JSON:
        emit_json({"done": acted.ids, "refused": acted.refused})
    elif form is Form.IDS:
        emit_lines(acted.ids)
    else:
        print(f"{len(acted.ids)} job will run again" if acted.ids else "nothing was changed")
    if acted.refused:
        for name, reason in acted.refused.items():
            note(f"{name}: {clean(reason)}")
        raise typer.Exit(1)


def read_args(text: str) -> Mapping[str, Any]:
    """Arguments as typed: a JSON object."""
    try:
        found = msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise InvalidOption(f"--args is no JSON: {error}", field="args", value=text[:100], mend="quote it") from None
    if not isinstance(found, dict):
        raise InvalidOption("--args must be an object", field="args", value=text[:100], mend="""write '{"to": "a"}'""")
    return found  # pyright: ignore[reportUnknownVariableType]


def replay(target: Target, filters: LetterFilter, per_second: float | None, form: Plain) -> None:
    """Start a replay; workers carry it out."""
    ref = on_app(target, lambda app: app.dead_letters.replay(per_second=per_second, actor=actor(), **filters))
    if form is Plain.JSON:
        emit_json({"id": ref.id})
        return
    print(ref.id)
    note(f"workers run it again letter by letter: windlass jobs show{target.flags} {ref.id}")


def archive(target: Target, older_than: str, form: Plain) -> None:
    """Archive old letters."""
    micros(older_than, "older_than")
    before = on_app(target, lambda app: app.dead_letters.archive(older_than=older_than, actor=actor()))
    if form is Plain.JSON:
        emit_json({"before": before})
    else:
        print(f"what failed before {before:%Y-%m-%d %H:%M} UTC is archived")


def purge_old(target: Target, filters: LetterFilter, older_than: str, yes: bool, form: Form) -> None:
    """Delete letters by age."""
    micros(older_than, "older_than")
    confirm(f"remove every dead letter older than {older_than} for good", yes)
    acted = on_app(target, lambda app: app.dead_letters.purge(older_than=older_than, actor=actor(), **filters))
    if form is Form.JSON:
        emit_json({"done": acted.ids})
    elif form is Form.IDS:
        emit_lines(acted.ids)
    else:
        print(f"{len(acted.ids):,} jobs removed")
