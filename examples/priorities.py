"""Priority rules: a job's kind, arguments, tags and plan decide how urgent it is, unless it says so itself."""

import asyncio

from windlass import BY_PLAN, BY_TAG, Priority, PriorityRule, Windlass

app = Windlass("sqlite://:memory:")
app.priority_rules = [*BY_PLAN, *BY_TAG]


@app.job(
    priority_rules=[
        PriorityRule("production", Priority.CRITICAL, args={"environment": "production"}),
        PriorityRule("staging", Priority.NORMAL, args={"environment": ["staging", "test"]}),
        PriorityRule("large", Priority.LOW, args={"code": lambda code: len(code) > 500}),
        PriorityRule("hotfix", Priority.HIGH, when=lambda args: args["code"].startswith("fix")),
    ]
)
async def deploy(environment: str, code: str = "") -> None: ...


async def main() -> None:
    async with app:
        for handler, args in (
            (deploy, ("production", "x" * 501)),
            (deploy.options(tags=["urgent"]), ("staging",)),
            (deploy.options(plan="pro"), ("dev",)),
            (deploy.options(plan="free"), ("dev", "fix it")),
            (deploy, ("dev",)),
            (deploy.options(priority=-1, tags=["urgent"]), ("production",)),
        ):
            job = await (await handler.enqueue(*args)).job()
            print(f"{job.priority:>3}  {job.rule}")


if __name__ == "__main__":
    asyncio.run(main())
