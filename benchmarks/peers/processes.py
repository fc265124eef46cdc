"""Producers and workers as processes of the peer's own environment; workers end with their whole group."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.peers.catalogue import Peer
from benchmarks.peers.environments import ROOT, Environment

VERB_TIMEOUT = 180.0
STOP_TIMEOUT = 3.0


class PeerFailed(Exception):
    """A driver ended badly or made no progress; the message has the end of its log."""


class Crew:
    """Everything one peer runs during one phase."""

    def __init__(self, peer: Peer, made: Environment, url: str, folder: Path) -> None:
        self.peer = peer
        self.made = made
        self.log = folder / "log"
        self.effects = folder / "effects"
        self.environ = {
            **os.environ,
            "BENCH_URL": url,
            "BENCH_VARIANT": peer.variant,
            "BENCH_EFFECTS": str(self.effects),
            "BENCH_MODULES": str(made.folder),
            "PYTHONPATH": str(ROOT),
        }

    def ask(self, verb: str, *numbers: float) -> Any:
        """Run a verb of the driver to its end and give its answer."""
        command = [*self.made.command, self.peer.adapter, verb, *(f"{number:.15g}" for number in numbers)]
        with self.log.open("ab") as log:
            try:
                done = subprocess.run(
                    command, cwd=ROOT, env=self.environ, stdout=subprocess.PIPE, stderr=log, timeout=VERB_TIMEOUT
                )
            except subprocess.TimeoutExpired:
                raise self.failed(f"{verb} took longer than {VERB_TIMEOUT:g} s") from None
        if done.returncode:
            raise self.failed(f"{verb} ended with {done.returncode}")
        return json.loads(done.stdout.splitlines()[-1])

    @contextlib.contextmanager
    def workers(self, processes: int) -> Iterator[list[subprocess.Popen[bytes]]]:
        """Worker processes, all ended at the end; each driver leads a group of its own."""
        drivers, each = (1, processes) if self.peer.supervises else (processes, 1)
        command = [*self.made.command, self.peer.adapter, "work", str(each)]
        started: list[subprocess.Popen[bytes]] = []
        try:
            with self.log.open("ab") as log:
                for _ in range(drivers):
                    started.append(
                        subprocess.Popen(
                            command, cwd=ROOT, env=self.environ, stdout=log, stderr=log, start_new_session=True
                        )
                    )
            yield started
        finally:
            stop(started)

    def wait(self, reached: Callable[[], bool], progress: Callable[[], int], patience: float) -> None:
        """Until `reached`; fails when `progress` has not moved for `patience` seconds."""
        last, since = progress(), time.monotonic()
        while not reached():
            time.sleep(0.003)
            now = progress()
            if now != last:
                last, since = now, time.monotonic()
            elif time.monotonic() - since > patience:
                raise self.failed(f"no progress for {patience:g} s at {now} runs")

    def failed(self, what: str) -> PeerFailed:
        end = self.log.read_text("utf-8", "replace")[-800:].strip() if self.log.exists() else ""
        return PeerFailed(f"{self.peer.name}: {what}\n{end}".strip())


def stop(processes: list[subprocess.Popen[bytes]], how: signal.Signals = signal.SIGTERM) -> None:
    """Signal each group, then kill what is left of it: a worker's children outlive it when they misbehave."""
    for process in processes:
        _signal(process, how)
    for process in processes:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT)
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    try:
        os.killpg(process.pid, how)
    except ProcessLookupError:
        return
