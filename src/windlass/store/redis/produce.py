"""New jobs: one script for a call that fits, staged chunks and one commit for a call that does not."""

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from windlass.errors import BatchTooLarge, StoreUnavailable, UnknownParent
from windlass.store.protocol import MOST_ENQUEUED
from windlass.store.redis.codec import batch, id_bytes, id_text, need_id, plain_batch
from windlass.store.redis.connection import Link
from windlass.values.clock import Micros
from windlass.values.job import Enqueued, NewJob

CHUNK_JOBS, CHUNK_BYTES = 500, 1_000_000
_STAGING = 4
"""Chunks on their way to the stage at once."""


async def enqueue(link: Link, jobs: Sequence[NewJob[Any]]) -> list[Enqueued]:
    if not jobs:
        return []
    if len(jobs) > MOST_ENQUEUED:
        raise BatchTooLarge(
            f"{len(jobs)} jobs in one call; {MOST_ENQUEUED} are allowed", limit=MOST_ENQUEUED, mend="enqueue in parts"
        )
    chunks = list(_chunks(jobs))
    if len(chunks) == 1:
        return _answers(jobs, await insert(link, jobs))
    ordered, places = _parents_first(jobs)
    answers = await _staged(link, ordered, list(_chunks(ordered)) if ordered is not jobs else chunks)
    return answers if ordered is jobs else [answers[place] for place in places]


async def insert(link: Link, jobs: Sequence[NewJob[Any]], tx: str = "", chunk: int = 0) -> list[Any] | None:
    """The answers of one script, which stores `jobs` or (`tx`) a staged chunk of them: {position, holder, ...}; None when
    somebody else took the chunk."""
    blob, plain = (b"", False) if tx else plain_batch(jobs)
    word, *rest = await link.run("enqueue_plain" if plain else "enqueue", blob, tx, chunk)
    if word == b"unknown":
        raise unknown_parent(rest[0], parents_of(jobs))
    return rest[0] if word == b"ok" else None


def unknown_parent(id: bytes, names: Iterable[str]) -> UnknownParent:
    """The error for a parent that a script did not find, named as it was given (text that is no UUID was sent as zeros)."""
    parent = next((name for name in names if (id_bytes(name) or bytes(16)) == id), id_text(id))
    return UnknownParent(f"after= names {parent}, which does not exist", parent=parent)


def parents_of(jobs: Iterable[NewJob[Any]]) -> list[str]:
    return [edge.parent for job in jobs for edge in job.after]


def _answers(jobs: Sequence[NewJob[Any]], exceptions: list[Any] | None) -> list[Enqueued]:
    answers = [Enqueued(job.id) for job in jobs]
    for position, holder in zip(*[iter(exceptions or ())] * 2, strict=True):
        answers[position - 1] = Enqueued(id_text(holder), created=False)
    return answers


def _chunks(jobs: Sequence[NewJob[Any]]) -> Iterator[Sequence[NewJob[Any]]]:
    start, size = 0, 0
    for at, job in enumerate(jobs):
        weight = len(job.args) + len(job.options) + 18 * len(job.after) + len(job.answer or "")
        if at > start and (at - start >= CHUNK_JOBS or size + weight > CHUNK_BYTES):
            yield jobs[start:at]
            start, size = at, 0
        size += weight
    yield jobs[start:]


async def _staged(link: Link, jobs: Sequence[NewJob[Any]], chunks: Sequence[Sequence[NewJob[Any]]]) -> list[Enqueued]:
    """Until the commit nobody sees anything of the call. After it everything will be stored: by this loop, or if this
    process dies by anybody's `promote`."""
    tx = os.urandom(8).hex()
    own = {job.id for job in jobs} if any(job.after for job in jobs) else set[str]()
    try:
        await _stage(link, tx, chunks, own)
    except BaseException:
        await link.run("discard", tx)
        raise
    if not await link.run("commit", tx, len(chunks)):
        raise StoreUnavailable(f"{link.url}: the staged jobs were pruned before the commit", url=link.url)
    answers: list[Enqueued] = []
    for number, chunk in enumerate(chunks):
        found = await insert(link, chunk, tx, number)
        if found is None:
            found = await insert(link, chunk)
        answers += _answers(chunk, found)
    return answers


async def _stage(link: Link, tx: str, chunks: Sequence[Sequence[NewJob[Any]]], own: set[str]) -> None:
    under_way: set[asyncio.Task[None]] = set()
    try:
        for number, chunk in enumerate(chunks):
            task = asyncio.ensure_future(_stage_one(link, tx, number, chunk, own))
            under_way.add(task)
            if len(under_way) >= _STAGING:
                done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                for finished in done:
                    finished.result()
            else:
                await asyncio.sleep(0)  # let the chunk leave while the next one is packed
        await asyncio.gather(*under_way)
    finally:
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way)


async def _stage_one(link: Link, tx: str, number: int, chunk: Sequence[NewJob[Any]], own: set[str]) -> None:
    outside = [(job.id, edge.parent) for job in chunk for edge in job.after if edge.parent not in own]
    edges = b"".join(need_id(child) + (id_bytes(parent) or bytes(16)) for child, parent in outside)
    word, *rest = await link.run("stage", tx, number, batch(chunk), edges)
    if word == b"unknown":
        raise unknown_parent(rest[0], [parent for _, parent in outside])


def _parents_first(jobs: Sequence[NewJob[Any]]) -> tuple[Sequence[NewJob[Any]], list[int]]:
    """The jobs so that no chunk waits for a later one, and where each went. Nearly always they are so already."""
    position = {job.id: place for place, job in enumerate(jobs)}
    if all(position.get(edge.parent, -1) < place for place, job in enumerate(jobs) for edge in job.after):
        return jobs, []
    ordered: list[int] = []
    seen: set[int] = set()
    for start in range(len(jobs)):
        trail = [(start, False)]
        while trail:
            place, ready = trail.pop()
            if ready:
                ordered.append(place)
            elif place not in seen:
                seen.add(place)
                trail.append((place, True))
                trail += [(position[edge.parent], False) for edge in jobs[place].after if edge.parent in position]
    places = [0] * len(jobs)
    for new, old in enumerate(ordered):
        places[old] = new
    return [jobs[place] for place in ordered], places


async def fire(link: Link, key: str, due: Micros, next_due: Micros | None, job: NewJob[Any] | None) -> Enqueued | None:
    """A skipped fire answers with an empty id that was not created."""
    blob = b"" if job is None else batch([job])
    word, *rest = await link.run(
        "fire", key, due, "" if next_due is None else next_due, blob, "" if job is None else job.id
    )
    if word == b"lost":
        return None
    if word == b"unknown":
        raise unknown_parent(rest[0], parents_of([job] if job else ()))
    return Enqueued("", created=False) if job is None else _answers([job], rest[0])[0]
