"""Unique keys: who holds one, who follows, and what becomes of it when a job leaves."""

from collections.abc import Sequence
from typing import NamedTuple

from windlass.store.sqlite.transaction import Tx, View, packed
from windlass.values.clock import Micros
from windlass.values.job import UniqueKey


class Holding(NamedTuple):
    """A key that is held now; the follower takes it when the holder leaves."""

    holder: str
    follower: str | None


def holding(view: View, key: str) -> Holding | None:
    """A holder whose time is over has left, whether or not anybody has noted it yet."""
    row = view.one("key_row", (key,))
    if row is None:
        return None
    holder, until, follower, follower_until = row
    if until is None or until > view.now:
        return Holding(holder, follower)
    if follower is not None and (follower_until is None or follower_until > view.now):
        return Holding(follower, None)
    return None


def key_holder(view: View, key: str) -> str | None:
    """The id of the job that holds a unique key now."""
    held = holding(view, key)
    return None if held is None else held.holder


def take(tx: Tx, unique: UniqueKey, id: str) -> None:
    tx.run("take_key", (unique.key, id, unique.until, _until(tx, unique)))


def take_again(tx: Tx, id: str, key: str | None, mode: str | None) -> str | None:
    """A requeued job holds its key as before; the id of another job that does, and then nothing is changed."""
    if key is None:
        return None
    holder = key_holder(tx, key)
    if holder is not None and holder != id:
        return holder
    if mode == "finished":
        tx.run("take_key", (key, id, mode, None))
    return None


def follow(tx: Tx, unique: UniqueKey, id: str) -> None:
    """Be next in line for a key that is held."""
    tx.run("lapse_keys", (tx.now,))
    tx.run("follow_key", (unique.key, id, unique.until, _until(tx, unique)))


def _until(tx: Tx, unique: UniqueKey) -> Micros | None:
    return None if unique.ttl is None else tx.now + unique.ttl


def free_keys(tx: Tx, ids: Sequence[str]) -> None:
    """These jobs have ended or are gone."""
    _leave(tx, ids, None)


def free_started(tx: Tx, ids: Sequence[str]) -> None:
    """These jobs were claimed: keys that are held until then are free."""
    _leave(tx, ids, "started")


def _leave(tx: Tx, ids: Sequence[str], mode: str | None) -> None:
    row = tx.one("any_key")
    if row is None or not row[0]:
        return
    names = packed(list(ids))
    if row[1]:
        if mode is None:
            tx.run("unfollow", (names,))
        tx.run("pass_keys", (names, mode))
    tx.run("free_keys", (names, mode))
