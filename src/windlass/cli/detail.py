"""One job in full, for `jobs show`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import typer
from msgspec.structs import replace

from windlass.cli.acts import described_text
from windlass.cli.listing import as_json
from windlass.cli.options import Form
from windlass.cli.show import ago, emit_facts, emit_json, emit_lines, note, span
from windlass.running.steps import StepRecord, read_record
from windlass.secrecy.marks import shown, shown_text
from windlass.secrecy.veil import shown_job
from windlass.store.protocol import Store
from windlass.values.clock import moment
from windlass.values.job import Attempt, Job
from windlass.values.lease import StoredLine
from windlass.values.query import AuditEntry, AuditQuery


class Detail(NamedTuple):
    """A job, its log lines, what operators did to it, and its steps."""

    job: Job
    log: list[StoredLine]
    audit: list[AuditEntry]
    steps: list[StepRecord]


async def gather(store: Store, ids: Sequence[str]) -> list[Detail]:
    """The details of those of `ids` that exist."""
    found: list[Detail] = []
    for id in ids:
        job = await store.job(id)
        if job is not None:
            steps = [read_record(step) for step in await store.steps(id)]
            steps = [replace(step, result=shown(step.result)) for step in steps]
            log = [replace(line, text=shown_text(line.text)) for line in await store.log(id)]
            found.append(Detail(shown_job(job), log, await store.audit(AuditQuery(target=id)), steps))
    return found


def emit_details(found: list[Detail], named: Sequence[str], form: Form) -> None:
    """Print them; ends with exit code 4 if one was not found. JSON: one object for one id, else `items`."""
    if form is Form.JSON and found:
        items = [_object(detail) for detail in found]
        emit_json(items[0] if len(named) == 1 else {"items": items, "next": None})
    elif form is Form.IDS:
        emit_lines(detail.job.id for detail in found)
    else:
        for index, detail in enumerate(found):
            if index:
                print()
            emit_facts(_facts(detail))
    there = {detail.job.id for detail in found}
    missing = [id for id in named if id not in there]
    if missing:
        _miss(missing, form)
        raise typer.Exit(4)


def _miss(missing: Sequence[str], form: Form) -> None:
    if form is Form.JSON:
        import sys

        print(as_json({"code": "job-not-found", "message": "no such job", "ids": missing, "exit": 4}), file=sys.stderr)
        return
    for id in missing:
        note(f"error[job-not-found]: there is no job {id}; `windlass jobs history` tells what is left of deleted ones")


def _object(detail: Detail) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(detail.job, enc_hook=str)
    value["log"] = [
        {"at": moment(entry.at), "attempt": entry.attempt, "level": entry.level, "text": entry.text}
        for entry in detail.log
    ]
    value["steps"] = [msgspec.to_builtins(step, enc_hook=str) for step in detail.steps]
    value["audit"] = [
        {"at": moment(entry.at), "actor": entry.actor, "action": entry.action, "detail": entry.detail}
        for entry in detail.audit
    ]
    return value


def _facts(detail: Detail) -> list[tuple[str, str]]:
    job = detail.job
    return [
        ("id", job.id),
        ("state", job.state.value + (f" ({job.reason})" if job.reason else "") + (", asked to stop" * job.cancelling)),
        ("kind", job.kind),
        ("queue", job.queue),
        ("runtime", job.runtime),
        ("priority", str(job.priority) + (f" (by rule {job.rule})" if job.rule else "")),
        ("cached", f"answered by the result of {job.cached}" if job.cached else ""),
        ("args", as_json(job.args)),
        ("result", as_json(job.result) if job.state == "completed" else ""),
        ("options", as_json(job.options) if job.options else ""),
        ("created", _when(job.created_at)),
        ("runs at", _when(job.run_at) if job.state in ("delayed", "retrying") else ""),
        ("started", _when(job.started_at)),
        ("finished", _when(job.finished_at)),
        ("took", span(_took(job)) if _took(job) else ""),
        ("expires", _when(job.expires_at)),
        (
            "progress",
            f"{job.progress:g} %" + (f" {job.progress_note}" if job.progress_note else "") if job.progress else "",
        ),
        ("worker", job.worker or ""),
        ("user", job.user or ""),
        ("project", job.project or ""),
        ("group", job.group or ""),
        ("name", job.name or ""),
        ("workflow", job.workflow or ""),
        ("tags", ", ".join(job.tags)),
        ("unique", job.unique or ""),
        ("parents", "\n".join(job.parents)),
        ("rescues", str(job.rescues) if job.rescues else ""),
        ("cost", f"{job.cost:f}" if job.cost else ""),
        ("again", f"by itself {_when(job.next_retry_at)}" if job.next_retry_at else ""),
        ("attempts", "\n".join([f"{job.attempt} of {job.max_attempts}", *map(_attempt, job.attempts)])),
        ("steps", "\n".join(map(_step, detail.steps))),
        ("error", f"{job.error.type} ({job.error.category}): {job.error.message}" if job.error else ""),
        ("trace", job.error.traceback.rstrip() if job.error else ""),
        ("log", "\n".join(f"{moment(x.at):%H:%M:%S} #{x.attempt} {x.level}: {x.text}" for x in detail.log)),
        (
            "audit",
            "\n".join(f"{moment(x.at):%F %T} {x.actor}: {x.action} {described_text(x.detail)}" for x in detail.audit),
        ),
    ]


def _step(step: StepRecord) -> str:
    what = step.name if step.what in (step.name, "step") else f"{step.what} {step.name}"
    if step.timed_out:
        end = "did not come in time"
    elif step.done:
        end = "" if step.what == "sleep" else as_json(step.result)
    elif step.what == "step":
        end = "begun, not on record" if step.result is None else as_json(step.result)
    else:
        end = "for ever" if step.until is None else f"until {step.until:%Y-%m-%d %H:%M:%S} UTC ({ago(step.until)})"
    return f"{step.position} {step.at:%H:%M:%S} #{step.attempt} {what}{': ' * bool(end)}{end}"


def _took(job: Job) -> float:
    if job.started_at is None or job.finished_at is None:
        return 0.0
    return (job.finished_at - job.started_at).total_seconds()


def _when(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC ({ago(at)})" if at else ""


def _attempt(attempt: Attempt) -> str:
    parts = [f"#{attempt.number} {attempt.outcome}"]
    if attempt.started_at and attempt.finished_at:
        parts.append(f"after {span((attempt.finished_at - attempt.started_at).total_seconds())}")
    if attempt.error:
        parts.append(f"{attempt.error.type}: {attempt.error.message}".split("\n")[0])
    elif attempt.reason:
        parts.append(attempt.reason)
    return " ".join(parts)
