"""The benchmark's figures as told: medians of rounds, percentiles over all samples."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from windlass.cli.bench.rounds import AT_ONCE, CHUNK, Load, Measured, Round
from windlass.cli.machine import facts, versions
from windlass.cli.options import Plain
from windlass.cli.show import emit_facts, emit_json


def summary(measured: Measured, load: Load) -> dict[str, Any]:
    """One flat object; names are part of the public contract."""
    rounds = measured.rounds
    pickups = [second for done in rounds for second in done.pickups]
    remote = [second for done in rounds for second in done.remote]
    commits = [second for done in rounds for second in done.commits]
    return {
        "engine": measured.health.get("engine"),
        "jobs": load.jobs,
        "processes": load.processes,
        "rounds": load.rounds,
        "enqueue_single_per_s": _median(rounds, lambda done: done.single),
        "enqueue_bulk_per_s": _median(rounds, lambda done: done.bulk),
        "concurrent_enqueue_per_s": _median(rounds, lambda done: done.concurrent),
        "drain_per_s": _median(rounds, lambda done: done.drain),
        "pickup_p50_ms": _at(pickups, 0.50),
        "pickup_p99_ms": _at(pickups, 0.99),
        "pickup_remote_p50_ms": _at(remote, 0.50),
        "pickup_remote_p99_ms": _at(remote, 0.99),
        "commit_p50_ms": _at(commits, 0.50),
        "commit_p99_ms": _at(commits, 0.99),
        "bytes_per_job": round(measured.bytes_per_job),
        "each_round": {
            "enqueue_single_per_s": [round(done.single) for done in rounds],
            "enqueue_bulk_per_s": [round(done.bulk) for done in rounds],
            "concurrent_enqueue_per_s": [round(done.concurrent) for done in rounds],
            "drain_per_s": [round(done.drain) for done in rounds],
        },
        "store": {key: value for key, value in measured.health.items() if key not in ("warnings", "size")},
        "filesystem": measured.filesystem,
        "machine": facts(),
        "versions": versions(),
    }


def _median(rounds: Sequence[Round], of: Callable[[Round], float]) -> int:
    return round(median(of(done) for done in rounds))


def _at(values: list[float], share: float) -> float:
    """A percentile in milliseconds."""
    ordered = sorted(values)
    return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1e3, 3)


def emit_figures(found: dict[str, Any], form: Plain) -> None:
    """Print them, for people with what each means."""
    if form is Plain.JSON:
        emit_json(found)
        return
    machine, versions_ = found["machine"], found["versions"]
    print()
    emit_facts(
        [
            ("engine", f"{found['engine']}, {_settings(found['store'])}"),
            ("machine", f"{machine['cores']} cores, {machine['system']}, {found['filesystem']}"),
            ("versions", f"windlass {versions_['windlass']}, python {versions_['python']}"),
            ("jobs", f"{found['jobs']:,} a drain, {found['processes']} worker process(es), {found['rounds']} round(s)"),
        ]
    )
    print()
    emit_facts(
        [
            ("enqueue, one by one", f"{found['enqueue_single_per_s']:>8,}/s"),
            (f"enqueue, {AT_ONCE} at once", f"{found['concurrent_enqueue_per_s']:>8,}/s"),
            (f"enqueue, {CHUNK:,} a call", f"{found['enqueue_bulk_per_s']:>8,}/s"),
            ("drain", f"{found['drain_per_s']:>8,}/s"),
            ("pickup, same process", _latency(found, "pickup")),
            ("pickup, another process", _latency(found, "pickup_remote")),
            ("handler's end to commit", _latency(found, "commit")),
            ("bytes per waiting job", f"{found['bytes_per_job']:>8,}"),
        ]
    )


def _settings(store: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in store.items() if key in ("version", "durability"))


def _latency(found: dict[str, Any], name: str) -> str:
    return f"{found[f'{name}_p50_ms']:>8.2f} ms p50, {found[f'{name}_p99_ms']:.2f} ms p99"
