"""The statements of one schema: every part of the .sql files, with schema, states and shared column lists filled in."""

from functools import cache

from windlass.job import MOST_TRAIL, NOT_TRIGGERED
from windlass.priority import order
from windlass.store.protocol import INLINE_EDGES
from windlass.store.statement import fill, load, parts

PACKAGE = "windlass.store.postgres"
VERBS = (
    "audit_counts", "claim", "clock", "command", "enqueue", "finish", "heartbeat", "inspect", "move", "operate", "promote",
    "prune", "record", "rescue",
)  # fmt: skip
ROUTINES = ("enqueue", "finish", "promote", "command")


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
