"""Arguments and results may be dataclasses, pydantic models, enums, dates, decimals, bytes; wrong ones are named."""

import asyncio
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import Enum

from pydantic import BaseModel

from windlass import InvalidArgs, Windlass

app = Windlass("sqlite://:memory:")


class Currency(Enum):
    EUR = "eur"


@dataclass
class Line:
    name: str
    price: Decimal


class Customer(BaseModel):
    email: str
    since: date


@app.job
async def invoice(customer: Customer, lines: list[Line], currency: Currency = Currency.EUR) -> dict[str, Decimal]:
    return {customer.email: sum((line.price for line in lines), Decimal(0))}


async def main() -> None:
    customer = Customer(email="a@example.com", since=date(2020, 1, 1))
    async with app:
        ref = await invoice.enqueue(customer, [Line("rope", Decimal("9.90")), Line("hook", Decimal("0.10"))])
        print("stored as:", (await ref.job()).args)
        await app.drain()
        print("result:", await ref.result(timeout=10))
        try:
            await invoice.enqueue(customer, [Line("rope", "cheap")])  # type: ignore[arg-type]
        except InvalidArgs as refused:
            print("refused:", refused, "| field:", refused.field)


if __name__ == "__main__":
    asyncio.run(main())
