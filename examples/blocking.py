"""The blocking door, for scripts, Django and Flask: no event loop in sight."""

from windlass import Windlass

app = Windlass("sqlite://:memory:")


@app.job
def add(a: int, b: int) -> int:
    return a + b


def main() -> None:
    ref = app.sync.enqueue(add, 1, 2)
    app.sync.enqueue(add.options(delay="5m"), 3, 4)
    app.sync.enqueue_many([add.job(n, n) for n in range(10)])
    print("ran", app.sync.run(app.drain()))
    print("1 + 2 =", app.sync.result(ref, timeout=10))
    print("state:", app.sync.run(app.jobs.get(ref.id)).state)


if __name__ == "__main__":
    main()
