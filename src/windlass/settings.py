"""Settings: read once, frozen. Arguments win over the environment, that over a file, that over defaults."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, cast
from urllib.parse import quote, unquote

import msgspec

from windlass.declare.suggest import did_you_mean, similar
from windlass.errors import InvalidOption, SettingsError
from windlass.outbound import Outbound, read_networks
from windlass.secrecy.ring import Keys
from windlass.values.clock import Duration, micros, seconds
from windlass.values.query import Retention
from windlass.values.queue import check_name

DEFAULT_URL = "sqlite:///windlass.db"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every setting of an app. Durations are seconds; sizes are bytes; None for `keep_*` keeps for ever. `keep_*_count`: at
    most so many of each queue, whatever their age. `archive_failed`: when dead letters leave automatic retry. `app_version`: the
    version of your own code, for errors that are new since it. `currency`: what prices and costs are in."""

    url: str = DEFAULT_URL
    namespace: str = "windlass"
    unknown_kinds: Literal["refuse", "accept"] = "refuse"
    args_limit: int = 1 << 20
    result_limit: int = 1 << 20
    concurrency: int = 100
    threads: int = 32
    processes: int | None = None
    lease: float = 30.0
    grace: float = 30.0
    keep_completed: float | None = 86_400.0
    keep_failed: float | None = 90 * 86_400.0
    keep_cancelled: float | None = 7 * 86_400.0
    keep_completed_count: int | None = None
    keep_failed_count: int | None = None
    keep_logs: float | None = 7 * 86_400.0
    keep_results: float | None = None
    keep_metrics: float | None = 7 * 86_400.0
    keep_audit: float | None = 90 * 86_400.0
    keep_history: float | None = 30 * 86_400.0
    keep_history_count: int | None = 100_000
    archive_failed: float | None = 30 * 86_400.0
    app_version: str | None = None
    currency: str = "USD"
    maintenance: bool = True
    encryption_keys: Keys | None = None
    webhook_networks: tuple[str, ...] = ()
    """Networks inside (`10.1.0.0/16`) to which webhooks may be sent."""
    smtp_url: str = ""
    """How alerts are mailed: `smtp://user:password@host:587`, or `smtps://`."""
    smtp_from: str = ""

    @property
    def retention(self) -> Retention:
        """How long final jobs stay, as the store wants it."""
        return Retention(
            completed=_optional_micros(self.keep_completed),
            failed=_optional_micros(self.keep_failed),
            cancelled=_optional_micros(self.keep_cancelled),
            keep_completed=self.keep_completed_count,
            keep_failed=self.keep_failed_count,
            logs=_optional_micros(self.keep_logs),
            results=_optional_micros(self.keep_results),
            archive=_optional_micros(self.archive_failed),
            metrics=_optional_micros(self.keep_metrics),
            audit=_optional_micros(self.keep_audit),
            history=_optional_micros(self.keep_history),
            keep_history=self.keep_history_count,
        )


class SettingFlags(TypedDict, total=False):
    """Settings as `Windlass(...)` takes them; None leaves a setting to the environment."""

    unknown_kinds: Literal["refuse", "accept"] | None
    args_limit: int | str | None
    result_limit: int | str | None
    concurrency: int | None
    threads: int | None
    processes: int | None
    lease: Duration | None
    grace: Duration | None
    keep_completed: Duration | Literal["forever"] | None
    keep_failed: Duration | Literal["forever"] | None
    keep_cancelled: Duration | Literal["forever"] | None
    keep_completed_count: int | None
    keep_failed_count: int | None
    keep_logs: Duration | Literal["forever"] | None
    keep_results: Duration | Literal["forever"] | None
    keep_metrics: Duration | Literal["forever"] | None
    keep_audit: Duration | Literal["forever"] | None
    keep_history: Duration | Literal["forever"] | None
    keep_history_count: int | Literal["all"] | None
    archive_failed: Duration | Literal["forever"] | None
    app_version: str | None
    currency: str | None
    maintenance: bool | None
    encryption_keys: Keys | str | None
    webhook_networks: Sequence[str] | str | None
    smtp_url: str | None
    smtp_from: str | None


