"""What an attempt costs: a price as code declares it, read with decimals and charged in millionths."""

from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

from windlass.declare.refusal import refusal
from windlass.values.clock import SECOND, Micros

Amount: TypeAlias = str | int | float | Decimal
"""An amount of the app's currency; text or a `Decimal` where binary fractions would be wrong."""

GIGABYTE = 1_000_000_000
_MILLION = Decimal(1_000_000)
_DEAREST = Decimal(1_000_000)
_NOTHING = Decimal(0)


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt costs: `base` for each that ended by itself, `second` for each second it ran, `gb_second` for each gigabyte
    (1e9 bytes) and second where its memory is known. Amounts are text, `Decimal` or numbers of the app's currency; what handlers
    report with `ctx.cost` comes on top."""

    base: Amount = 0
    second: Amount = 0
    gb_second: Amount = 0


class Tariff(msgspec.Struct, frozen=True):
    """A checked price."""

    base: Decimal = _NOTHING
    second: Decimal = _NOTHING
    gb_second: Decimal = _NOTHING

    def millionths(self, took: Micros, memory: int, *, whole: bool) -> Decimal:
        """What a run costs, fractions of a millionth included. `whole`: the attempt ended by itself, so the base is due."""
        ran = Decimal(took) / SECOND
        amount = self.second * ran
        if whole:
            amount += self.base
        if memory and self.gb_second:
            amount += self.gb_second * ran * memory / GIGABYTE
        return amount * _MILLION


def read_price(value: Any) -> Tariff:
    """The checked option `price`; raises `InvalidOption`."""
    if not isinstance(value, Price):
        raise refusal("price", value, "a Price", 'use Price(base="0.001", second="0.0002")')
    return Tariff(
        read_amount(value.base, "price.base"),
        read_amount(value.second, "price.second"),
        read_amount(value.gb_second, "price.gb_second"),
    )


def read_amount(value: Any, field: str) -> Decimal:
    """An amount from 0 to a million, as a decimal; a float by its shortest text. Raises `InvalidOption`."""
    try:
        amount = Decimal(str(value)) if isinstance(value, (str, int, float, Decimal)) else None
    except InvalidOperation:
        amount = None
    if amount is None or isinstance(value, bool) or not amount.is_finite() or not 0 <= amount <= _DEAREST:
        raise refusal(field, value, "an amount from 0 to 1000000", 'write it as "0.001"')
    return amount


def to_millionths(amount: Decimal | float) -> int:
    """An amount that a handler reports, in millionths; halves go up."""
    exact = (amount if isinstance(amount, Decimal) else Decimal(str(amount))) * _MILLION
    return int(exact.to_integral_value(rounding="ROUND_HALF_UP"))
