"""Workflows run by a worker: order, results, failures, callbacks, members added by members."""

import pytest

from tests.worker.kit import working
from windlass import (
    Context,
    InvalidWorkflow,
    JobCancelled,
    JobFailed,
    JobNotFound,
    UnknownParent,
    Windlass,
    batch,
    chain,
    group,
    result_of,
)
from windlass.values.job import NOT_TRIGGERED, OnFailure
from windlass.values.query import Retention


def ran_in(app: Windlass) -> list[str]:
    """Declares `step(name, fail)`; the names in the order in which they ran."""
    ran: list[str] = []

    @app.job(max_attempts=1)
    async def step(name: str, fail: bool = False) -> str:
        ran.append(name)
        if fail:
            raise ValueError(name)
        return name

    return ran


async def test_a_nested_workflow_runs_in_order(app: Windlass) -> None:
    ran = ran_in(app)
    step = app.handlers["step"]
    flow = chain(
        step.job("start"),
        group(chain(step.job("a1"), step.job("a2")), chain(step.job("b1"), group(step.job("b2"), step.job("b3")))),
        step.job("end"),
    )
    async with app:
        ref = await app.run(flow)
        assert len(ref.jobs) == 7
        await app.drain()
        assert await ref.result(timeout=1) == "end"
        assert (ran[0], ran[-1], sorted(ran)) == (
            "start",
            "end",
            sorted(["start", "a1", "a2", "b1", "b2", "b3", "end"]),
        )
        assert ran.index("a1") < ran.index("a2")
        assert ran.index("b1") < min(ran.index("b2"), ran.index("b3"))
        status = await ref.status()
        assert (status.state, status.counts, status.is_over) == ("completed", {"completed": 7}, True)


async def test_the_result_of_a_group_is_a_tuple(app: Windlass) -> None:
    ran_in(app)
    step = app.handlers["step"]
    async with app:
        ref = await app.run(group(step.job("a"), group(step.job("b"), chain(step.job("x"), step.job("c")))))
        await app.drain()
        assert await ref.result(timeout=1) == ("a", ("b", "c"))


async def test_a_failure_takes_the_rest_along(app: Windlass) -> None:
    ran = ran_in(app)
    step = app.handlers["step"]
    async with app:
        ref = await app.run(chain(step.job("a"), step.job("b", fail=True), step.job("c"), step.job("d")))
        await app.drain()
        with pytest.raises(JobCancelled):
            await ref.result(timeout=1)
        assert ran == ["a", "b"]
        graph = await app.workflows.get(ref.id)
        assert [node.state for node in graph.nodes] == ["completed", "failed", "cancelled", "cancelled"]
        assert (graph.state, len(graph.edges)) == ("failed", 3)


async def test_policies(app: Windlass) -> None:
    ran = ran_in(app)
    step = app.handlers["step"]
    bad = step.job("bad", fail=True)
    policies: tuple[OnFailure, ...] = ("run", "hold", "fail", "trigger")
    after = [step.options(after=[bad], on_failure=policy, name=policy).job(policy) for policy in policies]
    async with app:
        ref = await app.run(group(bad, *after))
        await app.drain()
        graph = await app.workflows.get(ref.id)
        states = {node.name: str(node.state) for node in graph.nodes}
        assert states == {
            None: "failed",
            "run": "completed",
            "hold": "blocked",
            "fail": "failed",
            "trigger": "completed",
        }
        assert sorted(ran) == ["bad", "run", "trigger"]


