"""Rows of your own tables and jobs, committed together or not at all: SQLite, where both are in one file."""

import asyncio
import tempfile

from windlass import JobRef, Windlass

folder = tempfile.TemporaryDirectory()
app = Windlass(f"sqlite:///{folder.name}/shop.db")


@app.job
async def confirm(order: int, to: str) -> str:
    return f"order {order} confirmed to {to}"


async def place_order(to: str, cents: int) -> JobRef[str]:
    async with app.transaction() as tx:
        ((order,),) = tx.execute("insert into orders (who, cents) values (?, ?) returning id", (to, cents))
        ref = await confirm.enqueue(order, to)  # joins; options(connection=tx) says so explicitly
        if cents > 100_000:
            raise ValueError("over the limit")
    return ref


async def main() -> None:
    async with app:
        async with app.transaction() as tx:
            tx.execute("create table orders (id integer primary key, who text not null, cents integer not null)")
        ref = await place_order("ann@example.com", 1_250)
        try:
            await place_order("bob@example.com", 9_999_900)
        except ValueError as error:
            print(f"rolled back: {error}")
        print(f"{await app.drain()} job ran")
        print(await ref.result())
        async with app.transaction() as tx:
            print(tx.execute("select who from orders"))


with folder:
    asyncio.run(main())
