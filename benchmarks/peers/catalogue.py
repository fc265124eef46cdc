"""Who is measured: each peer's packages, its adapter, how it is tuned, and what must be known to read its figures fairly."""

from dataclasses import dataclass, field
from typing import Literal

Engine = Literal["redis", "postgres", "sqlite"]


@dataclass(frozen=True)
class Peer:
    """`jobs`: how many a drain takes with one and with four worker processes, so that it lasts seconds, not minutes.

    `supervises`: its own command starts several processes, else the harness starts one driver for each.
    `unfinished`: SQL that counts what its own tables do not yet call done.
    `packages`: each is one install argument; alternatives, split by `|`, are tried in turn.
    """

    name: str
    engine: Engine
    adapter: str
    packages: tuple[str, ...]
    jobs: tuple[int, int]
    bulk: str
    settings: str
    result: str
    note: str
    language: Literal["python", "node"] = "python"
    supervises: bool = False
    variant: str = ""
    unfinished: str = ""
    reports: tuple[str, ...] = field(default=())

    @property
    def ours(self) -> bool:
        return self.adapter == "windlass"


GATHERED = "none: 200 awaits at once"
THREADS = "none: 4 threads"

FENCED = "claims and finishes in batches; every finish is fenced by its lease"


def windlass(engine: Engine, jobs: tuple[int, int], unfinished: str = "") -> Peer:
    return Peer(
        f"windlass-{engine}",
        engine,
        "windlass",
        packages=(),
        jobs=jobs,
        bulk="enqueue_many, 1,000 a call",
        settings="concurrency 200, lease 10 s",
        result="yes",
        note=FENCED,
        unfinished=unfinished,
    )


WINDLASS = (
    windlass("redis", (100_000, 100_000)),
    windlass("postgres", (50_000, 100_000), "SELECT count(*) FROM windlass.job WHERE state IN ('waiting', 'active')"),
    windlass("sqlite", (50_000, 50_000), "SELECT count(*) FROM windlass_job WHERE state IN ('waiting', 'active')"),
)

ON_REDIS = (
    Peer(
        "celery",
        "redis",
        "celery",
        ("celery[redis]", "hiredis"),
        jobs=(1_500, 3_000),
        bulk="group of 1,000",
        settings="prefork, 1 (4) children, prefetch 64",
        result="yes",
        note="acknowledges before running; a killed worker's prefetched jobs wait for the visibility timeout (1 h by default)",
        supervises=True,
        reports=("celery", "kombu"),
    ),
    Peer(
        "rq",
        "redis",
        "rq",
        ("rq", "hiredis"),
        jobs=(1_500, 3_000),
        bulk="enqueue_many, 1,000 a call",
        settings="SimpleWorker, one job at a time",
        result="yes",
        note="the default worker forks per job and runs about a fifth as fast",
    ),
    Peer(
        "dramatiq",
        "redis",
        "dramatiq",
        ("dramatiq[redis]", "hiredis"),
        jobs=(5_000, 10_000),
        bulk=THREADS,
        settings="16 threads, Results middleware",
        result="yes",
        note="dead workers are found by random maintenance (0.1 % of commands) after a heartbeat timeout (60 s by default)",
        supervises=True,
    ),
    Peer(
        "taskiq-list",
        "redis",
        "taskiq",
        ("taskiq-redis", "uvloop", "orjson", "hiredis"),
        jobs=(5_000, 8_000),
        bulk=GATHERED,
        settings="200 tasks, prefetch 200, ORJSON, uvloop",
        result="yes",
        note="no acknowledgement: what a killed worker held is lost",
        supervises=True,
        variant="list",
        reports=("taskiq", "taskiq-redis"),
    ),
    Peer(
        "taskiq-stream",
        "redis",
        "taskiq",
        ("taskiq-redis", "uvloop", "orjson", "hiredis"),
        jobs=(5_000, 8_000),
        bulk=GATHERED,
        settings="200 tasks, prefetch 200, reads 200, ORJSON, uvloop",
        result="yes",
        note="claims dead workers' jobs only after a read that returned something (10 min idle by default)",
        supervises=True,
        variant="stream",
        reports=("taskiq", "taskiq-redis"),
    ),
    Peer(
        "arq",
        "redis",
        "arq",
        ("arq", "uvloop"),
        jobs=(5_000, 5_000),
        bulk=GATHERED,
        settings="max_jobs 1,000, poll 10 ms, reads 1,000, uvloop",
        result="yes, 1 h",
        note="polls; every worker tries the same jobs",
    ),
    Peer(
        "saq",
        "redis",
        "saq",
        ("saq[redis,hiredis]", "typing_extensions", "uvloop"),  # it imports typing_extensions without asking for it
        jobs=(5_000, 10_000),
        bulk=GATHERED,
        settings="concurrency 50, 100 operations at once, uvloop",
        result="yes, 10 min",
        note="its sweep finds stuck jobs by their timeout",
    ),
    Peer(
        "huey-redis",
        "redis",
        "huey",
        ("huey", "redis", "hiredis"),
        jobs=(5_000, 15_000),
        bulk=THREADS,
        settings="4 threads (4 processes), poll 10-20 ms",
        result="yes",
        note="no acknowledgement: what a killed worker held is lost",
        supervises=True,
    ),
    Peer(
        "bullmq-python",
        "redis",
        "bullmq",
        ("bullmq", "hiredis", "uvloop"),
        jobs=(5_000, 10_000),
        bulk="addBulk, 1,000 a call",
        settings="concurrency 100, uvloop",
        result="yes",
        note="one script call finishes a job and fetches the next",
    ),
    Peer(
        "bullmq-node",
        "redis",
        "bullmq",
        ("bullmq@*", "ioredis@*"),
        jobs=(20_000, 20_000),
        bulk="addBulk, 1,000 a call",
        settings="concurrency 100",
        result="yes",
        note="one script call finishes a job and fetches the next",
        language="node",
    ),
    Peer(
        "bee-queue",
        "redis",
        "bee-queue",
        ("bee-queue@*",),
        jobs=(50_000, 50_000),
        bulk="saveAll, 1,000 a call",
        settings="concurrency 100",
        result="status only; the result goes out by pubsub",
        note="no priorities, no workflow; no state of a job beyond its status",
        language="node",
    ),
)

