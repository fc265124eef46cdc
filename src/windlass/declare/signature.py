"""A handler's parameters: which one is the context, what types they have, and binding a call to one JSON object."""

import inspect
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from functools import partial
from types import SimpleNamespace
from typing import Any, cast, get_type_hints

import msgspec
from msgspec import UNSET
from msgspec.structs import astuple

from windlass.errors import InvalidArgs, InvalidOption
from windlass.secrecy.marks import hides
from windlass.values.codec import MEBIBYTE, complaint, convert, decoder, encode

Parameters = Sequence[inspect.Parameter]
Bound = tuple[tuple[Any, ...], dict[str, Any]]

REST = "*"
"""The key under which `*args` are kept; no parameter can have this name."""

_ANY = inspect.Parameter.empty
_ONE_BY_ONE = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
_QUOTED = re.compile(r"'([^']+)'")


def read_parameters(fn: Callable[..., Any]) -> tuple[list[inspect.Parameter], bool]:
    """A function's parameters without the context, and whether it takes one."""
    parameters = list(inspect.signature(fn).parameters.values())
    if parameters and _is_context(parameters[0], getattr(fn, "__globals__", {})):
        return parameters[1:], True
    return parameters, False


def _is_context(parameter: inspect.Parameter, names: Mapping[str, Any]) -> bool:
    """Annotated with windlass's Context (also as text, also when imported for type checkers only), or a bare `ctx`."""
    hint = parameter.annotation
    if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY):
        return False
    if hint is _ANY:
        return parameter.name == "ctx"
    if isinstance(hint, str):
        path = hint.strip("'\" ").split(".")
        if path[-1] != "Context":
            return False
        found = names.get(path[0], _ANY)
        for name in path[1:]:
            found = getattr(found, name, _ANY)
        if found is _ANY:
            return True
        hint = found
    return getattr(hint, "__name__", "") == "Context" and str(getattr(hint, "__module__", "")).startswith("windlass.")


def read_hints(fn: Callable[..., Any]) -> dict[str, Any]:
    """The types of parameters and `return`, each by itself: a name that cannot be resolved leaves that one untyped."""
    inner = inspect.unwrap(fn)
    while isinstance(inner, partial):
        inner = inner.func
    if not hasattr(inner, "__globals__"):  # an object that is called like a function
        inner = getattr(type(inner).__call__, "__func__", type(inner).__call__)
    raw: Mapping[str, Any] = getattr(inner, "__annotations__", {})
    names = getattr(inner, "__globals__", {})
    hints: dict[str, Any] = {}
    for name, hint in raw.items():
        holder = SimpleNamespace(__annotations__={name: hint})
        try:
            hints[name] = get_type_hints(holder, names, include_extras=True)[name]
        except (NameError, AttributeError, TypeError, SyntaxError):
            hints[name] = Any
    return hints


