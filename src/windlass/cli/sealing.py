"""What `windlass encryption` does: making keys, counting jobs by key."""

from datetime import UTC, datetime

import typer

from windlass.cli.options import Plain
from windlass.cli.show import emit_json, emit_table, note
from windlass.cli.target import Target, on_app
from windlass.secrecy import ring
from windlass.secrecy.door import Standing


def generate_key(id: str | None, form: Plain) -> None:
    """Print a key with its id."""
    id = f"{datetime.now(UTC):%Y-%m}" if id is None else id
    text = ring.generate_key()
    ring.Keys({id: text})  # refuses an id that does not fit
    if form is Plain.JSON:
        emit_json({"id": id, "key": text})
    else:
        print(f"{id}:{text}")
        note(
            "put it in front of WINDLASS_ENCRYPTION_KEYS on workers first, then on producers; keep it as safe as a password"
        )


def show_status(target: Target, form: Plain) -> None:
    """Print jobs by key."""
    standing = _standing(target)
    if form is Plain.JSON:
        emit_json(
            {
                "writes": standing.keys[0] if standing.keys else None,
                "keys": standing.keys,
                "live": standing.live,
                "ended": standing.ended,
                "missing": standing.unreadable,
            }
        )
    else:
        names = [*standing.keys, *standing.unreadable]
        rows = [
            [id, _role(id, standing), str(standing.live.get(id, 0)), str(standing.ended.get(id, 0))] for id in names
        ]
        if rows:
            emit_table(["key", "here", "live jobs", "ended jobs"], rows)
        else:
            note("no keys here, and no job is encrypted; `windlass encryption generate` makes a key")
    if standing.unreadable:
        raise typer.Exit(1)


def show_rotation(target: Target, form: Plain) -> None:
    """Print what still needs older keys; ends with 1 while anything does."""
    standing = _standing(target)
    older = {
        id: standing.live.get(id, 0) + standing.ended.get(id, 0)
        for id in (*standing.keys[1:], *standing.unreadable)
        if standing.live.get(id, 0) + standing.ended.get(id, 0)
    }
    if form is Plain.JSON:
        emit_json({"writes": standing.keys[0] if standing.keys else None, "older": older, "rewritten": 0})
    elif older:
        told = ", ".join(f"{id} ({count} jobs)" for id, count in older.items())
        print(f"still needed: {told}")
        note(
            "stored jobs are not encrypted again yet: no store can change a waiting job's arguments; keep these keys until the "
            "jobs have ended and were pruned"
        )
    else:
        print("nothing is encrypted with an older key")
    if older:
        raise typer.Exit(1)


def _role(id: str, standing: Standing) -> str:
    if id not in standing.keys:
        return "missing"
    return "writes" if id == standing.keys[0] else "reads"


def _standing(target: Target) -> Standing:
    return on_app(target, lambda app: app.secrecy.standing())
