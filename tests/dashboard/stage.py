"""A shop whose jobs are in every state: the app that the dashboard's tests serve, and what is stored in it before."""

import asyncio
import os
from datetime import UTC, datetime, timedelta

from windlass import Context, Fail, Windlass, batch, chain, fixed, group

PLANTED = "card 4111 was declined: the bank said INSUFFICIENT-FUNDS-7731"
"""The failure that a person has to find."""
BIG = 9_007_199_254_740_993_777
"""Beyond what JavaScript's numbers hold."""
KEYS = ("viewer", "user", "operator", "admin")

app = Windlass(os.environ.get("WINDLASS_STAGE_URL", "sqlite:///stage.db"), maintenance=False)


class PaymentDeclined(Exception):
    pass


@app.job(queue="email", tags=["mail"])
async def send_email(ctx: Context, to: str, template: str = "welcome") -> dict[str, str]:
    """Send a letter."""
    await ctx.log(f"rendering {template}")
    await ctx.progress(60, "rendered")
    await ctx.log("smtp: 250 OK", level="info")
    return {"to": to, "message": f"<{ctx.id}@shop>"}


@app.job(queue="billing", max_attempts=2, backoff=fixed("50ms"))
async def charge_card(ctx: Context, order: int, amount: float) -> None:
    """Charge a card; the bank refuses."""
    await ctx.log(f"charging {amount}")
    await ctx.log("bank refused", level="error")
    raise PaymentDeclined(PLANTED)


@app.job(queue="billing", max_attempts=1)
async def refund(order: int) -> None:
    """Give money back; the order is not there."""
    raise Fail(f"order {order} does not exist")


@app.job(queue="images", runtime="thread")
def resize(path: str, width: int = 800) -> dict[str, int | str]:
    """Make a picture smaller."""
    return {"path": path, "width": width, "checksum": BIG}


@app.job(queue="imports", max_attempts=5, backoff=fixed("2h"))
async def import_feed(url: str) -> None:
    """Read a supplier's feed, which is down."""
    raise ConnectionError(f"{url} does not answer")


@app.job(queue="reports")
async def build_report(ctx: Context, month: str) -> str:
    """Runs until somebody cancels it."""
    await ctx.progress(42, "reading orders")
    while not ctx.cancelled:  # noqa: ASYNC110 - nothing wakes it
        await asyncio.sleep(0.05)
    raise asyncio.CancelledError


@app.job(queue="reports")
async def approve(ctx: Context, order: int) -> str:
    """A durable job that waits for a person."""
    total = await ctx.step("total", sum_up, order)
    answer = await ctx.wait_for("approved")
    return f"{total} by {answer}"


async def sum_up(order: int) -> int:
    return order * BIG


@app.job(queue="night")
async def nightly(day: str = "today") -> str:
    """Clean up at night."""
    return day


async def nothing(shop: Windlass) -> None:
    """What is in the store before."""


before = nothing
"""Played first; pictures have an hour of history."""


async def seed(url: str) -> dict[str, str]:
    """Fill a store; the keys of each role, and the ids of jobs by what they show."""
    from windlass.api.caller import Role
    from windlass.api.keys import ApiKey, ApiKeys

    shop = Windlass(url, maintenance=False, webhook_networks="127.0.0.0/8")
    shop.handlers.update(app.handlers)
    found: dict[str, str] = {}
    async with shop:
        await before(shop)
        keys = ApiKeys(shop.store)
        for role in KEYS:
            asked = ApiKey(
                id="", name=f"{role} of the tests", hash="", role=Role(role), user="ann" if role == "user" else role,
                project=None, scopes=None, created_at=datetime.now(UTC), created_by="tests",
            )  # fmt: skip
            _, found[role] = await keys.create(asked)
        await _fill(shop, found)
    return found


async def _fill(shop: Windlass, found: dict[str, str]) -> None:
    mails = [send_email.options(user="ann" if n % 3 else "bob").job(to=f"customer{n}@example.com") for n in range(60)]
    await shop.enqueue_many(mails)
    await shop.enqueue_many([resize.job(path=f"/images/{n}.png") for n in range(12)])
    declined = await shop.submit(charge_card.options(user="ann", tags=["vip"]).job(order=7731, amount=49.9))
    found["planted"] = declined.id
    for number in range(4):
        await shop.submit(charge_card.job(order=number, amount=10.0 + number))
    for number in range(6):
        await shop.submit(refund.job(order=number))
    found["retrying"] = (await shop.submit(import_feed.job(url="https://feeds.example.com/a.xml"))).id
    found["approve"] = (await shop.submit(approve.job(order=3))).id
    await shop.drain()
    await until_quiet(shop)
    await _tell(shop)
    await _leave(shop, found)


async def _tell(shop: Windlass) -> None:
    """An alert that fires, and an endpoint where nobody listens."""
    await shop.limits.put("queue:email", rate="100/m", concurrency=10)
    await shop.limits.put("provider:maps", concurrency=2)
    await shop.breakers.open("openai", "1h", actor="user:ann")
    await shop.alerts.put_channel("ops", "slack", url="http://127.0.0.1:9/services/T000")
    await shop.alerts.put_standard("log", actor="user:ann")
    await shop.alerts.put_rule("late-mail", "queue-age", threshold=300, queues=["email"], channels=["ops"])
    endpoint = await shop.webhooks.add("http://127.0.0.1:9/hooks", events=["job.failed", "alert.*"], queues=["billing"])
    await shop.webhooks.ping(endpoint.id)
    await shop.webhooks.add("https://shop.example/hooks", events="workflow.finished", actor="user:bob")
    await shop.alerts.look()
    await shop.drain()


async def until_quiet(shop: Windlass) -> None:
    """Run what has become due meanwhile: the second attempts."""
    from windlass.values.states import State

    for _ in range(200):
        await shop.drain()
        stats = await shop.queues.stats()
        if not any(counts.get(State.RETRYING, 0) for name, counts in stats.items() if name == "billing"):
            return
        await asyncio.sleep(0.02)


async def _leave(shop: Windlass, found: dict[str, str]) -> None:
    """What is not to run: paused, delayed, blocked, cancelled, unserved."""
    await shop.queues.pause("night")
    refs = [await shop.submit(nightly.job(day=f"day {n}")) for n in range(15)]
    found["waiting"] = refs[0].id
    found["cancelled"] = refs[1].id
    await shop.jobs.cancel(refs[1].id, reason="not needed any more", actor="user:admin")
    for number in range(5):
        await shop.submit(send_email.options(delay=timedelta(hours=number + 2)).job(to=f"later{number}@example.com"))
    flow = await shop.run(
        chain(
            nightly.job(day="first"),
            group(*(send_email.job(to=f"list{n}@example.com") for n in range(4))),
            nightly.job(day="last"),
        ).named("newsletter")
    )
    found["workflow"] = flow.id
    many = await shop.run(batch([nightly.job(day=f"part {n}") for n in range(6)], then=nightly.job(day="sum")))
    found["batch"] = many.id
    found["report"] = (await shop.submit(build_report.job(month="2030-01"))).id
    await shop.schedules.put("night/clean", nightly.job(), cron="0 3 * * *", timezone="Europe/Berlin")
    await shop.schedules.put("images/often", resize.job(path="/images/x.png"), every="15m", paused=True)
    await shop.publish_kinds()