def load_settings(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """The settings of this process; raises `SettingsError` naming an unknown key or a value that does not fit."""
    environment = os.environ if environment is None else environment
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    _refuse_unknown(given, "argument")
    found = {**_from_file(folder or Path.cwd()), **_from_environment(environment), **given}
    values: dict[str, Any] = {}
    for name, value in found.items():
        try:
            values[name] = _READERS[name](value, name)
        except InvalidOption as error:
            raise SettingsError(f"setting {error.message}", **error.facts) from error
    return Settings(**values)


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """`WINDLASS_<NAME>`. Other variables of that prefix belong to the command line and are left alone, unless they look
    like a misspelt setting."""
    found: dict[str, Any] = {}
    for variable, text in environment.items():
        name = variable.removeprefix("WINDLASS_").lower()
        if not variable.startswith("WINDLASS_") or not text:
            continue
        if name in _READERS:
            found[name] = text
        elif similar(name, _READERS, cutoff=0.85):
            _refuse_unknown({name: text}, "variable WINDLASS_")
    if "url" not in found:
        url = _redis_url(environment)
        if url:
            found["url"] = url
    return found


def _redis_url(environment: Mapping[str, str]) -> str | None:
    """The founding documents' variables. Only a host counts: container platforms set REDIS_PORT on their own."""
    password = environment.get("REDIS_PASSWORD")
    url = environment.get("REDIS_URL")
    if url:
        return url if password is None else _with_password(url, password)
    host = environment.get("REDIS_HOST")
    if not host:
        return None
    port = environment.get("REDIS_PORT") or "6379"
    database = environment.get("REDIS_DB") or "0"
    for name, text in (("REDIS_PORT", port), ("REDIS_DB", database)):
        if not text.isdigit():
            raise SettingsError(f"{name} is {text!r}; it must be a number", field=name, value=text, limit="0..65535")
    login = f":{quote(password, safe='')}@" if password else ""
    return f"redis://{login}{host}:{port}/{database}"


def _with_password(url: str, password: str) -> str:
    """The address with a password, unless it has one."""
    scheme, found, rest = url.partition("://")
    if not found or not password:
        return url
    before, at, place = rest.rpartition("@")
    if ":" in before:
        return url
    return f"{scheme}://{before}:{quote(password, safe='')}@{place if at else rest}"


def _from_file(folder: Path) -> dict[str, Any]:
    """`windlass.toml`, else `[tool.windlass]` of `pyproject.toml`, in the nearest folder upwards that has one of them."""
    for place in (folder, *folder.parents):
        own, project = place / "windlass.toml", place / "pyproject.toml"
        if own.is_file():
            return _checked(_toml(own), own)
        if project.is_file():
            tool = _toml(project).get("tool", {})
            return _checked(tool.get("windlass", {}), project)
    return {}


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file} cannot be read: {error}", field=str(file)) from error


def _checked(found: Any, file: Path) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise SettingsError(f"{file}: [tool.windlass] must be a table", field=str(file))
    given = cast("dict[str, Any]", found)
    _refuse_unknown(given, f"key in {file}:")
    url = given.get("url")
    return given if not isinstance(url, str) else {**given, "url": _beside(file, url.strip())}


def _beside(file: Path, url: str) -> str:
    """A relative SQLite file of a settings file lies beside that: whoever starts below its folder means the same store."""
    scheme, _, rest = url.partition(":///")
    path, mark, options = rest.partition("?")
    if scheme.lower() != "sqlite" or path in ("", ":memory:") or Path(unquote(path)).is_absolute():
        return url
    place = str(file.parent.absolute() / unquote(path))
    return f"sqlite:///{place.replace('%', '%25').replace('?', '%3F')}{mark}{options}"


def _refuse_unknown(given: Mapping[str, Any], where: str) -> None:
    for name in given:
        if name not in _READERS:
            spelt = f"{where}{name.upper()}" if where.endswith("_") else f"{where} {name!r}"
            raise SettingsError(
                f"unknown setting: {spelt}{did_you_mean(name, _READERS)}",
                field=name,
                limit=sorted(_READERS),
                mend="remove or correct it",
            )


def _read_url(value: Any, name: str) -> str:
    if isinstance(value, str) and value.strip():
        return value.strip()
    raise _bad(name, value, "the address of a store", "use sqlite:///jobs.db")


def _read_count(least: int) -> Any:
    def read(value: Any, name: str) -> int:
        number = int(value) if isinstance(value, str) and value.strip().isdigit() else value
        if isinstance(number, int) and not isinstance(number, bool) and least <= number <= 100_000:
            return number
        raise _bad(name, value, f"a whole number from {least} to 100000", "correct it")

    return read


