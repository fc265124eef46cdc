"""The demo's end: what became of every job, compared with the truth computed without the queue."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from windlass.cli.demo.again import own_name
from windlass.cli.demo.files.stage import Task, truth
from windlass.cli.listing import collect
from windlass.cli.options import Plain
from windlass.cli.show import emit_facts, emit_json, span
from windlass.demo.files import Facts
from windlass.store.protocol import Store
from windlass.values.job import Job
from windlass.values.query import Where
from windlass.values.states import State


class Story(NamedTuple):
    """What happened: the jobs' ids in the order of the tasks, those the killed worker held, its pid, the time."""

    ids: list[str]
    held: list[str]
    victim: int
    seconds: float


async def conclude(store: Store, given: Sequence[Task], story: Story, form: Plain) -> int:
    """Check every job, print the report; 0 if all is as it must be, else 1."""
    jobs = {job.id: job for job in (await collect(store, Where(), len(given) + 1_000, None)).items}
    faults = [
        fault for id, task in zip(story.ids, given, strict=True) if (fault := _fault(jobs.get(id), task, truth(task)))
    ]
    faults += _strays(jobs, story)
    report = _report(jobs, story)
    if form is Plain.JSON:
        emit_json({**report, "checked": len(given), "faults": faults, "url": store.url})
    else:
        _print(report, len(given), faults, store.url, jobs)
    return 1 if faults else 0


def _fault(job: Job | None, task: Task, expected: Facts | None) -> str | None:
    """What is wrong with one job, or None."""
    name = f"{task.kind} {task.path}"
    if job is None:
        return f"{name}: the job is gone"
    if expected is None:
        return None if job.state is State.FAILED else f"{name}: is {job.state}, must be failed"
    if job.state is not State.COMPLETED:
        return f"{name}: is {job.state}, must be completed"
    if job.result != expected:
        return f"{name}: result {job.result} must be {expected}"
    if task.kind == "unsteady" and job.attempt != 2:
        return f"{name}: made {job.attempt} attempts, must be 2"
    return None


def _strays(jobs: Mapping[str, Job], story: Story) -> list[str]:
    """Jobs that nobody enqueued, and jobs of the killed worker that nobody took over."""
    strays = [f"{id}: nobody enqueued it" for id in jobs.keys() - set(story.ids)]
    return strays + [f"{id}: was held by the killed worker, not rescued" for id in story.held if not jobs[id].rescues]


def _report(jobs: Mapping[str, Job], story: Story) -> dict[str, Any]:
    every = list(jobs.values())
    states = Counter(job.state for job in every)
    first = min(job.created_at for job in every)
    last = max(job.finished_at for job in every if job.finished_at)
    length = (last - first).total_seconds()
    ran = sorted(
        (job.finished_at - job.started_at).total_seconds() for job in every if job.finished_at and job.started_at
    )
    steady = [job for job in every if not job.rescues and job.attempt == 1]
    waited = sorted((job.started_at - job.created_at).total_seconds() for job in steady if job.started_at)
    return {
        "jobs": len(every),
        "completed": states[State.COMPLETED],
        "failed": states[State.FAILED],
        "retried": sum(1 for job in every if any(attempt.outcome == "retry" for attempt in job.attempts)),
        "rescued": sum(1 for job in every if job.rescues),
        "killed_worker": story.victim,
        "held_by_it": len(story.held),
        "runtimes": dict(Counter(job.runtime for job in every)),
        "seconds": round(story.seconds, 2),
        "jobs_per_s": round(len(every) / length, 1) if length else None,
        "ran_p50_s": _at(ran, 0.5),
        "ran_p99_s": _at(ran, 0.99),
        "waited_p50_s": _at(waited, 0.5),
        "waited_p99_s": _at(waited, 0.99),
    }


def _at(values: Sequence[float], share: float) -> float | None:
    return round(values[min(int(len(values) * share), len(values) - 1)], 6) if values else None


def _print(report: Mapping[str, Any], checked: int, faults: Sequence[str], url: str, jobs: Mapping[str, Job]) -> None:
    runtimes = ", ".join(f"{count} {name}" for name, count in sorted(report["runtimes"].items()))
    took = [span(report[name] or 0) for name in ("ran_p50_s", "ran_p99_s", "waited_p50_s", "waited_p99_s")]
    print()
    emit_facts(
        [
            ("jobs", f"{report['jobs']} ({runtimes})"),
            ("completed", f"{report['completed']}"),
            ("retried", f"{report['retried']} failed at first and succeeded later"),
            ("rescued", f"{report['rescued']} taken over from the killed worker {report['killed_worker']}"),
            ("died", f"{report['failed']} dead letters: files that do not parse, one that is not there"),
            ("throughput", f"{report['jobs_per_s']:,.0f} jobs/s, the wait for the dead worker's lease included"),
            ("a job ran", f"p50 {took[0]}, p99 {took[1]}; waited p50 {took[2]}, p99 {took[3]}"),
            ("time", f"{report['seconds']:.1f} s"),
        ]
    )
    print()
    if faults:
        print(f"WRONG: {len(faults)} of {checked} jobs did not come out as computed without the queue:")
        print("\n".join(f"  {fault}" for fault in faults[:20]))
        return
    print(f"checked: all {checked} jobs ended exactly as computed without the queue (sizes, lines, sha256)")
    _suggest(url, jobs)


def _suggest(url: str, jobs: Mapping[str, Job]) -> None:
    """Commands to try next, as they work from here."""
    windlass = own_name()
    dead = next(job for job in jobs.values() if job.state is State.FAILED)
    print("\nThe database stays for you to look at. Try:")
    for rest in (
        f"stats --url {url}",
        f"jobs ls --url {url} --state completed --limit 5",
        f"dead ls --url {url}",
        f"jobs show --url {url} {dead.id}",
        f"dead retry --url {url} {dead.id}",
        f"worker -A windlass.demo.files:app --url {url} --until-idle",
        f"doctor --url {url}",
    ):
        print(f"  {windlass} {rest}")