ON_POSTGRES = (
    Peer(
        "procrastinate",
        "postgres",
        "procrastinate",
        ("procrastinate", "psycopg[binary]", "uvloop"),
        jobs=(1_500, 3_000),
        bulk="batch_defer, 1,000 a call",
        settings="concurrency 40, LISTEN/NOTIFY, uvloop",
        result="status only, no return value",
        note="one fetch and one finish statement per job, each its own commit; stalled jobs are retried by the user's own task",
        unfinished="SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing')",
    ),
    Peer(
        "pgqueuer",
        "postgres",
        "pgqueuer",
        ("pgqueuer[asyncpg]", "uvloop"),
        jobs=(20_000, 40_000),
        bulk="enqueue(lists), 1,000 a call",
        settings="batch 200, asyncpg pool, durable tables, uvloop",
        result="log row only, no return value",
        note="completions wait in memory: a killed worker's finished jobs run again",
        unfinished="SELECT count(*) FROM pgqueuer WHERE status IN ('queued', 'picked')",
    ),
    Peer(
        "graphile-worker",
        "postgres",
        "graphile-worker",
        ("graphile-worker@*",),
        jobs=(50_000, 50_000),
        bulk="addJobs, 1,000 a call",
        settings="concurrentJobs 100, localQueue 500, completeJobBatchDelay 0",
        result="none: the row is deleted",
        note="a killed worker's jobs stay locked for 4 h",
        language="node",
        unfinished="SELECT count(*) FROM graphile_worker._private_jobs",
    ),
    Peer(
        "pg-boss",
        "postgres",
        "pg-boss",
        ("pg-boss@*|pg-boss@12.30.0",),
        jobs=(50_000, 50_000),
        bulk="insert, 1,000 a call",
        settings="batchSize 500, localConcurrency 4, burstWhenBatchFull, poll 0.5 s (its shortest)",
        result="completed row, no output",
        note="a whole batch is one handler call and one statement: one failing job fails its batch; jobs expire after 15 min",
        language="node",
        unfinished="SELECT count(*) FROM pgboss.job WHERE name = 'bench' AND state < 'completed'",
    ),
)

ON_SQLITE = (
    Peer(
        "huey-sqlite",
        "sqlite",
        "huey",
        ("huey", "redis", "hiredis"),
        jobs=(5_000, 5_000),
        bulk="none: one after the other",
        settings="1 thread (4 processes), poll 10-20 ms, WAL, synchronous FULL (its default)",
        result="yes",
        note="no acknowledgement: what a killed worker held is lost",
        supervises=True,
    ),
    Peer(
        "litequeue",
        "sqlite",
        "litequeue",
        ("litequeue",),
        jobs=(5_000, 5_000),
        bulk="none: one after the other",
        settings="hand-written loop (it ships no worker), WAL, synchronous NORMAL",
        result="no",
        note="a bare table: no worker, no retries, no recovery",
    ),
)

PEERS = (*WINDLASS, *ON_REDIS, *ON_POSTGRES, *ON_SQLITE)

NOT_MEASURED = {
    "oban (Python)": "asks for Python 3.12 or newer; this harness runs every Python peer on Python 3.11",
}


def chosen(names: list[str] | None) -> tuple[Peer, ...]:
    """The peers named, by full name or by engine; all without names."""
    if not names:
        return PEERS
    known = {peer.name for peer in PEERS} | {peer.engine for peer in PEERS} | {"windlass"}
    unknown = sorted(set(names) - known)
    if unknown:
        raise SystemExit(f"no such peer: {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    return tuple(p for p in PEERS if p.name in names or p.engine in names or (p.ours and "windlass" in names))
