"""Unique keys as they are declared: `Unique`, and the two everyday forms of it, `debounce` and `throttle`."""

from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from typing import Any, Literal, TypeAlias, cast

import msgspec
from msgspec.structs import replace

from windlass.declare.refusal import refusal
from windlass.values.clock import Duration, Micros, micros
from windlass.values.job import UniqueKey
from windlass.values.queue import check_name

LONGEST_KEY = 500
_SHORTEST = 0.001

OnConflict: TypeAlias = Literal["existing", "skip", "replace", "rerun"]
_ANSWERS: tuple[OnConflict, ...] = ("existing", "skip", "replace", "rerun")


class Unique(msgspec.Struct, frozen=True, kw_only=True):
    """At most one job of this key at a time.

    The key is `key` (namespace-wide text) or the kind and its arguments `args` (None: all of them). Held `until` the job
    has "finished", is first "started", or for a duration whatever becomes of it. `on_conflict`: "existing" and "skip"
    answer with the holder (`created=False`); "replace" also gives a holder that has not started the new arguments;
    "rerun" does that too, and behind a holder that has started it puts one job that runs after it.

    `delay`: how long a job of the key waits before it may start, from the newest enqueue; `latest`: at most so long after
    the first one. `debounce` sets both.
    """

    args: tuple[str, ...] | None = None
    key: str | None = None
    until: Literal["finished", "started"] | Duration = "finished"
    on_conflict: OnConflict = "existing"
    delay: Duration | None = None
    latest: Duration | None = None


def debounce(
    wait: Duration,
    *,
    max_wait: Duration | None = None,
    args: Iterable[str] | str | None = None,
    key: str | None = None,
) -> Unique:
    """Run once things are quiet: each enqueue of the key puts the run off to `wait` from then, with the newest arguments, but
    not beyond `max_wait` after the first. `args`: the parameters that make the key (None: all), or `key`: fixed text."""
    return Unique(args=_names(args), key=key, until="started", on_conflict="replace", delay=wait, latest=max_wait)


def throttle(period: Duration, *, args: Iterable[str] | str | None = None, key: str | None = None) -> Unique:
    """Run at most once in `period`: the first job of the key runs at once, later ones of the period are skipped."""
    return Unique(args=_names(args), key=key, until=period, on_conflict="skip")


class UniqueRule(msgspec.Struct, frozen=True, omit_defaults=True):
    """A checked `Unique`: a fixed key, or the parameters whose values make it."""

    fixed: UniqueKey
    args: tuple[str, ...] | None
    by_args: bool
    delay: Micros | None = None

    def key_for(self, kind: str, values: Mapping[str, Any], hide: Callable[[str], str] | None = None) -> UniqueKey:
        """The key of one job; `values` are its arguments by parameter name, as JSON's plain values; `hide`:
        the hash that tells nothing of them to whoever has no key."""
        if not self.by_args:
            return self.fixed
        names = sorted(values) if self.args is None else self.args
        missing = [name for name in names if name not in values]
        if missing:
            mend = "name parameters of the handler in Unique(args=)"
            raise refusal("unique", missing[0], f"a parameter of {kind}", mend)
        text = msgspec.json.encode([values[name] for name in names], order="sorted")
        hashed = sha256(text).hexdigest()[:40] if hide is None else hide(text.decode())
        return replace(self.fixed, key=f"{kind}:{hashed}")


def read_unique(given: object) -> UniqueRule:
    """A checked unique declaration: text, or `Unique`."""
    if isinstance(given, str):
        given = Unique(key=given)
    if not isinstance(given, Unique):
        raise refusal("unique", given, "text or Unique(...)", "use unique='welcome:42'")
    if given.key is not None and given.args is not None:
        raise refusal("unique", given.key, "either key= or args=", "leave one of them out")
    until, ttl = _read_until(given.until)
    if given.on_conflict not in _ANSWERS:
        raise refusal("unique.on_conflict", given.on_conflict, "|".join(_ANSWERS), "use 'existing'")
    if given.on_conflict == "rerun" and until != "finished":
        why = "'rerun' runs once more after the run that goes on, so the key is held until that has finished"
        raise refusal("unique.until", given.until, "'finished' with on_conflict='rerun'", why)
    delay, latest = _read_waits(given)
    fixed = UniqueKey(
        key="" if given.key is None else _read_key(given.key),
        until=until,
        ttl=ttl,
        on_conflict=given.on_conflict,
        latest=latest,
    )
    return UniqueRule(fixed, _read_args(given.args), given.key is None, delay)


def _read_until(given: Any) -> tuple[Literal["finished", "started", "period"], Micros | None]:
    if given in ("finished", "started"):
        return given, None
    return "period", micros(given, "unique.until", minimum=_SHORTEST)


def _read_waits(given: Unique) -> tuple[Micros | None, Micros | None]:
    delay = None if given.delay is None else micros(given.delay, "unique.delay", minimum=_SHORTEST)
    latest = None if given.latest is None else micros(given.latest, "unique.latest", minimum=_SHORTEST)
    if latest is not None and given.on_conflict not in ("replace", "rerun"):
        raise refusal("unique.latest", given.latest, "given with on_conflict='replace' or 'rerun'", "leave it out")
    if latest is not None and delay is not None and latest < delay:
        raise refusal("unique.latest", given.latest, f"at least the delay, {given.delay!r}", "make it longer")
    return delay, latest


def _read_key(key: object) -> str:
    if isinstance(key, str) and 0 < len(key) <= LONGEST_KEY and "\x00" not in key and _is_unicode(key):
        return key
    raise refusal("unique", key, f"1..{LONGEST_KEY} characters of Unicode text", "shorten it, or use Unique(args=...)")


def _read_args(given: Any) -> tuple[str, ...] | None:
    names = _names(given)
    return None if names is None else tuple(check_name(name, "unique.args") for name in names)


def _names(given: Any) -> tuple[Any, ...] | None:
    if given is None or isinstance(given, str):
        return None if given is None else (given,)
    if isinstance(given, Iterable) and not isinstance(given, (bytes, Mapping)):
        return tuple(cast("Iterable[Any]", given))
    raise refusal("unique.args", cast(Any, given), "names of parameters", "use args=('to',)")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