async def test_results_of_parents_in_every_way(app: Windlass) -> None:
    seen: dict[str, object] = {}

    @app.job
    async def number(n: int) -> int:
        return n

    @app.job
    def text(t: str) -> str:
        return t

    @app.job
    async def gather(ctx: Context, factor: int, word: str) -> int:
        seen["all"] = ctx.parents.all(number)
        seen["one"] = ctx.parents.one(text)
        seen["named"] = ctx.parents["second"]
        seen["by id"] = ctx.parents[first.id]
        seen["len"] = len(ctx.parents)
        with pytest.raises(LookupError):
            ctx.parents.one(number)
        with pytest.raises(KeyError):
            ctx.parents["nobody"]
        return factor * sum(ctx.parents.all(number)) + len(word)

    @app.job
    def in_thread(ctx: Context) -> int:
        return ctx.parents.one(gather)

    first, second, third = number.job(1), number.options(name="second").job(2), text.job("abc")
    end = gather.options(after=[first, second, third]).job(result_of(second), word=result_of(third))
    async with app:
        ref = await app.run(chain(group(first, second, third, end), in_thread.job()))
        await app.drain()
        assert await ref.result(timeout=1) == 2 * 3 + 3
        assert seen == {"all": [1, 2], "one": "abc", "named": 2, "by id": 1, "len": 3}


async def test_parents_that_retention_deleted_are_missed(app: Windlass) -> None:
    """A sum over what is left of them would be wrong and look right."""

    @app.job
    async def number(n: int) -> int:
        return n

    @app.job(queue="later", max_attempts=1)
    async def total(ctx: Context) -> int:
        return sum(ctx.parents.all(number))

    async with app:
        ref = await app.run(chain(group(*[number.job(n) for n in range(5)]), total.job()))
        await app.queues.pause("later")
        await app.drain()
        store = await app.store()
        assert await store.prune(Retention(completed=0), 3) == 3
        await app.queues.resume("later")
        await app.drain()
        job = await app.jobs.get(ref.jobs[-1].id)
        assert (job.state, job.error and job.error.type) == ("failed", "JobNotFound")
        assert job.error is not None and "3 of 5 parents" in job.error.message


async def test_a_promised_result_that_does_not_come(app: Windlass) -> None:
    ran_in(app)
    step = app.handlers["step"]
    bad = step.job("bad", fail=True)
    async with app:
        ref = await app.run(group(bad, step.options(on_failure="run").job(result_of(bad))))
        await app.drain()
        job = await app.jobs.get(ref.jobs[1].id)
        assert job.state == "failed"
        assert job.error is not None
        assert "is the result of another job" in job.error.message


async def test_a_failed_parent_raises_where_it_is_asked(app: Windlass) -> None:
    ran_in(app)
    step = app.handlers["step"]
    said: list[str] = []

    @app.job
    async def tidy(ctx: Context) -> None:
        try:
            ctx.parents["bad"]
        except JobFailed as failed:
            said.append(failed.message)
        assert list(ctx.parents.values()) == ["good"]
        assert [job.state for job in ctx.parents.jobs] == ["failed", "completed"]

    async with app:
        ref = await app.run(
            chain(
                group(step.options(name="bad").job("bad", fail=True), step.job("good")),
                tidy.options(on_failure="run").job(),
            )
        )
        await app.drain()
        await ref.result(timeout=1)
        assert "ValueError: bad" in said[0]


async def test_callbacks_run_once(app: Windlass) -> None:
    ran = ran_in(app)
    step = app.handlers["step"]
    async with app:
        good = batch(
            [step.job(f"g{n}") for n in range(20)],
            then=step.job("g then"),
            on_success=step.job("g success"),
            on_failure=step.job("g failure"),
        )
        bad = batch(
            [step.job(f"b{n}", fail=n % 7 == 3) for n in range(20)],
            then=step.job("b then"),
            on_success=step.job("b success"),
            on_failure=step.job("b failure"),
        )
        refs = [await app.run(good), await app.run(bad)]
        await app.drain()
        assert [ran.count(f"g {name}") for name in ("then", "success", "failure")] == [1, 1, 0]
        assert [ran.count(f"b {name}") for name in ("then", "success", "failure")] == [1, 0, 1]
        assert [(await ref.status()).state for ref in refs] == ["completed", "failed"]
        assert [await ref.result(timeout=1) for ref in refs] == ["g then", "b then"]
        graph = await app.workflows.get(refs[0].id)
        assert [node.reason for node in graph.nodes if node.state == "cancelled"] == [NOT_TRIGGERED]
        assert {node.role for node in graph.nodes} == {"member", "callback"}


