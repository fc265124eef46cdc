"""A shop's numbers by the day, and the report of a day as PDF, CSV and JSON."""

import asyncio
import importlib.util
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from windlass import Windlass

app = Windlass("sqlite://:memory:")
NOW = datetime.now(UTC)


@app.job(max_attempts=1)
async def ship(order: int) -> str:
    if order == 3:
        raise ValueError("no such address")
    return f"order {order} is on its way"


def is_ready() -> bool:
    missing = [name for name in ("typst", "obstore", "pydantic_settings") if not importlib.util.find_spec(name)]
    if missing:
        print(f"skipped: {', '.join(missing)} not installed; pip install 'windlass[reports]'")
    return not missing


async def main() -> None:
    from windlass import catalogue
    from windlass.catalogue.analytics import Span, analytics_of
    from windlass.catalogue.settings import CatalogueSettings, StorageSettings

    analytics = analytics_of(app)

    @analytics.source("orders")  # yours asks a database for the rows of [span.since, span.until)
    def orders(span: Span) -> Iterator[dict[str, Any]]:
        for number in range(10):
            at = NOW - timedelta(minutes=number)
            if span.since <= at < span.until:
                yield {"price": "19.90", "paid": number % 2 == 0}

    analytics.metric("orders", "orders")
    analytics.metric("purchases", "orders", where=lambda order: order["paid"])
    analytics.metric("revenue", "orders", "sum", "price", where=lambda order: order["paid"])
    analytics.ratio("paid_share", "purchases", "orders")

    storage = catalogue.Storage.open(StorageSettings(url="memory://"))
    families = ["analytics", "reports"]
    kinds = catalogue.install(app, families=families, settings=CatalogueSettings(), storage=storage)
    async with app:
        await app.enqueue_many(ship.job(order) for order in range(5))
        await app.drain()
        today = NOW.date().isoformat()
        await kinds["analytics-aggregation"].enqueue(type="daily", dateRange={"start": today, "end": today})
        await app.drain()
        ref = await kinds["daily-reports"].enqueue(date=today)
        await app.drain()
        report = await ref.result()
        print(f"{report.figures['completed']} completed, {report.figures['failed']} failed")
        for form, artifact in report.artifacts.items():
            print(f"{form}: {artifact.bytes:,} bytes in {artifact.key.rpartition('/')[2]}")
        lines = (await storage.read(report.artifacts["csv"].key, 1_000_000)).decode().splitlines()
        print("\n".join(line for line in lines if line.startswith(("analytics", "failure"))))


if is_ready():
    asyncio.run(main())