class Binder:
    """Turns calls of one kind into JSON objects by parameter name, and back into the call.

    A generated struct binds like the signature, in C, and its typed decoder both checks at enqueue and rebuilds in the
    worker. It is built at first use, when every class that annotations name exists.
    """

    def __init__(
        self,
        kind: str,
        parameters: Parameters,
        hints: Callable[[], Mapping[str, Any]] = dict,
        secrets: tuple[str, ...] | None = None,
    ) -> None:
        self.kind = kind
        self.parameters = tuple(parameters)
        self._hints = hints
        self._signature = inspect.Signature([p.replace(annotation=_ANY) for p in self.parameters])
        self._plain = all(p.kind in _ONE_BY_ONE and not p.name.startswith("__") for p in self.parameters)
        self._shape: _Shape | None = None
        self.secrets: tuple[str, ...] | None = secrets
        """The names of the arguments that are `Secret`; None until the types have been read."""

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: int = MEBIBYTE) -> str:
        """The JSON object of a call. Raises `InvalidArgs` naming the argument, `TooLarge`."""
        shape = self._shape or self._build()
        if self._plain:
            try:
                made = shape.make(*args, **kwargs)
            except TypeError as error:
                raise self._misfit(args, kwargs, error) from None
        else:
            made = self.spread(args, kwargs)
        try:
            text = encode(made, "", limit)
            shape.read(text)
        except InvalidArgs as refused:
            raise type(refused)(
                f"{self.kind}: {refused.message}", **refused.facts, kind=self.kind
            ) from refused.__cause__
        except (ValueError, TypeError, RecursionError) as error:
            raise self._refusal(error) from error
        return text

    def values(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The call's values by parameter name, defaults included."""
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise self._misfit(args, kwargs, error) from None
        bound.apply_defaults()
        return dict(bound.arguments)

    def decode(self, text: str) -> Bound:
        """Positional and keyword values for the function (without its context); raises `InvalidArgs`."""
        shape = self._shape or self._build()
        try:
            made, extra = shape.read(text)
        except (ValueError, TypeError, RecursionError) as error:
            loose = self._loose(text)
            if loose is None:
                raise self._refusal(error) from error
            made, extra = shape.read(loose)
        if self._plain and not shape.gaps:
            values = astuple(made)
            split = shape.split
            if split == len(values):
                return values, extra
            return values[:split], dict(zip(shape.names[split:], values[split:], strict=True))
        return self._apart(made, shape, extra)

    @property
    def schema(self) -> dict[str, Any] | None:
        """The JSON Schema of the arguments, None where a type has none."""
        shape = self._shape or self._build()
        try:
            return msgspec.json.schema(shape.make, schema_hook=_schema_of)
        except Exception:  # a schema is a courtesy to readers; types without one are no fault of the job
            return None

    def _build(self) -> "_Shape":
        hints = self._hints()
        if self.secrets is None:
            self.secrets = secret_parameters(self.parameters, hints)
        self._shape = _Shape(self.kind, self.parameters, hints, self.secrets)
        return self._shape

    def read_secrets(self) -> tuple[str, ...]:
        """The names of the arguments that are `Secret`."""
        if self.secrets is None:
            self._build()
        return self.secrets or ()

    def check_part(self, text: str, absent: Collection[str]) -> None:
        """Refuse arguments that would not fit even with the `absent` ones; raises `InvalidArgs`."""
        shape = self._shape or self._build()
        try:
            shape.read(text)
        except (ValueError, TypeError, RecursionError) as error:
            # The decoder looks at what is there first, so a missing one comes last.
            if complaint(error)[0] not in absent or "missing" not in str(error):
                raise self._refusal(error) from error
            self._refuse_missing(msgspec.json.decode(text), absent)

    def _refuse_missing(self, given: Mapping[str, Any], absent: Collection[str]) -> None:
        """The decoder tells of one missing argument only, which may be an absent one."""
        for parameter in self.parameters:
            spread = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if (
                not spread
                and parameter.default is _ANY
                and parameter.name not in given
                and parameter.name not in absent
            ):
                raise self._error(parameter.name, f"missing a required argument: {parameter.name!r}", None)

    def spread(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The call's values under the names they are stored by, without defaults."""
        try:
            bound = self._signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise self._misfit(args, kwargs, error) from None
        spread: dict[str, Any] = {}
        for parameter in self.parameters:
            if parameter.name not in bound:
                continue
            value = bound[parameter.name]
            if parameter.kind is parameter.VAR_POSITIONAL:
                spread[REST] = list(value)
            elif parameter.kind is parameter.VAR_KEYWORD:
                clash = next((name for name in value if name in spread or name == REST), None)
                if clash is not None:
                    raise self._error(clash, "is given twice", None)
                spread.update(value)
            else:
                spread[parameter.name] = value
        return spread

    def _apart(self, made: Any, shape: "_Shape", extra: dict[str, Any]) -> Bound:
        """The call of a struct with gaps or with parameters that structs do not have. After a gap, the rest goes by name."""
        positional: list[Any] = []
        named: dict[str, Any] = dict(extra)
        by_name = False
        for parameter, value in zip(self.parameters, (getattr(made, n, UNSET) for n in shape.fields), strict=False):
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional.extend(() if value is UNSET else value)
            elif value is UNSET:
                by_name = True
            elif parameter.kind is parameter.KEYWORD_ONLY or by_name:
                named[parameter.name] = value
            else:
                positional.append(value)
        return tuple(positional), named

    def _loose(self, text: str) -> str | None:
        """Arguments that were stored without knowing the signature: positional ones under `*`, others by name."""
        if f'"{REST}"' not in text or any(p.kind is p.VAR_POSITIONAL for p in self.parameters):
            return None
        given = cast("dict[str, Any]", msgspec.json.decode(text))
        rest = cast("list[Any]", given.pop(REST, []))
        try:
            return self.bind(tuple(rest), given)
        except InvalidArgs:
            return None

    def _misfit(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], error: TypeError) -> InvalidArgs:
        try:
            self._signature.bind(*args, **kwargs)
        except TypeError as clearer:
            error = clearer
        named = _QUOTED.search(str(error))
        return self._error(named[1] if named else REST, str(error), None)

    def _refusal(self, error: Exception) -> InvalidArgs:
        if isinstance(error, RecursionError):
            return self._error("args", "is nested too deep", None)
        path, wrong = complaint(error)
        return self._error(path or "args", wrong, f"{path}: {wrong}" if path else wrong)

    def _error(self, path: str, wrong: str, text: str | None) -> InvalidArgs:
        known = ", ".join(p.name for p in self.parameters) or "none"
        return InvalidArgs(
            f"{self.kind}: {text or (wrong if path in wrong else f'{path} {wrong}')}",
            field=path,
            kind=self.kind,
            mend=f"the parameters are: {known}",
        )


class _Shape:
    """The struct of a signature and its decoder."""

    def __init__(
        self,
        kind: str,
        parameters: tuple[inspect.Parameter, ...],
        hints: Mapping[str, Any],
        secrets: Collection[str] = (),
    ) -> None:
        self._secrets = secrets
        usual = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
        plain = all(p.kind in _ONE_BY_ONE and not p.name.startswith("__") for p in parameters)
        self.fields = tuple(p.name if plain else f"p{n}" for n, p in enumerate(usual))
        self.names = tuple(p.name for p in usual)
        self._keys = {REST if p.kind is p.VAR_POSITIONAL else p.name for p in usual}
        self.split = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in usual)
        self.gaps = False
        self._later: list[tuple[str, Callable[[Any], Any]]] = []
        self._extra = next((p.name for p in parameters if p.kind is p.VAR_KEYWORD), None)
        self._extra_hint = _readable(hints.get(self._extra, Any)) if self._extra else Any
        columns = [self._column(field, p, hints) for field, p in zip(self.fields, usual, strict=True)]
        self.make = _struct(kind, columns, usual, plain, strict=self._extra is None)
        self._decode = decoder(self.make).decode
        self.read = self._simple if not self._extra and not self._later else self._careful

    def _column(self, field: str, parameter: inspect.Parameter, hints: Mapping[str, Any]) -> tuple[Any, ...]:
        hint = hints.get(parameter.name, Any)
        if parameter.kind is parameter.VAR_POSITIONAL:
            hint = list[hint]
            default: Any = UNSET
        else:
            default = parameter.default
        if not _decodable(hint):
            late = _late(hint)
            if late is not None:
                self._later.append((field, late))
            hint = Any
        if default is _ANY:
            return (field, hint)
        # A secret's default stays in the code: the published schema would tell it.
        if default is not UNSET and (not _storable(default, hint) or (parameter.name in self._secrets and default)):
            default = UNSET
        if default is UNSET:
            self.gaps = True
            return (field, hint, UNSET)
        return (field, hint, default)

    def _simple(self, text: str) -> tuple[Any, dict[str, Any]]:
        return self._decode(text), {}

    def _careful(self, text: str) -> tuple[Any, dict[str, Any]]:
        made = self._decode(text)
        for field, late in self._later:
            value = getattr(made, field)
            if value is not UNSET:
                setattr(made, field, _in_place(field, value, late))
        if not self._extra:
            return made, {}
        given = cast("dict[str, Any]", msgspec.json.decode(text))
        extra = {
            name: _in_place(name, value, partial(convert, hint=self._extra_hint))
            for name, value in given.items()
            if name not in self._keys
        }
        return made, extra


