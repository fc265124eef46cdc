"""What the server's errors become."""

import pytest

from windlass.errors import InvalidArgs, SchemaMismatch, StoreError, StoreFull, StoreReadOnly, StoreUnavailable
from windlass.store.postgres.faults import sqlstate, translate


class Asyncpgs(Exception):
    def __init__(self, state: str) -> None:
        super().__init__("it said so")
        self.sqlstate = state


class Psycopg2s(Exception):
    def __init__(self, state: str) -> None:
        super().__init__("it said so")
        self.pgcode = state


class Sqlalchemys(Exception):
    def __init__(self, orig: BaseException) -> None:
        super().__init__("wrapped")
        self.orig = orig


@pytest.mark.parametrize(
    ("state", "kind"),
    [
        ("08006", StoreUnavailable),
        ("57P01", StoreUnavailable),
        ("57P03", StoreUnavailable),
        ("53300", StoreUnavailable),
        ("55P03", StoreUnavailable),
        ("53100", StoreFull),
        ("25006", StoreReadOnly),
        ("42P01", SchemaMismatch),
        ("42883", SchemaMismatch),
        ("22021", InvalidArgs),
        ("42501", StoreError),
        ("22012", StoreError),
    ],
)
def test_states(state: str, kind: type[Exception]) -> None:
    assert type(translate(Asyncpgs(state), "db")) is kind


def test_a_state_is_found_through_every_wrapping() -> None:
    assert sqlstate(Psycopg2s("53100")) == "53100"
    assert sqlstate(Sqlalchemys(Psycopg2s("53100"))) == "53100"
    outer = RuntimeError("django")
    outer.__cause__ = Asyncpgs("40P01")
    assert sqlstate(outer) == "40P01"
    assert sqlstate(ValueError("no state")) == ""


def test_a_lost_connection_without_a_state() -> None:
    assert type(translate(ConnectionRefusedError("no"), "db")) is StoreUnavailable
    assert type(translate(TimeoutError(), "db")) is StoreUnavailable
