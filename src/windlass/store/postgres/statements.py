"""The statements of one schema: every part of the .sql files, with schema, states and shared column lists filled in."""

from functools import cache

from windlass.store.protocol import INLINE_EDGES
from windlass.store.statement import fill, load, parts
from windlass.values.clock import END_OF_TIME
from windlass.values.job import MOST_TRAIL, NOT_TRIGGERED
from windlass.values.limit import BUCKETS, EXACT, GUARD
from windlass.values.priority import order
from windlass.values.query import SPARED
from windlass.values.queue import AGEING, CLASS_WEIGHTS, HOUSE
from windlass.values.states import render

PACKAGE = "windlass.store.postgres"
VERBS = (
    "audit_counts", "claim", "clock", "command", "dead", "enqueue", "finish", "heartbeat", "inspect", "journal", "move",
    "operate", "past", "previous", "promote", "prune", "record", "rescue", "step", "lines", "serve", "limits",
)  # fmt: skip
ROUTINES = (
    "journal", "dead", "lines", "serve", "limits", "enqueue", "finish", "promote", "prune", "past", "command", "step", "previous",
)  # fmt: skip
_DUE = render("(signal IS NOT NULL AND state = {state:blocked} OR state IN ({from:promote}))")
"""What a time brings back. One text, because a partial index serves only those who say exactly its predicate."""

_RULED = "(EXISTS (SELECT FROM {schema}.queue WHERE ordering <> 'strict') OR EXISTS (SELECT FROM {schema}.gate WHERE ruling))"
"""Whether a job without bounds may belong into a lane."""
_LABELS = "(VALUES ('u' || j.user_), ('p' || j.project), ('g' || j.group_), ('k' || j.unique_)) v(key)"
"""By what else than its id the job `j` is found."""
_AWAKE = "pg_sequence_last_value('{schema}.awake'::regclass) > at"
"""Whether somebody reads the journal, at the instant `at`."""
_NUMBERS = {
    "ageing": AGEING, "guard": GUARD, "exact": EXACT, "buckets": BUCKETS, "huge": 1 << 60, "last": (1 << 63) - 1, **CLASS_WEIGHTS,
    "settled": 1_024,  # dependents that a finish settles itself: a promote costs more than a few hundred of them
    "piled": 32,  # rows of what is summed up later
    "needless": 64,  # lanes that a claim moves or looks at in vain
    "turn": 1_000_000,  # what a job adds to the pass of a group of weight 1
}  # fmt: skip
_CLAIMED = {
    "id": "text", "lease": "bigint", "kind": "text", "queue": "text", "args": "text", "attempt": "integer",
    "max_attempts": "integer", "priority": "integer", "runtime": "text", "options": "text", "rescues": "integer",
    "created_at": "bigint", "run_at": "bigint", "expires_at": "bigint", "user_": "text", "project": "text", "group_": "text",
    "workflow": "text", "name": "text", "tags": "text", "cancelling": "boolean", "limited": "boolean", "rated": "boolean",
}  # fmt: skip
"""The columns of `claim.columns`, for the function that returns them."""


@cache
def statements(schema: str) -> dict[str, str]:
    """`verb.part` -> text."""
    texts = {verb: parts(load(PACKAGE, f"sql/{verb}.sql")) for verb in VERBS}
    columns, limits = (filled(texts["claim"].pop(name), schema) for name in ("columns", "limits"))
    claim = f"{columns},\n{limits}"
    given = ", ".join(f"x.{name}" for name in _CLAIMED if name not in ("limited", "rated"))
    texts["claim"] |= _claims(texts["claim"])
    record = filled(texts["inspect"].pop("columns"), schema)
    gates = filled(texts["limits"].pop("columns"), schema)
    return {
        f"{verb}.{name}": filled(
            text.replace("{gates}", gates), schema, claim=claim, plain_claim=columns, given=given, record=record
        )
        for verb, pieces in texts.items()
        for name, text in pieces.items()
    }


def _claims(pieces: dict[str, str]) -> dict[str, str]:
    """The claim of named queues and that of all: what a plan has to open is what a claim pays for, so each asks only its own."""
    looks = {"claim": pieces.pop("their_lanes"), "claim_all": pieces.pop("any_lanes")}
    return {name: fill(pieces["claim"], lined=look) for name, look in looks.items()}


@cache
def routines(schema: str) -> str:
    """All functions, in the order in which they may be created."""
    shared = filled(parts(load(PACKAGE, "sql/routines.sql"))["routines"], schema)
    return "\n".join([shared, *(statements(schema)[f"{verb}.routine"] for verb in ROUTINES)])


def filled(text: str, schema: str, **values: str) -> str:
    return fill(
        text,
        due=_DUE,
        claimed=", ".join(f"{name} {kind}" for name, kind in _CLAIMED.items()),
        ruled=_RULED,
        awake=_AWAKE,
        labels=_LABELS,
        **{name: str(number) for name, number in _NUMBERS.items()},
        end_of_time=str(END_OF_TIME),
        schema=quoted(schema),
        plain_schema=schema,
        most_trail=str(MOST_TRAIL),
        inline_edges=str(INLINE_EDGES),
        not_triggered=NOT_TRIGGERED,
        house=f"'{HOUSE}'",
        spared=str(SPARED),
        seq_mask=str(order(100, (1 << 45) - 1)),
        **values,
    )


def quoted(schema: str) -> str:
    """The schema as an identifier; `check_namespace` lets no quote in."""
    return f'"{schema}"'
