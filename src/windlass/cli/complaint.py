"""Errors as exit codes and one clear line on stderr (or, with `-o json`, one object)."""

import os
import sys
import traceback

import msgspec

from windlass.cli.options import Chosen
from windlass.cli.show import clean
from windlass.errors import (
    AlertRuleNotFound,
    ChannelNotFound,
    EffectNotFound,
    ErrorGroupNotFound,
    InvalidArgs,
    InvalidOption,
    JobNotFound,
    ScheduleError,
    ScheduleNotFound,
    SettingsError,
    StoreReadOnly,
    StoreUnavailable,
    TemplateNotFound,
    UnknownKind,
    UnknownParent,
    WebhookNotFound,
    WindlassError,
)

OK, FAILURE, USAGE, NOT_ALLOWED, NOT_FOUND, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


class QueueNotFound(WindlassError, LookupError):
    """A command names a queue that was never used."""

    code = "queue-not-found"


class LimitNotFound(WindlassError, LookupError):
    """A command names a key of which no limit is known."""

    code = "limit-not-found"


class StoreNotFound(WindlassError, LookupError):
    """A command needs a store that somebody has used, and there is none."""

    code = "store-not-found"


class ProviderNotFound(WindlassError, LookupError):
    """A command names a provider that nobody called."""

    code = "provider-not-found"


class KeyNotFound(WindlassError, LookupError):
    """A command names an API key that there is not."""

    code = "key-not-found"


_CODES: tuple[tuple[type[WindlassError], int], ...] = (
    (ErrorGroupNotFound, NOT_FOUND),
    (StoreUnavailable, UNREACHABLE),
    (StoreReadOnly, NOT_ALLOWED),
    (AlertRuleNotFound, NOT_FOUND),
    (ChannelNotFound, NOT_FOUND),
    (WebhookNotFound, NOT_FOUND),
    (TemplateNotFound, NOT_FOUND),
    (EffectNotFound, NOT_FOUND),
    (JobNotFound, NOT_FOUND),
    (QueueNotFound, NOT_FOUND),
    (LimitNotFound, NOT_FOUND),
    (StoreNotFound, NOT_FOUND),
    (KeyNotFound, NOT_FOUND),
    (ProviderNotFound, NOT_FOUND),
    (ScheduleNotFound, NOT_FOUND),
    (ScheduleError, USAGE),
    (SettingsError, USAGE),
    (InvalidOption, USAGE),
    (InvalidArgs, USAGE),
    (UnknownKind, USAGE),
    (UnknownParent, USAGE),
)


def complain(error: BaseException) -> int:
    """Print `error`; its exit code. What is not a `WindlassError` is a fault in a program and keeps its traceback."""
    if not isinstance(error, WindlassError) or os.environ.get("WINDLASS_DEBUG"):
        traceback.print_exception(error)
    if not isinstance(error, WindlassError):
        return FAILURE
    code = next((code for kind, code in _CODES if isinstance(error, kind)), FAILURE)
    print(_object(error, code) if Chosen.json else line(error), file=sys.stderr)
    return code


def _object(error: WindlassError, code: int) -> str:
    return msgspec.json.encode({**error.as_dict(), "exit": code}, enc_hook=str).decode()


def line(error: WindlassError) -> str:
    """`error[code]: message; mend`."""
    mend = error.facts.get("mend")
    if isinstance(error, UnknownKind):  # its own mend is for programs
        mend = (
            "" if error.facts.get("suggestions") else "`windlass kinds ls` lists those that apps and workers published"
        )
    if mend and error.message.endswith(f": {mend}"):  # refusals say it already
        mend = ""
    return clean(f"error[{error.code}]: {error.message}" + (f"; {mend}" if mend else ""))
