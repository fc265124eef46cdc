"""What is kept of an exception: its class, a safe message, a bounded trace, its category and its fingerprint."""

import hashlib
import traceback
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from windlass.values.job import ErrorInfo

LONGEST_MESSAGE = 4_000
LONGEST_TRACE = 16_000


class Category(StrEnum):
    """What an error means for the job: try again, give up, wait for the limit to pass, suspect the provider, or (held) leave it
    to somebody who finds out whether it was done."""

    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    RATE_LIMIT = "rate-limit"
    PROVIDER = "provider"
    HELD = "held"


# `text in Category` raises TypeError before Python 3.12.
_CATEGORIES = frozenset(category.value for category in Category)

Rule: TypeAlias = Mapping[type[BaseException], Category | str] | Callable[[BaseException], Category | str | None]
"""A user's rule: by exception class (subclasses too, the nearest wins), or a function that may return None."""

# By name, so that pydantic's, jsonschema's and a user's own ValidationError are all recognised without importing them.
_PERMANENT = frozenset(
    {
        "ValidationError",
        "AuthenticationError",
        "AuthorizationError",
        "PermissionDenied",
        "PermissionError",
        "Forbidden",
        "Unauthorized",
        "NotFound",
        "NotFoundError",
        "FileNotFoundError",
        "TypeError",
        "NotImplementedError",
        "SerializationError",
        "EncodeError",
        "DecodeError",
        "JSONDecodeError",
        "UnicodeError",
        "InvalidArgs",
        "UnknownKind",
    }
)
_RATE_LIMIT = frozenset({"RateLimitError", "RateLimited", "TooManyRequests", "ThrottlingException"})


def classify(error: BaseException, rule: Rule | None = None) -> Category:
    """The category of an exception: the user's rule, else its own `category` or `retryable` attribute, else its HTTP
    status (`status_code`, `status`, also on `.response`), else its class name, else temporary."""
    for decide in (_by_rule, _by_attribute, _by_status, _by_name):
        found = decide(error, rule)
        if found is not None:
            return found
    return Category.TEMPORARY


def retry_after(error: BaseException) -> float | None:
    """Seconds that the error itself asks to wait: a `retry_after` attribute or a numeric Retry-After header."""
    headers = _look(_look(error, "response"), "headers")
    read = _look(headers, "get")
    asked: list[Callable[[], Any]] = [lambda: _look(error, "retry_after")]
    if callable(read):
        asked += [lambda: read("retry-after"), lambda: read("Retry-After")]
    for ask in asked:
        try:
            wait = float(ask())
        except Exception:  # nothing, a date, or headers that are not a mapping: the error does not say
            continue
        if 0 <= wait <= 30 * 86_400:
            return wait
    return None


def describe(error: BaseException, category: Category = Category.TEMPORARY, *, reason: str = "") -> ErrorInfo:
    """The `ErrorInfo` of an exception. Survives messages with NUL, lone surrogates, and a `__str__` that raises."""
    name = type(error).__name__
    return ErrorInfo(
        type=safe_text(name, 200),
        message=safe_text(message_of(error), LONGEST_MESSAGE),
        category=category,
        traceback=safe_text(_trace(error), LONGEST_TRACE),
        fingerprint=fingerprint(name, error.__traceback__),
        reason=reason,
    )


_LEFT_OUT = "\n... {} characters left out ...\n"


def safe_text(text: str, longest: int) -> str:
    """`text` as every store can keep it: NUL and lone surrogates escaped, cut in the middle when too long."""
    if "\x00" in text:
        text = text.replace("\x00", "\\x00")
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= longest:
        return text
    room = longest - len(_LEFT_OUT.format(len(text)))
    if room < 2:
        return text[:longest]
    head, tail = room - room // 2, room // 2
    return text[:head] + _LEFT_OUT.format(len(text) - room) + text[len(text) - tail :]


def is_text(text: str) -> bool:
    """Whether every store can be asked for `text`: it holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def fingerprint(name: str, trace: TracebackType | None) -> str:
    """Sixteen hex digits that equal failures share: the class and the frames' files and functions, without line numbers."""
    frames = [f"{Path(f.f_code.co_filename).name}:{f.f_code.co_qualname}" for f, _ in traceback.walk_tb(trace)]
    return hashlib.sha256("\n".join([name, *frames[-20:]]).encode("utf-8", "replace")).hexdigest()[:16]


def message_of(error: BaseException) -> str:
    """The text of an exception, or that it has none to give."""
    try:
        return str(error)
    except Exception as broken:
        return f"<{type(error).__name__} whose text cannot be made: {type(broken).__name__}>"


def _trace(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error, limit=-20))
    except Exception:
        return ""


def _by_rule(error: BaseException, rule: Rule | None) -> Category | None:
    if rule is None:
        return None
    found = rule(error) if callable(rule) else next((rule[cls] for cls in type(error).__mro__ if cls in rule), None)
    return None if found is None else Category(found)


def _by_attribute(error: BaseException, _: Any) -> Category | None:
    own = _look(error, "category")
    if isinstance(own, str) and own in _CATEGORIES:
        return Category(own)
    retryable = _look(error, "retryable")
    if isinstance(retryable, bool):
        return Category.TEMPORARY if retryable else Category.PERMANENT
    return None


def _by_status(error: BaseException, _: Any) -> Category | None:
    response = _look(error, "response")
    for holder in (error, response):
        for name in ("status_code", "status"):
            status = _look(holder, name)
            if isinstance(status, int):
                return _of_status(status)
    return None


def _look(holder: Any, name: str) -> Any:
    """An attribute of a foreign object; None if it has none, or if its property raises: judging must not fail."""
    try:
        return getattr(holder, name, None)
    except Exception:
        return None


def _of_status(status: int) -> Category | None:
    if status == 429:
        return Category.RATE_LIMIT
    if status in (408, 425) or status >= 500:
        return Category.PROVIDER if status >= 500 else Category.TEMPORARY
    return Category.PERMANENT if 400 <= status < 500 else None


def _by_name(error: BaseException, _: Any) -> Category | None:
    names = {cls.__name__ for cls in type(error).__mro__}
    if names & _RATE_LIMIT:
        return Category.RATE_LIMIT
    return Category.PERMANENT if names & _PERMANENT else None
