"""The program of the public contract, as it is written there."""

from windlass import Context, Priority, Windlass, exponential


async def test_the_program_of_the_contract(app: Windlass) -> None:
    @app.job(
        queue="email-sending",
        priority=Priority.HIGH,
        max_attempts=5,
        backoff=exponential("2s", factor=2, cap="5m", jitter=0.2),
        timeout="30s",
    )
    async def send_email(ctx: Context, to: str, subject: str = "Welcome") -> dict[str, str]:
        await ctx.progress(50, "rendered")
        return {"to": to}

    @app.job
    def add(a: int, b: int) -> int:
        return a + b

    async with app:
        assert add(1, 2) == 3
        ref = await add.enqueue(1, b=2)
        refs = await app.enqueue_many([add.job(i, i) for i in range(1000)])
        later = await send_email.options(
            delay="5m",
            priority=10,
            unique="welcome:42",
            user="42",
            plan="pro",
            tags=["urgent"],
            after=[ref],
            expires="1h",
        ).enqueue("a@example.com")
        same = await app.enqueue("add", 3, b=4)
        opts = await app.kind("add").options(delay="5m").enqueue(3, b=4)
        assert await app.drain() == 1002
        assert await ref.result(timeout=10) == 3
        assert await same.result(timeout=10) == 7
        assert [await each.result(timeout=10) for each in refs[:3]] == [0, 2, 4]
        job = await app.jobs.get(ref.id)
        assert (job.id, job.kind, job.queue, job.state, job.args) == (
            ref.id,
            "add",
            "default",
            "completed",
            {"a": 1, "b": 2},
        )
        assert (job.result, job.error, job.attempt, job.max_attempts, len(job.attempts)) == (3, None, 1, 3, 1)
        assert (await opts.job()).state == "delayed"
        mail = await app.jobs.get(later.id)
        assert (mail.state, mail.priority, mail.user, mail.tags, mail.unique) == (
            "delayed",
            10,
            "42",
            ("urgent",),
            "welcome:42",
        )
        page = await app.jobs.list(state="completed", queue="default", limit=50)
        assert len(page.items) == 50
        assert page.next
        assert await app.jobs.cancel(later.id) == 1
        assert (await later.job()).state == "cancelled"
        assert await app.jobs.requeue(ids=[ref.id]) == 1
        await app.queues.pause("email-sending")
        await app.queues.resume("email-sending")
        stats = await app.queues.stats()
        assert stats["email-sending"] == {
            "blocked": 0,
            "delayed": 0,
            "waiting": 0,
            "active": 0,
            "retrying": 0,
            "completed": 0,
            "failed": 0,
            "cancelled": 1,
        }
        assert stats["default"]["completed"] == 1001
        assert stats["default"]["waiting"] == 1
