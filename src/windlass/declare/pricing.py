"""What an attempt costs: a price as code declares it, read as decimals and charged in millionths."""

from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

import msgspec

from windlass.declare.refusal import refusal
from windlass.values.clock import Micros

Amount: TypeAlias = str | int | float | Decimal
"""An amount of the app's currency; text or a `Decimal` where binary fractions would be wrong."""

GIGABYTE = 1_000_000_000
_MILLION = Decimal(1_000_000)
_DEAREST = Decimal(1_000_000)


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt costs: `base` for each that ended by itself, `second` for each second it ran, `gb_second` for each gigabyte
    (1e9 bytes) and second where its memory is known. Amounts are text, `Decimal` or numbers of the app's currency; what handlers
    report with `ctx.cost` comes on top."""

    base: Amount = 0
    second: Amount = 0
    gb_second: Amount = 0


PARTS = 1_000_000_000
"""Parts of a millionth in which prices are reckoned, by whole numbers: this runs for every attempt."""


class Tariff(msgspec.Struct, frozen=True):
    """A checked price, in parts of a millionth: of an attempt, of a microsecond, of a gigabyte and microsecond."""

    base: int = 0
    micro: int = 0
    gb_micro: int = 0

    def parts(self, took: Micros, memory: int, whole: bool) -> int:
        """What a run costs. `whole`: the attempt ended by itself, so the base is due."""
        amount = self.micro * took + self.base if whole else self.micro * took
        if memory and self.gb_micro:
            amount += self.gb_micro * took * memory // GIGABYTE
        return amount


def read_price(value: Any) -> Tariff:
    """The checked option `price`; raises `InvalidOption`."""
    if not isinstance(value, Price):
        raise refusal("price", value, "a Price", 'use Price(base="0.001", second="0.0002")')
    # A millionth is to a microsecond what one is to a second, so the latter two need no factor.
    return Tariff(
        int(read_amount(value.base, "price.base") * 1_000_000 * PARTS),
        int(read_amount(value.second, "price.second") * PARTS),
        int(read_amount(value.gb_second, "price.gb_second") * PARTS),
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