def secret_parameters(parameters: Iterable[inspect.Parameter], hints: Mapping[str, Any]) -> tuple[str, ...]:
    """The names under which `Secret` arguments are stored."""
    found = [p for p in parameters if p.name in hints and hides(hints[p.name])]
    for parameter in found:
        if parameter.kind is parameter.VAR_KEYWORD:
            raise InvalidOption(
                f"**{parameter.name} cannot be Secret: its names are not known",
                field=parameter.name,
                mend="give each secret a parameter of its own, or use @app.job(encrypt=True)",
            )
    return tuple(REST if p.kind is p.VAR_POSITIONAL else p.name for p in found)


def _struct(
    kind: str, columns: list[tuple[Any, ...]], parameters: list[inspect.Parameter], plain: bool, *, strict: bool
) -> Any:
    """Keyword-only parameters go into a base class: msgspec then puts them behind the others, as signatures do."""
    pairs = list(zip(columns, parameters, strict=True))
    rename = None if plain else {c[0]: REST if p.kind is p.VAR_POSITIONAL else p.name for c, p in pairs}
    title = re.sub(r"\W", "_", kind)
    keyword = [c for c, p in pairs if not plain or p.kind is p.KEYWORD_ONLY]
    others = [c for c, p in pairs if plain and p.kind is not p.KEYWORD_ONLY]
    make = partial(msgspec.defstruct, rename=rename, forbid_unknown_fields=strict)
    if not keyword:
        return make(title, others)
    base = make(f"{title}_named", keyword, kw_only=True)
    return make(title, others, bases=(base,)) if others else base


