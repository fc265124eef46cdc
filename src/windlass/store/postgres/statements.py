"""The statements of one schema: every part of the .sql files, with schema, states and shared column lists filled in."""

from functools import cache

from windlass.clock import END_OF_TIME
from windlass.job import MOST_TRAIL, NOT_TRIGGERED
from windlass.priority import order
from windlass.states import render
from windlass.store.protocol import INLINE_EDGES
from windlass.store.statement import fill, load, parts

PACKAGE = "windlass.store.postgres"
VERBS = (
    "audit_counts", "claim", "clock", "command", "enqueue", "finish", "heartbeat", "inspect", "move", "operate", "promote",
    "prune", "record", "rescue", "step",
)  # fmt: skip
ROUTINES = ("enqueue", "finish", "promote", "command", "step")
_DUE = render("(state IN ({from:promote}) OR state = {state:blocked} AND signal IS NOT NULL)")
"""What a time brings back. One text, because a partial index serves only those who say exactly its predicate."""


@cache
def statements(schema: str) -> dict[str, str]:
    """`verb.part` -> text."""
    texts = {verb: parts(load(PACKAGE, f"sql/{verb}.sql")) for verb in VERBS}
    claim = texts["claim"].pop("columns")
    record = texts["inspect"].pop("columns")
    return {
        f"{verb}.{name}": filled(text, schema, claim=claim, record=record)
        for verb, pieces in texts.items()
        for name, text in pieces.items()
    }


@cache
def routines(schema: str) -> str:
    """All functions, in the order in which they may be created."""
    shared = filled(parts(load(PACKAGE, "sql/routines.sql"))["routines"], schema)
    return "\n".join([shared, *(statements(schema)[f"{verb}.routine"] for verb in ROUTINES)])


def filled(text: str, schema: str, **values: str) -> str:
    return fill(
        text,
        due=_DUE,
        end_of_time=str(END_OF_TIME),
        schema=quoted(schema),
        plain_schema=schema,
        most_trail=str(MOST_TRAIL),
        inline_edges=str(INLINE_EDGES),
        not_triggered=NOT_TRIGGERED,
        seq_mask=str(order(100, (1 << 45) - 1)),
        **values,
    )


def quoted(schema: str) -> str:
    """The schema as an identifier; `check_namespace` lets no quote in."""
    return f'"{schema}"'
