"""Binding of handlers whose keyword arguments together are one model: checked at enqueue, stored under the model's names."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from windlass.declare.signature import Binder
from windlass.errors import InvalidArgs
from windlass.values.codec import MEBIBYTE, join

Hints: TypeAlias = Callable[[], Mapping[str, Any]]


class ModelBinder(Binder):
    """`model`: a class with pydantic's `model_validate`. A call may bring the model itself, or its fields by any of their names.
    None takes any fields. `refuse`: what keeps jobs from being made at all."""

    def __init__(
        self,
        model: Any,
        kind: str,
        parameters: Sequence[inspect.Parameter],
        hints: Hints = dict,
        *,
        refuse: Callable[[], Exception | None] | None = None,
    ) -> None:
        super().__init__(kind, parameters, hints)
        self._model = model
        self._refuse = refuse

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], limit: int = MEBIBYTE) -> str:
        refused = self._refuse() if self._refuse is not None else None
        if refused is not None:
            raise refused
        if self._model is None:
            return super().bind(args, kwargs, limit)
        given: Any = args[0] if len(args) == 1 and not kwargs else dict(kwargs)
        if args and given is not args[0]:
            raise self._unfit("*", "takes its fields by name, or one model")
        try:
            made = given if isinstance(given, self._model) else self._model.model_validate(given)
        except ValueError as error:
            raise self._unfit(*_complaint(error)) from None  # its text may tell the values
        return super().bind((), made.model_dump(mode="json", by_alias=True, exclude_unset=True), limit)

    @property
    def schema(self) -> dict[str, Any] | None:
        return None if self._model is None else cast("dict[str, Any]", self._model.model_json_schema())

    def _unfit(self, path: str, wrong: str) -> InvalidArgs:
        return InvalidArgs(f"{self.kind}: {path}: {wrong}", field=path, kind=self.kind)


def _complaint(error: ValueError) -> tuple[str, str]:
    details = getattr(error, "errors", None)
    if not callable(details):
        return "args", str(error)
    first = cast("list[dict[str, Any]]", details())[0]
    path = ""
    for part in first["loc"]:
        path = join(path, part)
    return path or "args", str(first["msg"])


def binder_of(fn: Callable[..., Any], kind: str, parameters: Sequence[inspect.Parameter], hints: Hints) -> Binder:
    """The binder of a function: that of its model, if it names one (`__windlass_model__`, with what refuses jobs)."""
    whole = getattr(fn, "__windlass_model__", None)
    if whole is None:
        return Binder(kind, parameters, hints)
    model, refuse = whole
    return ModelBinder(model, kind, parameters, hints, refuse=refuse)