def _decodable(hint: Any) -> bool:
    try:
        decoder(hint)
    except (TypeError, ValueError):
        return False
    return True


def _readable(hint: Any) -> Any:
    return hint if _decodable(hint) else Any


def _late(hint: Any) -> Callable[[Any], Any] | None:
    """For unions of models, which msgspec does not tell apart: pydantic, if the user's program has imported it."""
    pydantic = sys.modules.get("pydantic")
    if pydantic is None:
        return None
    try:
        adapter = pydantic.TypeAdapter(hint)
    except Exception:  # pydantic has no schema for it either: the value stays plain
        return None
    return lambda value: adapter.validate_json(msgspec.json.encode(value))


def _in_place(field: str, value: Any, late: Callable[[Any], Any]) -> Any:
    try:
        return late(value)
    except (ValueError, TypeError) as error:
        raise msgspec.ValidationError(f"{error} - at `$.{field}`") from error


def _storable(default: Any, hint: Any) -> bool:
    """Whether a default may be written into the arguments: immutable, and of the parameter's own type. Others stay gaps
    that the function itself fills when it runs."""
    if not isinstance(default, (str, int, float, bool, bytes, tuple, frozenset, Enum, type(None))):
        return False
    try:
        decoder(hint).decode(encode(default, "", MEBIBYTE))
    except (ValueError, TypeError):
        return False
    return True


def _schema_of(hint: Any) -> dict[str, Any]:
    schema = getattr(hint, "model_json_schema", None)
    return cast("dict[str, Any]", schema()) if callable(schema) else {}
