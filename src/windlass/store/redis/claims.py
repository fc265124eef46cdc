"""Claims out of the rows that the scripts answer: a job's two records, of which a claim tells a part."""

import struct
from collections.abc import Container, Sequence
from typing import Any

import msgspec

from windlass.store.redis.codec import (
    BOUNDS,
    CANCELLING,
    CHILD,
    EXPIRES,
    LINED,
    RUNTIME_OF,
    UNIQUE,
    WHO,
    id_text,
    number_of,
    read_names,
    read_state,
    read_who,
)
from windlass.store.redis.payload import RICH
from windlass.values.clock import Micros
from windlass.values.job import Claim

_LENGTH = struct.Struct(">I").unpack_from
_CLAIMED = struct.Struct(">23xQ14xHH").unpack_from
"""The instant it was due (and a byte before it), attempt and rescues; the offsets are those of STATE in prelude.lua."""
_SEVEN_BYTES = (1 << 56) - 1
_decode = msgspec.msgpack.Decoder().decode
_PLAIN, _USUAL = 3 | RICH, 3 | RICH | CHILD | WHO
"""Flags of records that a claim reads without looking at each part."""


def claim_of(row: Sequence[Any], lease: int, granted: Micros, rated: Container[bytes] = ()) -> Claim:
    """The claim of a row (id, record, state before or empty, order); `granted` 0: the state's own start."""
    id: bytes = row[0]
    c: bytes = row[1]
    m: bytes = row[2]
    flags = c[8]
    if flags & ~_USUAL or (m and (m[2] or not granted)):
        return _rich_claim(id_text(id), c, m, lease, granted, id in rated)
    if m or flags & ~_PLAIN:
        return _usual_claim(id_text(id), c, m, lease, granted)
    kind_at = 12 + c[11]
    at = kind_at + 1 + c[kind_at]
    queue, kind = read_names(c[11:at])
    args, options, tags = _decode(c[at:]) if flags & RICH else (c[at:].decode(), "", ())
    created = number_of(c[:7])
    return Claim(  # above 15 arguments Python makes a dict of them first, half a microsecond
        id=id_text(id),
        lease=lease,
        kind=kind,
        queue=queue,
        args=args,
        attempt=1,
        max_attempts=c[9] << 8 | c[10],
        priority=c[7] - 100,
        runtime=RUNTIME_OF[flags & 3],
        options=options,
        rescues=0,
        created_at=created,
        ready_at=created,
        claimed_at=granted,
        tags=tuple(tags),
    )


def _usual_claim(id: str, c: bytes, m: bytes, lease: int, granted: Micros) -> Claim:
    """Of a job with parents or a user, or one that was blocked, delayed or tried before."""
    flags = c[8]
    kind_at = 12 + c[11]
    at = kind_at + 1 + c[kind_at]
    queue, kind = read_names(c[11:at])
    if flags & CHILD:  # the ids of parents alone may be thousands of bytes
        at += 4 + _LENGTH(c, at)[0]
    user = project = group = workflow = name = None
    if flags & WHO:
        end = at + 4 + _LENGTH(c, at)[0]
        user, project, group, workflow, name = read_who(c[at + 4 : end])
        at = end
    args, options, tags = _decode(c[at:]) if flags & RICH else (c[at:].decode(), "", ())
    created = ready = number_of(c[:7])
    attempt = rescues = 0
    if m:
        ready, attempt, rescues = _CLAIMED(m)
        ready &= _SEVEN_BYTES
    return Claim(
        id=id,
        lease=lease,
        kind=kind,
        queue=queue,
        args=args,
        attempt=1 + attempt,
        max_attempts=c[9] << 8 | c[10],
        priority=c[7] - 100,
        runtime=RUNTIME_OF[flags & 3],
        options=options,
        rescues=rescues,
        created_at=created,
        ready_at=ready,
        claimed_at=granted,
        user=user,
        project=project,
        group=group,
        workflow=workflow,
        name=name,
        tags=tuple(tags),
    )


def _rich_claim(id: str, c: bytes, m: bytes, lease: int, granted: Micros, rated: bool) -> Claim:
    """Steps over what a claim does not tell."""
    flags = c[8]
    kind_at = 12 + c[11]
    at = kind_at + 1 + c[kind_at]
    queue, kind = read_names(c[11:at])
    expires: Micros | None = None
    if flags & EXPIRES:
        expires = number_of(c[at : at + 7])
        at += 7
    if flags & CHILD:
        at += 4 + _LENGTH(c, at)[0]
    if flags & UNIQUE:
        at += 3 + (c[at + 1] << 8 | c[at + 2])
    if flags & BOUNDS:
        at += 4 + _LENGTH(c, at)[0]
    user = project = group = workflow = name = None
    if flags & WHO:
        n = _LENGTH(c, at)[0]
        user, project, group, workflow, name = read_who(c[at + 4 : at + 4 + n])
        at += 4 + n
    args, options, tags = _decode(c[at:]) if flags & RICH else (c[at:].decode(), "", ())
    created = number_of(c[:7])
    ready, started, attempt, rescues, marks = created, 0, 0, 0, 0
    if m:  # the offsets are those of STATE in prelude.lua
        ready, started, marks = number_of(m[24:31]), number_of(m[31:38]), m[2]
        attempt, rescues = m[45] << 8 | m[46], m[47] << 8 | m[48]
    return Claim(
        id=id,
        lease=lease,
        kind=kind,
        queue=queue,
        args=args,
        attempt=1 + attempt,
        max_attempts=c[9] << 8 | c[10],
        priority=c[7] - 100,
        runtime=RUNTIME_OF[flags & 3],
        options=options,
        rescues=rescues,
        created_at=created,
        ready_at=ready,
        claimed_at=granted or started or created,
        expires_at=expires if not m or m[1] & EXPIRES else None,
        user=user,
        project=project,
        group=group,
        workflow=workflow,
        name=name,
        tags=tuple(tags),
        cancelling=bool(marks & CANCELLING),
        limited=bool(marks & LINED) and len(_decode(read_state(m).line)) > 3,
        rated=rated,
    )
