"""A shop that is always busy, for looking at the dashboard: `windlass dev --showcase` runs it. Nothing leaves this machine."""

import asyncio
import random
from typing import Any

from windlass import Context, Fail, NewJob, Price, Provider, Snooze, Windlass, batch, chain, exponential, group

app = Windlass(app_version="1.4.2")
app.queue("mail", concurrency=20, rate_limit="600/m")
CITIES = ("Berlin", "Lyon", "Porto", "Graz", "Turku", "Gent", "Brno", "Cork")
USERS = [f"user-{n}" for n in range(40)]


class PaymentDeclined(Exception):
    """The bank said no."""


class Overloaded(Exception):
    """The other side has too much to do."""

    status_code = 503


async def busy(low: float, high: float) -> None:
    """Work that takes its time, most often little."""
    await asyncio.sleep(low + (high - low) * random.random() ** 3)


@app.job(queue="mail", max_attempts=5, backoff=exponential("1s", cap="30s"), tags=["mail"], price=Price(base="0.0004"))
async def send_email(ctx: Context, to: str, template: str = "welcome") -> dict[str, str]:
    """Send a letter; the server is busy now and then."""
    await ctx.log(f"rendering {template}")
    await busy(0.02, 0.6)
    if random.random() < 0.06:
        raise ConnectionError("smtp: connection reset by peer")
    return {"to": to, "message": f"<{ctx.job.id}@shop>"}


@app.job(queue="payments", max_attempts=3, backoff=exponential("2s"), priority=5)
async def charge_card(ctx: Context, order: int, amount: float) -> dict[str, float]:
    """Charge a card; some banks refuse."""
    await ctx.log(f"charging {amount:.2f} for order {order}")
    await busy(0.05, 0.9)
    if random.random() < 0.05:
        raise PaymentDeclined(f"card of order {order} was declined: insufficient funds")
    ctx.cost(0.03)
    return {"charged": amount}


@app.job(queue="images", runtime="thread", concurrency=8)
def resize(path: str, width: int = 800) -> dict[str, int | str]:
    """Make a picture smaller."""
    total = sum(n * n for n in range(random.randrange(20_000, 200_000)))
    return {"path": path, "width": width, "checksum": total}


@app.job(queue="texts", provider=Provider("writer", cost=0.002), max_attempts=4, backoff=exponential("3s"))
async def write_text(product: str) -> str:
    """Ask a service for a text; it has its bad minutes."""
    await busy(0.2, 2.0)
    if random.random() < 0.15:
        raise Overloaded("writer: 503, try again later")
    return f"{product}: made with care."


@app.job(queue="reports", timeout="1m")
async def report(ctx: Context, city: str) -> dict[str, int | str]:
    """Count what was sold, a shelf at a time."""
    for shelf in range(1, 21):
        await busy(0.05, 0.3)
        ctx.progress(shelf * 5, f"shelf {shelf} of 20")
    return {"city": city, "sold": random.randrange(50, 900)}


@app.job(queue="reports")
async def gather(cities: int) -> str:
    """Put the reports together."""
    await busy(0.1, 0.5)
    return f"{cities} cities"


@app.job(queue="imports", max_attempts=2)
async def import_feed(url: str) -> int:
    """Read a supplier's feed; one of them has moved away."""
    await busy(0.1, 1.0)
    if "old" in url:
        raise Fail(f"{url} answers 410 Gone")
    if random.random() < 0.2:
        raise Snooze("20s", "the supplier asks for patience")
    return random.randrange(1, 400)


@app.job(queue="orders")
async def approve(ctx: Context, order: int) -> str:
    """Large orders wait for a person: `windlass jobs signal ID approved`."""
    by = await ctx.wait_for("approved", timeout="1h")
    return f"order {order} approved by {by}"


@app.schedule(every="2s", overlap="skip")
@app.job(queue="traffic", max_attempts=1)
async def customers() -> int:
    """What customers do in two seconds."""
    jobs: list[NewJob[Any]] = []
    for _ in range(random.randrange(2, 14)):
        user, order = random.choice(USERS), random.randrange(10_000, 99_999)
        jobs += [
            send_email.options(user=user, delay=random.choice([0, 0, 15])).job(f"{user}@example.com"),
            charge_card.options(user=user).job(order, round(random.uniform(5, 250), 2)),
            resize.options(user=user).job(f"/uploads/{order}.jpg"),
        ]
    jobs.append(write_text.job(f"product {random.randrange(500)}"))
    jobs.append(import_feed.job(f"https://{random.choice(['old', 'fresh', 'daily'])}.example.com/feed.xml"))
    return len(await app.enqueue_many(jobs))


@app.schedule(every="1m", overlap="skip")
@app.job(queue="traffic", max_attempts=1)
async def head_office() -> None:
    """What the head office wants every minute: reports of all cities, a newsletter, an approval."""
    await app.run(chain(group(*[report.job(city) for city in CITIES]), gather.job(len(CITIES))).named("city-reports"))
    letters = [send_email.options(user=user).job(f"{user}@example.com", "newsletter") for user in USERS]
    await app.run(batch(letters, then=gather.job(len(letters))).named("newsletter"))
    await approve.enqueue(random.randrange(10_000, 99_999))
