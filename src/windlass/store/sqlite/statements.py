"""The engine's statements: every named part of `sql/*.sql`, with the tables of one namespace.

`?1 || ''` and `?1 + 0` stand where SQLite's planner (3.54) would look at the bound value, in `limit` and in `column = ?`
beside an `order by`: a statement whose plan depends on a value is prepared anew at each run, which costs a claim 90 us.
"""

from functools import cache
from importlib import resources

from windlass.store.sqlite.address import names
from windlass.store.statement import fill, load, parts
from windlass.values.clock import END_OF_TIME
from windlass.values.job import LEDGER, RECORD, REMAINS
from windlass.values.queue import HOUSE

PACKAGE = "windlass.store.sqlite"
_SELDOM = "expires_at, project, grp, name, tags, cancelling, ukey, line"
CLAIMED = (
    "ord, id, lease, kind, queue, args, attempt, max_attempts, priority, runtime, options, rescues, created_at, run_at, "
    "workflow, user, "
    f"case when coalesce({_SELDOM}) is not null then json_array({_SELDOM}) end"
)
"""What a claim returns. Each column costs 0.05 us a job, so those that few jobs have come as one."""
_RENAMED = {"group": 'grp as "group"', "unique": 'ukey as "unique"'}


@cache
def statements(namespace: str) -> dict[str, str]:
    """Statement texts by part name; the names are unique over all files."""
    tables = names(namespace)
    found: dict[str, str] = {}
    for file in sorted(each.name for each in resources.files(PACKAGE).joinpath("sql").iterdir()):
        if not file.endswith(".sql"):
            continue
        for name, text in parts(load(PACKAGE, f"sql/{file}")).items():
            if name in found:
                raise ValueError(f"two statements are called {name!r}")
            found[name] = fill(text, **_TEXTS, **tables)
    return found


@cache
def record_columns(namespace: str) -> str:
    """What is selected of a job, in the order of `FIELDS`."""
    return fill(_TEXTS["record_columns"], **names(namespace))


_LEDGER = {
    "cost": "coalesce((select cost from {ledger} where job = n), 0)",
    "revivals": "coalesce((select revivals from {ledger} where job = n), 0)",
    "next_retry_at": "(select next_retry_at from {ledger} where job = n)",
}
_PAST = {"group": "grp", "unique": "ukey"}
_REMAINING = [_PAST.get(name, name) for name in REMAINS]
FIELDS = (*RECORD, *LEDGER)
"""The names of a raw record's columns, in their order."""
ERROR_FINGERPRINT = "iif(json_valid(error), nullif(error ->> '$.fingerprint', ''), null)"
CROWDED = 1 << 62
"""The rank of lines that are looked for by their group; behind every other."""
LIMIT_COLUMNS = "k, key, concurrency, rate_n, rate_window, rate_burst, shut_until, trial, pinned, held, awake, timer"
_TEXTS = {
    "error_fingerprint": ERROR_FINGERPRINT,
    "crowded": str(CROWDED),
    "claimed": CLAIMED,
    "record_columns": ", ".join([_RENAMED.get(name, name) for name in RECORD] + [_LEDGER[name] for name in LEDGER]),
    "house": f"'{HOUSE}'",
    "remains": ", ".join(_REMAINING),
    "remaining": ", ".join(_LEDGER.get(name, name) for name in _REMAINING),
    "end_of_time": str(END_OF_TIME),
    "limit_columns": LIMIT_COLUMNS,
}


@cache
def checks(namespace: str) -> tuple[str, ...]:
    """The statements that find what does not add up."""
    return tuple(fill(text, **_TEXTS, **names(namespace)) for text in parts(load(PACKAGE, "sql/check.sql")).values())
