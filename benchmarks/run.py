"""`python -m benchmarks.run [URL ...]` (`make bench`): our own figures as a Markdown table, one column per run.

Every figure comes from `windlass bench -o json`; this only runs it and lays the answers side by side.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

ROWS = {
    "enqueue, awaited one by one": ("enqueue_single_per_s", "{:,}/s"),
    "enqueue, 100 awaited at once": ("concurrent_enqueue_per_s", "{:,}/s"),
    "enqueue, 1,000 a call": ("enqueue_bulk_per_s", "{:,}/s"),
    "drain, open queue to last commit": ("drain_per_s", "{:,}/s"),
    "pickup p50, same process": ("pickup_p50_ms", "{:.2f} ms"),
    "pickup p99, same process": ("pickup_p99_ms", "{:.2f} ms"),
    "pickup p50, another process": ("pickup_remote_p50_ms", "{:.2f} ms"),
    "pickup p99, another process": ("pickup_remote_p99_ms", "{:.2f} ms"),
    "handler's end to commit p50": ("commit_p50_ms", "{:.2f} ms"),
    "handler's end to commit p99": ("commit_p99_ms", "{:.2f} ms"),
    "bytes per waiting job (130 B of arguments)": ("bytes_per_job", "{:,}"),
}


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("urls", nargs="*", metavar="URL", help="stores to measure; a SQLite file if none is given")
    parser.add_argument("--jobs", type=int, default=20_000, help="jobs per drain")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per column; the median is told")
    parser.add_argument("--processes", default="1,4", help="worker processes, a column for each number")
    return parser.parse_args(given)


def measure(url: str | None, processes: int, jobs: int, rounds: int) -> dict[str, Any]:
    """One run of `windlass bench` in a process of its own."""
    command = [sys.executable, "-m", "windlass", "bench", "-o", "json"]
    command += ["--jobs", str(jobs), "--rounds", str(rounds), "--processes", str(processes)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WINDLASS_")}
    done = subprocess.run(
        command + (["--url", url] if url else []), env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"windlass bench ended with code {done.returncode} for {url or 'a SQLite file'}")
    return json.loads(done.stdout)


def render(runs: Sequence[dict[str, Any]]) -> str:
    """The table, and under it what it was measured on."""
    heads = [f"{run['engine']}, {run['processes']} process{'es' * (run['processes'] > 1)}" for run in runs]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---:|" * len(runs)]
    for name, (key, form) in ROWS.items():
        lines.append(f"| {name} | {' | '.join(form.format(run[key]) for run in runs)} |")
    first = runs[0]
    machine, versions = first["machine"], first["versions"]
    lines += [
        "",
        f"{first['jobs']:,} no-op async jobs a drain, small dict in and out, results kept, "
        f"medians of {first['rounds']} rounds; latencies over all samples.",
        f"{machine['cores']} cores, {machine['memory_mb']:,} MB, {machine['system']}, {first['filesystem']}.",
        "Versions: " + ", ".join(f"{name} {value}" for name, value in versions.items() if value) + ".",
    ]
    for head, run in zip(heads, runs, strict=True):
        store = ", ".join(f"{key} {value}" for key, value in run["store"].items() if not key.startswith("schema"))
        spread = f"{min(run['each_round']['drain_per_s']):,} to {max(run['each_round']['drain_per_s']):,}/s"
        lines.append(f"- {head}: {store}; drains of {spread}")
    return "\n".join(lines)


def main() -> None:
    given = arguments(sys.argv[1:])
    runs: list[dict[str, Any]] = []
    for url in given.urls or [None]:
        for processes in map(int, given.processes.split(",")):
            print(f"measuring {url or 'a SQLite file'}, {processes} worker process(es)", file=sys.stderr)
            runs.append(measure(url, processes, given.jobs, given.rounds))
    print(render(runs))


if __name__ == "__main__":
    main()
