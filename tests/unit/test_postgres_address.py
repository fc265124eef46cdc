"""The URL and the namespace of a PostgreSQL store."""

import pytest

from windlass.errors import InvalidOption, SettingsError
from windlass.store.postgres.address import check_namespace, read_url


def test_the_drivers_part_and_ours() -> None:
    address = read_url("postgresql://me:s3cret@db:5433/jobs?sslmode=require&pooler=transaction&pool=3")
    assert address.dsn == "postgresql://me:s3cret@db:5433/jobs?sslmode=require"
    assert (address.pooler, address.pool) == (True, 3)
    assert "s3cret" not in address.shown
    assert address.shown.startswith("postgresql://me@db:5433/jobs")


def test_a_password_in_the_query_is_not_shown() -> None:
    address = read_url("postgres:///jobs?host=/run/pg&user=me&password=s3cret")
    assert "s3cret" not in address.shown
    assert "password=s3cret" in address.dsn
    assert (address.pooler, address.pool) == (False, 6)


@pytest.mark.parametrize("query", ["pooler=statement", "pool=0", "pool=many", "pool=1000"])
def test_what_does_not_fit_is_refused(query: str) -> None:
    with pytest.raises(SettingsError):
        read_url(f"postgresql://db/jobs?{query}")


@pytest.mark.parametrize("namespace", ["", "Upper", 'quo"te', "pg_own", "x" * 49, "white space", "semi;colon"])
def test_a_namespace_that_is_no_schema_is_refused(namespace: str) -> None:
    with pytest.raises(InvalidOption):
        check_namespace(namespace)


@pytest.mark.parametrize("namespace", ["windlass", "a", "team-a.jobs_2", "0x", "x" * 48])
def test_namespaces(namespace: str) -> None:
    assert check_namespace(namespace) == namespace
