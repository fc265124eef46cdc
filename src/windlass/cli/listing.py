"""Listing jobs: pages followed up to a limit, printed as table, JSON or ids."""

from collections.abc import Callable
from typing import Any

from windlass.cli.options import Chosen, Form
from windlass.cli.show import ago, clean, emit_json, emit_lines, emit_table, note
from windlass.operate.search import read_search, scan
from windlass.secrecy.veil import shown_job
from windlass.store.protocol import Store
from windlass.values.job import Job
from windlass.values.query import Page, Where, check_cursor

MOST = 1_000


async def collect(store: Store, where: Where, limit: int, cursor: str | None) -> Page[Job]:
    """Up to `limit` matching jobs, newest first, and the cursor behind them."""
    cursor = check_cursor(cursor)
    items: list[Job] = []
    while len(items) < limit:
        page = await store.jobs(where, cursor, min(MOST, limit - len(items)))
        items += page.items
        cursor = page.next
        if cursor is None:
            break
    return Page(items, cursor)


async def find(store: Store, query: str | None, where: Where, limit: int, cursor: str | None) -> Page[Job]:
    """The same, of those that the filter language describes."""
    if query is None:
        return await collect(store, where, limit, cursor)
    search = read_search(query, await store.now(), where)
    items: list[Job] = []
    while len(items) < limit:
        page = await scan(store, search, cursor, min(MOST, limit - len(items)))
        items += page.items
        cursor = page.next
        if cursor is None:
            break
    return Page(items, cursor)


def emit_jobs(page: Page[Job], form: Form, rows: Callable[[Job], dict[str, str]], empty: str) -> None:
    """Print a page in the form asked for; remarks (nothing there, more to come) go to stderr."""
    if form is Form.JSON:
        emit_json({"items": [shown_job(job) for job in page.items], "next": page.next})
        return
    if form is Form.IDS:
        emit_lines(job.id for job in page.items)
        if page.next:
            note(f"more: --cursor {page.next}")
        return
    if not page.items:
        note(f"{empty} in {Chosen.store}")
        return
    table = [rows(job) for job in page.items]
    emit_table(list(table[0]), [list(row.values()) for row in table])
    if page.next:
        note(f"more: --cursor {page.next}")


def job_row(job: Job) -> dict[str, str]:
    """A job in `jobs ls`."""
    return {
        "id": job.id,
        "state": job.state.value,
        "kind": job.kind,
        "queue": job.queue,
        "try": f"{job.attempt}/{job.max_attempts}",
        "age": ago(job.created_at),
    }


def dead_row(job: Job) -> dict[str, str]:
    """A job in `dead ls`: what it died of."""
    return {"id": job.id, "died": ago(job.finished_at), "kind": job.kind, "why": why(job)}


def why(job: Job) -> str:
    """The error or reason of a job in one line."""
    if job.error is not None:
        return clean(f"{job.error.type}: {job.error.message}")
    return clean(job.reason or "")


def as_json(value: Any) -> str:
    """A value of a job as one line of JSON."""
    import msgspec

    return msgspec.json.encode(value, enc_hook=str).decode()
