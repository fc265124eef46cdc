"""Mistakes that both type checkers must report, one on each line marked `# E` and nowhere else (see `test_types.py`)."""

from windlass import Chunk, Context, Limit, Windlass, chain, group, result_of

app = Windlass()


@app.job
def add(a: int, b: int) -> int:
    return a + b


@app.job(queue="q")
async def mail(ctx: Context, to: str) -> str:
    return to


async def main() -> None:
    await add.enqueue("1", 2)  # E wrong type
    await add.enqueue(1)  # E missing
    await mail.enqueue(to=3)  # E wrong type
    await mail.enqueue("a", cc="b")  # E unknown
    mail.job()  # E missing
    mail.options(dely="5m")  # E unknown option
    mail.options(priority="high")  # E wrong option type
    add.options(on_failure="explode")  # E wrong choice
    app.sync.enqueue(add, "x", 2)  # E wrong type
    await app.enqueue(add, 1)  # E missing
    mail.options(skip_cache="yes")  # E wrong option type
    mail.options(unique=5)  # E wrong option type
    await mail("a")  # E the plain call still wants ctx
    await app.enqueue_many([add])  # E handlers are no jobs
    await add.options(delay=1)(1, 2)  # E a copy with options is not callable
    await app.run(chain())  # E empty chain
    await app.run(add)  # E a handler is no job
    mail.job(result_of(add.job(1, 2)))  # E the result is an int
    number: int = await (await app.run(group(add.job(1, 2)))).result()  # E the result is a tuple
    text: str = await (await add.enqueue(1, 2)).result()  # E the result is an int
    print(text, number)


@app.job(quue="x")  # E unknown option
def f() -> None: ...


@app.job(concurrency="2")  # E wrong type
def limited() -> None: ...


@app.job(limits=[Limit(by="a", rate=5)])  # E a number is no rate
def rated(a: int) -> None: ...


@app.job(runtime="fiber")  # E wrong choice
def g() -> None: ...


@app.job
async def durable(ctx: Context) -> None:
    await ctx.step("double", doubled, "x")  # E wrong type of a step's argument
    number: int = await ctx.step("text", str, 1)  # E the step's result is text
    print(number)


def doubled(n: int) -> int:
    return n * 2


@app.job(chunk=10)
async def embed(chunk: Chunk[str, int]) -> None:
    chunk[0].done("x")  # E wrong type of result


async def shapes() -> None:
    await embed.enqueue(1)  # E wrong type of item
    await embed.enqueue("a", "b")  # E one item a job
    await durable.enqueue(1)  # E it takes nothing


@app.job(chunk="10")  # E wrong type
def h(chunk: Chunk[int, int]) -> None: ...