async def test_the_first_failure_is_told_while_others_still_run(app: Windlass) -> None:
    ran = ran_in(app)
    step = app.handlers["step"]
    async with app:
        late = step.options(delay="1h").job("late")
        await app.run(batch([step.job("bad", fail=True), late], then=step.job("then"), on_failure=step.job("alarm")))
        await app.drain()
        assert ran == ["bad", "alarm"]
        await app.jobs.run_now(late.id)
        await app.drain()
        assert ran == ["bad", "alarm", "late", "then"]


async def test_a_batch_seen_from_its_callback(app: Windlass) -> None:
    ran_in(app)
    step = app.handlers["step"]

    @app.job
    async def report(ctx: Context) -> dict[str, object]:
        counts = await ctx.batch.counts()
        failed = [member.args["name"] async for member in ctx.batch.members(state="failed")]
        return {"completed": counts["completed"], "failed": sorted(failed), "all": sum(counts.values())}

    async with app:
        ref = await app.run(batch([step.job(str(n), fail=n in (3, 4)) for n in range(10)], then=report.job()))
        await app.drain()
        assert await ref.result(timeout=1) == {"completed": 8, "failed": ["3", "4"], "all": 10}


async def test_members_add_members_and_the_callback_waits(app: Windlass) -> None:
    ran: list[str] = []

    @app.job
    async def crawl(ctx: Context, page: str, depth: int) -> None:
        ran.append(page)
        if depth:
            ctx.batch.add(crawl.job(page + "a", depth - 1), crawl.job(page + "b", depth - 1))

    @app.job
    async def done(ctx: Context) -> int:
        ran.append("done")
        with pytest.raises(Exception, match="cannot add"):
            ctx.batch.add(crawl.job("x", 0))
        return (await ctx.batch.counts())["completed"]

    async with app:
        ref = await app.run(batch([crawl.job("/", 4)], then=done.job()))
        await app.drain()
        assert await ref.result(timeout=1) == 31
        assert (len(ran), ran[-1]) == (32, "done")
        graph = await app.workflows.get(ref.id)
        assert (len(graph.nodes), len(graph.edges)) == (32, 31)


async def test_jobs_handed_over_come_with_the_completion_only(app: Windlass) -> None:
    ran: list[str] = []

    @app.job
    async def child(name: str) -> None:
        ran.append(name)

    @app.job(max_attempts=2, backoff=lambda attempt: 0)
    async def parent(ctx: Context, name: str) -> str:
        ref = ctx.enqueue(child, f"{name} {ctx.attempt}")
        ctx.hand_over(child.options(after=[ctx.id]).job(f"{name} behind"))
        if ctx.attempt == 1:
            raise ValueError("not yet")
        return ref.id

    @app.job
    def in_thread(ctx: Context) -> None:
        ctx.enqueue(child, "thread")

    async with app:
        first = await parent.enqueue("p")
        flow = await app.run(chain(in_thread.job(), child.job("last")))
        while await app.drain():
            pass
        assert sorted(ran) == ["last", "p 2", "p behind", "thread"]
        assert (await app.jobs.get(await first.result(timeout=1))).state == "completed"
        assert len(await app.workflows.jobs(flow.id)) == 3


async def test_an_open_batch_waits_until_it_is_closed(app: Windlass) -> None:
    ran = ran_in(app)
    step = app.handlers["step"]
    async with app:
        async with app.workflows.open(then=step.job("then"), on_failure=step.job("alarm"), name="big") as filling:
            ref = filling.ref
            assert await filling.add(step.job(str(n)) for n in range(30)) == 30
            await app.drain()
            assert (len(ran), (await ref.status()).state) == (30, "running")
            assert await filling.add([step.job("more"), step.job("bad", fail=True)]) == 2
        await app.drain()
        assert sorted(ran[30:]) == ["alarm", "bad", "more", "then"]
        assert await ref.result(timeout=1) == "then"
        with pytest.raises(ZeroDivisionError):
            async with app.workflows.open(then=step.job("never")) as filling:
                await filling.add([step.job("x")])
                raise ZeroDivisionError
        await app.drain()
        assert (await filling.ref.status()).counts == {"cancelled": 3}
        with pytest.raises(InvalidWorkflow):
            app.workflows.open()


