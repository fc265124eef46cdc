"""Commands by filter over many jobs: what one call has passed over is not looked at again by the next."""

import redis

from tests.servers import RedisServer
from tests.store.kit import HOUR, new
from windlass.store.redis.engine import RedisStore
from windlass.store.redis.reading import SCANNED
from windlass.values.job import NewJob
from windlass.values.query import Action, Command, Where
from windlass.values.states import State

OTHERS, ASKED, EACH = SCANNED + 1_000, 1_000, 100


def scripts_run(server: RedisServer) -> int:
    with redis.Redis.from_url(server.url) as client:
        return client.info("commandstats")["cmdstat_evalsha"]["calls"]


async def test_a_command_by_filter_goes_on_where_it_stopped() -> None:
    with RedisServer() as server:
        store = RedisStore(server.url, "many")
        await store.open()
        try:
            asked: list[NewJob[int]] = [new("asked", delay=HOUR) for _ in range(ASKED)]
            await store.enqueue(asked)
            await store.enqueue([new("other", delay=HOUR) for _ in range(OTHERS)])
            before, calls, done = scripts_run(server), 0, list[str]()
            more = True
            while more:
                where = Where(states=(State.DELAYED,), kinds=("asked",))
                answer = await store.command(Command(action=Action.DELETE), where, EACH, "ops")
                more, calls, done = answer.more, calls + 1, [*done, *answer.done]
            assert sorted(done) == sorted(job.id for job in asked)
            assert calls <= ASKED / EACH + 1
            # Twice around is some 12 pages a thousand jobs, of 250 records each; each call alone would be that many.
            assert scripts_run(server) - before < 2 * 8 * (OTHERS + ASKED) / 1_000 + 4 * calls
            assert (await store.command(Command(action=Action.DELETE), Where(kinds=("other",)), 10, "ops")).more
        finally:
            await store.close()
