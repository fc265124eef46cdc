"""`python -m benchmarks.peers`: installs the peers, runs the rounds interleaved, and writes the report."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import machine
from benchmarks.peers.catalogue import Peer, chosen
from benchmarks.peers.environments import BENCH, Environment, NotInstalled, environment, node_program, node_version
from benchmarks.peers.phases import Bench, Sizes, as_data
from benchmarks.peers.processes import PeerFailed
from benchmarks.peers.report import Run, render
from benchmarks.peers.stores import OPENERS, Store


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--only", help="peers or engines, separated by commas: redis,windlass,pgqueuer")
    parser.add_argument("--jobs", type=int, default=Sizes.jobs, help="most jobs of any phase (slow peers take fewer)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--paced", type=int, default=Sizes.paced, help="jobs of the pickup latency phase")
    parser.add_argument(
        "--patience", type=float, default=Sizes.patience, help="seconds without a run until a phase fails"
    )
    parser.add_argument("--kill", action="store_true", help="also kill -9 a worker and count what is lost and repeated")
    parser.add_argument("-o", "--output", type=Path, default=BENCH / "peers.md")
    return parser.parse_args(given)


def install(peers: Sequence[Peer], run: Run) -> dict[str, Environment]:
    made: dict[str, Environment] = {}
    for peer in peers:
        say(f"environment of {peer.name}")
        try:
            made[peer.name] = environment(peer)
        except NotInstalled as reason:
            run.failures[peer.name] = [f"not installed: {reason}"]
            continue
        run.versions[peer.name] = made[peer.name].versions
    if any(peer.language == "node" for peer in peers if peer.name in made):
        run.facts["Node"] = node_version(node_program())
    return made


def measure(bench: Bench, options: argparse.Namespace, run: Run) -> None:
    name = bench.peer.name
    try:
        outcome = bench.round(options.kill)
    except Exception as reason:  # one peer's trouble, of whatever kind, must not end an hour's run; the report shows it
        text = str(reason) if isinstance(reason, PeerFailed) else f"{type(reason).__name__}: {reason}"
        run.failures.setdefault(name, []).append(text)
        say(f"{name} failed: {text}")
        return
    run.rounds.setdefault(name, []).append(as_data(outcome))
    say(f"{name}: " + ", ".join(f"{key} {value:,.4g}" for key, value in outcome.figures.items()))
    for phase, count in outcome.counts.items():
        if not count.exact:
            say(f"{name}: {phase} was not exact: {count}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def write(run: Run, output: Path) -> None:
    """After each peer, so that an ended run keeps what it has; the raw figures lie beside the report."""
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(render(run), "utf-8")
    output.with_suffix(".json").write_text(json.dumps(dataclasses.asdict(run), indent=1), "utf-8")


def main(given: Sequence[str]) -> int:
    options = arguments(given)
    peers = chosen(options.only.split(",") if options.only else None)
    sizes = Sizes(jobs=options.jobs, paced=options.paced, patience=options.patience)
    run = Run(
        facts={
            **machine.facts(),
            "Load before": machine.load(),
            "Rounds": str(options.rounds),
            "Patience": f"{options.patience:g} s",
        }
    )
    made = install(peers, run)
    write(run, options.output)
    peers = [peer for peer in peers if peer.name in made]
    steal = machine.Steal()
    stores: dict[str, Store] = {}
    try:
        for engine in sorted({peer.engine for peer in peers}):
            stores[engine] = OPENERS[engine]()
            run.facts |= stores[engine].facts
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}")
            turn = number % max(1, len(peers))  # nobody always runs first
            for peer in (*peers[turn:], *peers[:turn]):
                measure(Bench(peer, made[peer.name], stores[peer.engine], sizes), options, run)
                run.facts["CPU time stolen by the hypervisor"] = f"{steal.share():.1%}"
                run.facts["Load after"] = machine.load()
                write(run, options.output)
    finally:
        for store in stores.values():
            store.close()
    say(f"report: {options.output}")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
