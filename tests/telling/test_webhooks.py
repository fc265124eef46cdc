"""Webhooks against a real receiver: what is told, signed, tried again, switched off, refused, sent again."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from tests.telling.clock import held
from tests.telling.receiver import Receiver
from tests.waiting import until
from windlass import InvalidOption, Windlass, batch, chain, group
from windlass.errors import WebhookNotFound
from windlass.store.protocol import Store
from windlass.values.query import AuditQuery
from windlass.webhooks.delivery import WAITS

Job = Callable[..., Any]


async def drained(app: Windlass) -> None:
    """Run what there is, the sweep for ends without a worker first."""
    await app.enqueue_many([app.webhooks.handlers.sweep.job()])
    await app.drain()


async def test_each_end_is_told_once_with_its_facts(app: Windlass, receiver: Receiver) -> None:
    async with app:
        await app.webhooks.add(receiver.url, events="job.*", include=["args", "result"])
        done = await app.handlers["add"].options(user="ann", tags=["a"]).enqueue(1, 2)
        failed = await app.handlers["fail"].enqueue()
        cancelled = await app.handlers["add"].options(delay="1h").enqueue(3, 4)
        await app.jobs.cancel(cancelled.id)
        await drained(app)
        await drained(app)
        told = {(each["type"], each["data"]["id"]): each["data"] for each in receiver.events()}
        assert len(told) == len(receiver.got) == 3, "a second sweep tells nothing again"
        first = told["job.completed", done.id]
        assert (first["kind"], first["user"], first["tags"], first["result"]) == ("add", "ann", ["a"], 3)
        assert first["args"] == {"a": 1, "b": 2} and first["state"] == "completed"
        error = told["job.failed", failed.id]["error"]
        assert (error["type"], error["message"]) == ("ValueError", "no") and "traceback" not in error
        assert told["job.cancelled", cancelled.id]["reason"] == "cancelled"


async def test_signatures_are_those_of_the_specification(app: Windlass, receiver: Receiver) -> None:
    async with app:
        made = await app.webhooks.add(receiver.url)
        await app.webhooks.ping(made.id)
        await app.drain()
        (got,) = receiver.got
        told = Webhook(made.secret).verify(got.body, got.headers)
        assert told["type"] == "ping" and got.headers["webhook-id"] == told["id"]
        with pytest.raises(WebhookVerificationError):
            Webhook(made.secret).verify(got.body.replace(b"ping", b"pong"), got.headers)


async def test_both_secrets_sign_while_one_retires(memory_app: Windlass, receiver: Receiver) -> None:
    async with held(memory_app) as box:
        app = box.app
        old = await app.webhooks.add(receiver.url)
        new = await app.webhooks.rotate(old.id)
        assert new.secret != old.secret
        await app.webhooks.ping(old.id)
        await box.drain()
        at = receiver.got[-1]
        signatures = at.headers["webhook-signature"].split(" ")
        assert len(signatures) == 2
        await box.advance(timedelta(hours=25))
        await app.webhooks.ping(old.id)
        await box.drain()
        assert len(receiver.got[-1].headers["webhook-signature"].split(" ")) == 1


async def test_filters_choose(app: Windlass, receiver: Receiver) -> None:
    async with app:
        await app.webhooks.add(receiver.url, events=["job.failed"], queues=["ma*"])
        await app.webhooks.add(receiver.url, events="job.completed", kinds="other-*")
        await app.handlers["add"].enqueue(1, 2)
        failed = await app.handlers["fail"].enqueue()
        await drained(app)
        assert [event["data"]["id"] for event in receiver.events()] == [failed.id]


async def test_failed_deliveries_are_tried_again_under_one_id(app: Windlass, receiver: Receiver) -> None:
    receiver.answers = [(500, {}), (503, {"Retry-After": "7"}), (302, {"Location": receiver.url})]
    async with held(app) as box:
        made = await box.app.webhooks.add(receiver.url, events="job.completed")
        await box.app.handlers["add"].enqueue(1, 2)
        await box.drain()
        (delivery,) = (await box.app.webhooks.deliveries(made.id)).items
        assert (delivery.state, delivery.status, delivery.attempts) == ("retrying", 500, 1)
        assert (await box.app.webhooks.get(made.id)).failing_since is not None
        for _ in range(3):
            await box.advance(timedelta(seconds=WAITS[2] + 1))
            await box.drain()
        (delivery,) = (await box.app.webhooks.deliveries(made.id)).items
        assert (delivery.state, delivery.status, delivery.attempts, delivery.error) == ("completed", 200, 4, None)
        assert len({got.headers["webhook-id"] for got in receiver.got}) == 1
        assert len({got.body for got in receiver.got}) == 1, "every try sends the same"
        assert (await box.app.webhooks.get(made.id)).failing_since is None


async def test_an_endpoint_that_stays_away_is_switched_off(memory_app: Windlass, receiver: Receiver) -> None:
    async with held(memory_app) as box:
        made = await box.app.webhooks.add(receiver.url, events="job.completed")
        for _ in range(7):
            receiver.answers = [(500, {})] * 20
            await box.app.handlers["add"].enqueue(1, 2)
            for wait in (0, *WAITS):
                await box.advance(timedelta(seconds=wait + 1))
                await box.drain()
        found = await box.app.webhooks.get(made.id)
        assert not found.active and found.reason is not None and "five days" in found.reason
        again = await box.app.webhooks.edit(made.id, active=True)
        assert again.active and again.reason is None and again.failing_since is None


async def test_gone_is_gone(memory_app: Windlass, receiver: Receiver) -> None:
    receiver.answers = [(410, {})]
    async with memory_app as app:
        made = await app.webhooks.add(receiver.url)
        await app.webhooks.ping(made.id)
        await app.drain()
        assert not (await app.webhooks.get(made.id)).active


async def test_given_up_deliveries_are_sent_again(app: Windlass, receiver: Receiver) -> None:
    async with held(app) as box:
        made = await box.app.webhooks.add(receiver.url, events="job.completed")
        receiver.answers = [(500, {})] * (len(WAITS) + 1)
        await box.app.handlers["add"].enqueue(1, 2)
        for wait in (0, *WAITS):
            await box.advance(timedelta(seconds=wait + 1))
            await box.drain()
        (lost,) = (await box.app.webhooks.deliveries(made.id, state="failed")).items
        assert len(receiver.got) == len(WAITS) + 1
        assert await box.app.webhooks.replay(made.id, actor="ann") == 1
        await box.drain()
        assert receiver.got[-1].headers["webhook-id"] == lost.id
        (found,) = (await box.app.webhooks.deliveries(made.id)).items
        assert found.state == "completed"


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/x", "http://169.254.169.254/latest/meta-data", "http://[::1]/x", "http://[64:ff9b::7f00:1]/",
        "http://100.64.0.1/", "ftp://example.com/", "http://user:pw@example.com/", "http://2130706433/", "not a url",
    ],
)  # fmt: skip
async def test_addresses_inside_are_refused(url: str) -> None:
    app = Windlass("sqlite://:memory:")
    async with app:
        try:
            made = await app.webhooks.add(url)
        except InvalidOption as error:
            assert error.field == "url"
            return
        await app.webhooks.ping(made.id)  # a name: looked at when it is called
        await app.drain()
        (delivery,) = (await app.webhooks.deliveries(made.id)).items
        assert delivery.state in ("failed", "retrying") and delivery.status is None


async def test_redirects_to_the_inside_are_not_followed(memory_app: Windlass, receiver: Receiver) -> None:
    receiver.answers = [(307, {"Location": "http://169.254.169.254/"})]
    async with memory_app as app:
        made = await app.webhooks.add(receiver.url)
        await app.webhooks.ping(made.id)
        await app.drain()
        (delivery,) = (await app.webhooks.deliveries(made.id)).items
        assert (delivery.status, len(receiver.got)) == (307, 1)


async def test_workflows_and_batches_are_told_when_they_are_over(app: Windlass, receiver: Receiver) -> None:
    async with held(app) as box:
        await box.app.webhooks.add(receiver.url, events=["workflow.*", "batch.*"])
        add, fail = box.app.handlers["add"], box.app.handlers["fail"]
        good = await box.app.run(chain(add.job(1, 2), group(add.job(3, 4), add.job(5, 6))))
        bad = await box.app.run(chain(fail.job(), add.job(1, 2)))
        many = await box.app.run(batch([add.job(1, 1), add.job(2, 2)], then=add.job(0, 0)))
        for _ in range(3):
            await box.advance(timedelta(seconds=2))
            await box.app.enqueue_many([box.app.webhooks.handlers.sweep.job()])
            await box.drain()
        told = {each["data"]["id"]: each["data"] for each in receiver.events("workflow.finished")}
        assert {id: each["state"] for id, each in told.items()} == {
            good.id: "completed",
            bad.id: "failed",
            many.id: "completed",
        }
        assert told[bad.id]["counts"]["cancelled"] == 1
        assert len(receiver.events("workflow.finished")) == 3, "each once"
        (over,) = receiver.events("batch.finished")
        assert over["data"]["counts"]["completed"] == 2 and over["data"]["workflow"] == many.id


async def test_an_attempt_that_is_made_again_is_told(memory_app: Windlass, receiver: Receiver) -> None:
    async with held(memory_app) as box:
        await box.app.webhooks.add(receiver.url, events="job.retrying")
        await box.app.handlers["fail"].options(max_attempts=2).enqueue("later")
        await box.drain()
        (event,) = receiver.events()
        assert event["type"] == "job.retrying" and event["data"]["error"]["message"] == "later"


async def test_own_jobs_tell_nothing(memory_app: Windlass, receiver: Receiver) -> None:
    async with memory_app as app:
        made = await app.webhooks.add(receiver.url)
        await app.webhooks.ping(made.id)
        await drained(app)
        assert [event["type"] for event in receiver.events()] == ["ping"]


async def test_encrypted_kinds_keep_their_arguments(receiver: Receiver) -> None:
    from windlass.secrecy import Keys, generate_key

    app = Windlass("sqlite://:memory:", webhook_networks="127.0.0.0/8", encryption=Keys(f"k1:{generate_key()}"))

    @app.job(encrypt=True)
    def hush(secret: str) -> str:
        return secret

    async with app:
        await app.webhooks.add(receiver.url, include=["args", "result"])
        await hush.enqueue("the-canary")
        await app.drain()
        (got,) = receiver.got
        assert b"the-canary" not in got.body and "args" not in got.event["data"]


async def test_changes_are_checked_and_audited(memory_app: Windlass) -> None:
    async with memory_app as app:
        made = await app.webhooks.add("http://127.0.0.1:9/x", actor="ann")
        for fields in ({"events": "job.exploded"}, {"events": []}, {"include": ["secrets"]}, {"active": "yes"}):
            with pytest.raises(InvalidOption):
                await app.webhooks.edit(made.id, **fields)  # type: ignore[arg-type]
        with pytest.raises(InvalidOption):
            await app.webhooks.add("http://127.0.0.1:9/x", secret="short")
        with pytest.raises(WebhookNotFound):
            await app.webhooks.get("we_0000000000000000")
        await app.webhooks.remove(made.id, actor="bob")
        store: Store = await app.store()
        acts = await store.audit(AuditQuery(target=f"webhook:{made.id}"))
        assert [(act.actor, act.action) for act in acts] == [("bob", "remove-webhook"), ("ann", "add-webhook")]
        assert made.secret not in repr(acts) + repr(made)


async def _silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()  # until the other side leaves
    writer.close()


async def test_a_slow_receiver_holds_up_only_itself(memory_app: Windlass, receiver: Receiver) -> None:
    async with asyncio.timeout(30), memory_app as app:
        silent = await asyncio.start_server(_silent, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        await app.webhooks.add(f"http://127.0.0.1:{port}/", events="job.completed")
        await app.webhooks.add(receiver.url, events="job.completed")
        worker = app.worker()
        running = asyncio.create_task(worker.run())
        await app.enqueue_many([app.handlers["add"].job(n, n) for n in range(40)])
        await until(lambda: len(receiver.got) == 40, "all of the other's deliveries")
        await worker.stop(0)
        await running
        silent.close()
