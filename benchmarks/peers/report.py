"""The Markdown report: ratios first, then figures, exactness, versions and settings."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.catalogue import NOT_MEASURED, PEERS, Peer

ENGINE_TITLES = {"redis": "Redis", "postgres": "PostgreSQL", "sqlite": "SQLite"}


@dataclass(frozen=True)
class Column:
    """One figure: its title, and whether less of it is better."""

    key: str
    title: str
    less: bool = False
    digits: int = 0


COLUMNS = (
    Column("enqueue_single", "single enqueue/s"),
    Column("enqueue_concurrent", "100 at once/s"),
    Column("enqueue_bulk", "bulk enqueue/s"),
    Column("drain_1", "drain/s, 1 process"),
    Column("drain_4", "drain/s, 4 processes"),
    Column("settled_1", "until stored/s, 1"),
    Column("settled_4", "until stored/s, 4"),
    Column("pickup_p50", "pickup p50 ms", less=True, digits=2),
    Column("pickup_p99", "pickup p99 ms", less=True, digits=2),
    Column("bytes_per_job", "bytes/job", less=True),
)


@dataclass
class Run:
    """Everything one run of the harness found: facts, and per peer its versions, its rounds and why it failed."""

    facts: dict[str, str]
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    rounds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failures: dict[str, list[str]] = field(default_factory=dict)

    def values(self, peer: Peer, key: str) -> list[float]:
        return [outcome["figures"][key] for outcome in self.rounds.get(peer.name, []) if key in outcome["figures"]]

    def median(self, peer: Peer, key: str) -> float | None:
        values = self.values(peer, key)
        return statistics.median(values) if values else None


def render(run: Run) -> str:
    peers = [peer for peer in PEERS if peer.name in run.rounds or peer.name in run.failures]
    engines = [engine for engine in ENGINE_TITLES if any(peer.engine == engine for peer in peers)]
    parts = ["# Windlass and its peers, side by side", _facts(run)]
    for engine in engines:
        of_engine = [peer for peer in peers if peer.engine == engine]
        parts += [f"## {ENGINE_TITLES[engine]}: ratios", _ratios(run, of_engine)]
    for engine in engines:
        of_engine = [peer for peer in peers if peer.engine == engine]
        parts += [
            f"## {ENGINE_TITLES[engine]}: figures",
            "Median of the rounds (least to most).",
            _figures(run, of_engine),
        ]
    parts += ["## Ran exactly once", _exactness(run, peers)]
    parts += ["## Versions and settings", _settings(run, peers), _not_measured()]
    if run.failures:
        parts += ["## What failed", _failures(run)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(run: Run) -> str:
    return _table(("what", "value"), run.facts.items()) + "\n\nHow it is measured: `docs/design/benchmarks.md`."


def _ratios(run: Run, peers: list[Peer]) -> str:
    ours = next((peer for peer in peers if peer.ours and peer.name in run.rounds), None)
    if ours is None:
        return "Windlass was not measured on this engine in this run."
    columns = _present(run, peers)
    lead = f"How many times better `{ours.name}` is; below 1 the peer is better. Medians of the same run."
    rows = [(peer.name, *(_ratio(run, ours, peer, column) for column in columns)) for peer in peers if not peer.ours]
    return f"{lead}\n\n{_table(('peer', *(column.title for column in columns)), rows)}"


def _ratio(run: Run, ours: Peer, peer: Peer, column: Column) -> str:
    mine, theirs = run.median(ours, column.key), run.median(peer, column.key)
    if not mine or not theirs:
        return "–"
    ratio = theirs / mine if column.less else mine / theirs
    return f"{ratio:.2g}x" if ratio < 10 else f"{ratio:.0f}x"


def _figures(run: Run, peers: list[Peer]) -> str:
    columns = _present(run, peers)
    rows = [(peer.name, *(_figure(run.values(peer, column.key), column) for column in columns)) for peer in peers]
    return _table(("peer", *(column.title for column in columns)), rows)


def _figure(values: list[float], column: Column) -> str:
    if not values:
        return "–"
    show: Callable[[float], str] = lambda value: f"{value:,.{column.digits}f}"  # noqa: E731
    spread = f" ({show(min(values))}–{show(max(values))})" if len(values) > 1 else ""
    return show(statistics.median(values)) + spread


KILL_TITLES = ("kill -9: not run again", "repeated", "oldest repeat, ms before", "last run, s after")


def _exactness(run: Run, peers: list[Peer]) -> str:
    killed = any("kill" in outcome["counts"] for outcomes in run.rounds.values() for outcome in outcomes)
    lead = (
        "Counted by the handlers, outside every queue. Lost and repeated runs of all rounds together; kill -9 by round."
    )
    rows: list[tuple[str, ...]] = []
    for peer in peers:
        outcomes = run.rounds.get(peer.name, [])
        counts = [count for outcome in outcomes for phase, count in outcome["counts"].items() if phase != "kill"]
        row = [peer.name, *(f"{sum(count[key] for count in counts):,}" for key in ("expected", "lost", "repeated"))]
        rows.append((*row, *(_killed(outcomes) if killed else ())))
    return f"{lead}\n\n{_table(('peer', 'jobs', 'lost', 'repeated', *(KILL_TITLES if killed else ())), rows)}"


def _killed(outcomes: list[dict[str, Any]]) -> list[str]:
    kills = [outcome for outcome in outcomes if "kill" in outcome["counts"]]
    columns = [[f"{outcome['counts']['kill'][key]}" for outcome in kills] for key in ("lost", "repeated")]
    for key in ("kill_oldest_repeat", "kill_last_run"):
        columns.append([f"{outcome['figures'][key]:.1f}" if key in outcome["figures"] else "–" for outcome in kills])
    return [", ".join(column) or "–" for column in columns]


def _settings(run: Run, peers: list[Peer]) -> str:
    rows = [
        (
            peer.name,
            ", ".join(f"{name} {version}" for name, version in run.versions.get(peer.name, {}).items()) or "–",
            peer.settings,
            peer.bulk,
            peer.result,
            peer.note,
        )
        for peer in peers
    ]
    return _table(("peer", "version", "settings", "bulk call", "result kept", "note"), rows)


def _not_measured() -> str:
    return "Not measured: " + "; ".join(f"{name} ({why})" for name, why in NOT_MEASURED.items()) + "."


def _failures(run: Run) -> str:
    blocks = [f"**{name}**\n\n```\n{text}\n```" for name, texts in run.failures.items() for text in texts]
    return "\n\n".join(blocks)


def _present(run: Run, peers: list[Peer]) -> list[Column]:
    return [column for column in COLUMNS if any(run.values(peer, column.key) for peer in peers)]


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (titles, *rows)]
    lines.insert(1, "|" + "---|" * (lines[0].count("|") - 1))
    return "\n".join(lines)