def _read_lease(value: Any, name: str) -> float:
    return seconds(_number(value), name, minimum=1.0)


def _read_duration(value: Any, name: str) -> float:
    return seconds(_number(value), name)


def _read_keep(value: Any, name: str) -> float | None:
    return None if value == "forever" else seconds(_number(value), name)


def _read_most(value: Any, name: str) -> int | None:
    number = int(value) if isinstance(value, str) and value.strip().isdigit() else value
    if number == "all":
        return None
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number <= 10_000_000:
        return number
    raise _bad(name, value, "a whole number from 0 to 10000000, or 'all'", "correct it")


def _number(value: Any) -> Any:
    """Variables are text: `WINDLASS_LEASE=30` means seconds as the number does."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


_SIZES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "kb": 1_000, "mb": 1_000_000}


def _read_size(value: Any, name: str) -> int:
    number = value
    if isinstance(value, str):
        digits = value.strip().rstrip("KMBikmb ").strip()
        unit = value.strip()[len(digits) :].strip().lower()
        number = int(digits) * _SIZES[unit] if digits.isdigit() and unit in _SIZES else None
    if isinstance(number, int) and not isinstance(number, bool) and 1_024 <= number <= 256 << 20:
        return number
    raise _bad(name, value, "a size from 1 KiB to 256 MiB", "use '1MiB' or a number of bytes")


def _read_unknown(value: Any, name: str) -> str:
    if value in ("refuse", "accept"):
        return value
    raise _bad(name, value, "refuse|accept", "use 'refuse'")


def _read_switch(value: Any, name: str) -> bool:
    known = {"on": True, "off": False, "true": True, "false": False, "yes": True, "no": False, "1": True, "0": False}
    found = value if isinstance(value, bool) else known.get(str(value).strip().lower())
    if found is None:
        raise _bad(name, value, "on|off", "use 'off'")
    return found


def _read_currency(value: Any, name: str) -> str:
    if isinstance(value, str) and len(value) == 3 and value.isascii() and value.isalpha():
        return value.upper()
    raise _bad(name, value, "a currency of three letters", "use 'USD'")


def _read_keys(value: Any, name: str) -> Keys:
    return value if isinstance(value, Keys) else Keys(value)


def _read_text(value: Any, name: str) -> str:
    if isinstance(value, str) and value.isprintable():
        return value.strip()
    raise _bad(name, type(value), "text on one line", "correct it")


def _read_networks(value: Any, name: str) -> tuple[str, ...]:
    if isinstance(value, (str, list, tuple)):
        texts = read_networks(cast("Sequence[str] | str", value))
        Outbound(texts)  # refuses what is no network
        return texts
    raise _bad(name, value, "networks such as 10.1.0.0/16", "separate them by commas")


def _bad(field: str, value: Any, limit: str, mend: str) -> InvalidOption:
    shown = repr(value)[:100]
    return InvalidOption(f"{field} is {shown}; it must be {limit}", field=field, value=shown, limit=limit, mend=mend)


def _optional_micros(value: float | None) -> int | None:
    return None if value is None else micros(value)


_READERS: Mapping[str, Any] = {
    "url": _read_url,
    "namespace": check_name,
    "unknown_kinds": _read_unknown,
    "args_limit": _read_size,
    "result_limit": _read_size,
    "concurrency": _read_count(1),
    "threads": _read_count(1),
    "processes": _read_count(0),
    "lease": _read_lease,
    "grace": _read_duration,
    "keep_completed": _read_keep,
    "keep_failed": _read_keep,
    "keep_cancelled": _read_keep,
    "keep_completed_count": _read_count(0),
    "keep_failed_count": _read_count(0),
    "keep_logs": _read_keep,
    "keep_results": _read_keep,
    "keep_metrics": _read_keep,
    "keep_audit": _read_keep,
    "keep_history": _read_keep,
    "keep_history_count": _read_most,
    "archive_failed": _read_keep,
    "app_version": check_name,
    "currency": _read_currency,
    "maintenance": _read_switch,
    "encryption_keys": _read_keys,
    "webhook_networks": _read_networks,
    "smtp_url": _read_text,
    "smtp_from": _read_text,
}
