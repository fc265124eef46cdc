"""`python -m tests.servers redis|postgres`: starts one, prints its URL, and stops when stdin closes or on SIGTERM."""

import signal
import sys

from tests.servers import PostgresServer, RedisServer

SERVERS = {"redis": RedisServer, "postgres": PostgresServer}


def main(arguments: list[str]) -> int:
    if len(arguments) != 1 or arguments[0] not in SERVERS:
        print("usage: python -m tests.servers redis|postgres", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with SERVERS[arguments[0]]() as server:
        print(server.url, flush=True)
        print(f"{server.name} {server.version}, pid {server.process.pid}", file=sys.stderr, flush=True)  # type: ignore[union-attr]
        sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