async def test_cancel_goes_down(app: Windlass) -> None:
    ran = ran_in(app)
    step = app.handlers["step"]
    async with app:
        flow = chain(
            step.job("a"),
            batch([step.job(str(n)) for n in range(5)], then=step.job("then"), on_failure=step.job("alarm")),
            step.job("end"),
        )
        ref = await app.run(flow)
        assert await ref.cancel() == 9
        assert await ref.cancel() == 0
        await app.drain()
        assert ran == []
        status = await ref.status()
        assert (status.state, status.counts) == ("cancelled", {"cancelled": 9})
        acted = await app.workflows.retry(ref.id)
        assert acted == 9
        await app.drain()
        assert (ran[0], ran[-1], len(ran)) == ("a", "end", 8)
        assert (await ref.status()).state == "completed"


async def test_retry_goes_on_from_the_failure(app: Windlass) -> None:
    ran: list[str] = []
    broken = [True]

    @app.job(max_attempts=1)
    async def step(name: str) -> str:
        ran.append(name)
        if name == "b" and broken[0]:
            raise ValueError
        return name

    async with app:
        flow = chain(step.job("a"), group(step.job("b"), step.job("c")), step.job("d"), step.job("e"))
        ref = await app.run(flow)
        await app.drain()
        assert (sorted(ran), (await ref.status()).state) == (["a", "b", "c"], "failed")
        for _ in range(2):
            ran.clear()
            await app.workflows.retry(ref.id)
            await app.drain()
            assert ran == ["b"]
        broken[0] = False
        ran.clear()
        await app.workflows.retry(ref.id)
        await app.drain()
        assert ran == ["b", "d", "e"]
        assert await ref.result(timeout=1) == "e"


async def test_requeue_of_a_job_may_revive(app: Windlass) -> None:
    broken = [True]

    @app.job(max_attempts=1)
    async def flaky() -> int:
        if broken[0]:
            raise ValueError
        return 1

    async with app:
        ref = await app.run(chain(flaky.job(), flaky.job()))
        await app.drain()
        broken[0] = False
        await app.jobs.requeue(ids=[ref.jobs[0]], revive=True)
        await app.drain()
        assert await ref.result(timeout=1) == 1


async def test_listing(app: Windlass) -> None:
    ran_in(app)
    step = app.handlers["step"]
    async with app:
        await step.enqueue("alone")
        refs = [
            await app.run(chain(step.job("a"), step.job("b"))),
            await app.run(batch([step.job("c", fail=True)], then=step.job("d"), name="nightly")),
        ]
        page = await app.workflows.list()
        assert [(info.id, info.name, info.state, info.jobs) for info in page.items] == [
            (refs[1].id, "nightly", "running", 2),
            (refs[0].id, None, "running", 2),
        ]
        await app.drain()
        page = await app.workflows.list(limit=10)
        assert [info.state for info in page.items] == ["failed", "completed"]
        with pytest.raises(JobNotFound):
            await app.workflows.get("nothing")


async def test_enqueue_many_takes_graphs_and_refuses_circles(app: Windlass) -> None:
    ran = ran_in(app)
    step = app.handlers["step"]
    async with app:
        one = step.job("one")
        two = step.options(after=[one]).job("two")
        await app.enqueue_many([two, one])
        await app.drain()
        assert ran == ["one", "two"]
        with pytest.raises(UnknownParent):
            await app.run(chain(step.options(after=["01890000-0000-7000-8000-000000000000"]).job("x"), step.job("y")))
        assert (await app.workflows.list()).items == []


async def test_a_worker_that_stays_runs_workflows_too(app: Windlass) -> None:
    ran_in(app)
    step = app.handlers["step"]
    async with app, working(app):
        refs = [await app.run(chain(*[step.job(str(n)) for n in range(10)])) for _ in range(5)]
        assert [await ref.result(timeout=20) for ref in refs] == ["9"] * 5
