"""Running the API's server from the command line: closed unless it is reachable from this machine alone."""

import asyncio
import logging
import sys
from typing import Any, NamedTuple

from windlass.app import Windlass
from windlass.cli.target import Target, run_fast
from windlass.errors import SettingsError

log = logging.getLogger("windlass")


class Listening(NamedTuple):
    """Where to listen, what to believe of proxies, whether to work too, how much to tell."""

    host: str
    port: int
    proxies: str | None
    root_path: str
    worker: bool
    log_level: str


def listen(target: Target, where: Listening) -> None:
    """Serve until stopped."""
    api = require_api()
    logging.basicConfig(
        level=where.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
    app = target.load()
    settings = api.settings.load_api_settings({})
    local = where.host in api.settings.LOOPBACK
    keys = asyncio.run(_keys(app, api))
    development = local and not settings.takes_tokens and not keys
    if not local and not settings.takes_tokens and not keys:
        raise SettingsError(
            f"{where.host} is reachable from elsewhere, and nothing tells callers apart",
            field="host",
            mend="make a key with `windlass keys create NAME --role admin`, or set WINDLASS_API_JWT_SECRET or _JWKS_URL",
        )
    if development:
        log.warning("development: whoever is on this machine is let in; a key or a token setting ends that")
    run_fast(_serve(app, where, development=development))


def require_api(extra: str = "api") -> "Modules":
    """The API's modules; a clear error where they are not installed, naming the extra that has all that the command needs."""
    try:
        from windlass.api import asgi, keys, settings
    except ImportError as error:
        missing = getattr(error, "name", None) or "a library"
        if missing.partition(".")[0] == "windlass":  # ours is broken, and no extra mends it
            raise
        raise SettingsError(
            f"the API needs {missing}, which is not installed", field="api", mend=f"pip install 'windlass[{extra}]'"
        ) from error
    return Modules(asgi, keys, settings)


class Modules(NamedTuple):
    """What of the API the command line uses; imported late, for it is an extra."""

    asgi: Any
    keys: Any
    settings: Any


async def _keys(app: Windlass, api: Modules) -> bool:
    try:
        return bool(await api.keys.ApiKeys(app.store).any())
    finally:
        await app.close()


async def _serve(app: Windlass, where: Listening, *, development: bool) -> None:
    import uvicorn

    from windlass.api.server import serve

    config = uvicorn.Config(
        app.asgi(development=development),
        host=where.host,
        port=where.port,
        root_path=where.root_path,
        proxy_headers=where.proxies is not None,
        forwarded_allow_ips=where.proxies,
        access_log=False,  # it would log queries, which hold what people search for; the API logs routes
        server_header=False,
        log_config=None,
        lifespan="on",
        timeout_keep_alive=30,
        timeout_graceful_shutdown=10,
        h11_max_incomplete_event_size=64 << 10,
        limit_concurrency=2_000,
    )
    await serve(app, config, worker=where.worker)
