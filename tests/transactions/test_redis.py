"""Redis keeps no tables of users, so there is nothing to join: it says so before anything happens."""

import pytest

from tests.store.places import redis_server
from windlass import Windlass
from windlass.errors import InvalidOption


async def test_transactions_are_refused_with_what_to_do_instead() -> None:
    app = Windlass(redis_server().url, namespace="txredis")

    @app.job
    async def mail(to: str) -> None: ...

    async with app:
        with pytest.raises(InvalidOption) as refused:
            await mail.options(connection=object()).enqueue("ann")
        assert refused.value.field == "connection"
        assert "after your commit" in refused.value.mend
        with pytest.raises(InvalidOption) as refused:
            async with app.transaction():
                pass
        assert refused.value.field == "transaction"
        with pytest.raises(InvalidOption):
            await app.enqueue_many([mail.job("ann")], connection=object())
        assert await (await app.store()).counts() == []
        await (await app.store()).erase(force=True)
