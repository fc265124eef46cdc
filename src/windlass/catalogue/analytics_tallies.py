"""What the rows of a period come to: how many, sums, averages, extremes, different values, percentiles."""

from collections.abc import Hashable
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypeAlias

from windlass import WindlassError

How: TypeAlias = Literal["count", "sum", "average", "min", "max", "distinct", "p50", "p95", "p99"]

_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class BadRows(WindlassError, ValueError):
    """`source`, `metric`: a source gives rows that the metric cannot be made of."""

    code = "bad-rows"
    retryable = False


class Tally:
    """One metric over the rows of a period. Rows whose field is None are passed over, as in SQL."""

    def __init__(self, metric: str, source: str, how: How, field: str) -> None:
        self._metric = metric
        self._source = source
        self._how = how
        self._field = field
        self._count = 0
        self._sum = Decimal(0)
        self._values: list[Decimal] = []
        self._different: set[Hashable] = set()

    def add(self, row: Any) -> None:
        """Count a row in. Raises `BadRows`."""
        value: Any = None
        if self._field:
            try:
                value = row[self._field]
            except (KeyError, IndexError, TypeError):
                raise self._bad(f"a row without the field {self._field!r}") from None
            if value is None:
                return
        if self._how == "distinct":
            try:
                self._different.add(value)
            except TypeError:
                raise self._bad(f"{self._field!r} holds {value!r:.80}, which cannot be compared") from None
        elif self._how == "count":
            self._count += 1
        else:
            self._measure(self._number(value))

    @property
    def value(self) -> float | None:
        """What it came to. Of no rows: 0 for counts and sums, None for the others."""
        how = self._how
        if how == "distinct":
            return len(self._different)
        if how == "count":
            return self._count
        if how == "sum":
            return _plain(self._sum)
        if not self._count:
            return None
        if how == "average":
            return _plain(self._sum / self._count)
        ordered = sorted(self._values)
        if how in _SHARES:
            # The smallest value that is not below that share of them.
            return _plain(ordered[max(0, -(-int(_SHARES[how] * 100) * len(ordered) // 100) - 1)])
        return _plain(ordered[0])

    def _measure(self, number: Decimal) -> None:
        self._count += 1
        if self._how in ("sum", "average"):
            self._sum += number
        elif self._how in _SHARES or not self._values:
            self._values.append(number)
        else:
            kept = self._values[0]
            self._values[0] = min(kept, number) if self._how == "min" else max(kept, number)

    def _number(self, value: Any) -> Decimal:
        # By way of its text: 0.1 is a tenth then, and a sum of prices is exact.
        try:
            found = Decimal(str(value)) if not isinstance(value, bool) else Decimal(int(value))
        except (InvalidOperation, ValueError):
            found = Decimal("nan")
        if not found.is_finite():
            raise self._bad(f"{self._field!r} holds {value!r:.80}, which is no number")
        return found

    def _bad(self, what: str) -> BadRows:
        return BadRows(
            f"the source {self._source!r} gave {what}; the metric {self._metric!r} needs it",
            source=self._source,
            metric=self._metric,
        )


def _plain(value: Decimal) -> float:
    """A number as JSON has it: whole ones without a point."""
    return int(value) if value == value.to_integral_value() else float(value)
