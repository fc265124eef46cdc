"""A run in figures: a few lines for people."""

from collections import Counter
from statistics import median

from tests.crash.checker import duplicates
from tests.crash.ledger import Ledger
from tests.crash.run import Outcome


def recoveries(book: Ledger) -> tuple[list[float], list[float]]:
    """Seconds from each worker's death until each job it held was rescued; those in which the store stood still apart.

    Not until its next run: a rescued job keeps its priority, and waits behind others where there is a backlog."""
    found: tuple[list[float], list[float]] = ([], [])
    for fault in book.faults:
        if fault.kind != "kill":
            continue
        hindered = book.deadline(fault.t, 0.0) > fault.t + book.lease
        for held in book.held_at(fault.pid, fault.t):
            if held.job not in book.shaken:
                after = book.next_lease(held)
                if after is not None and after.how == "rescue":
                    found[hindered].append(after.t - fault.t)
    return sorted(found[0]), sorted(found[1])


def _recovery(name: str, times: list[float]) -> list[str]:
    return [f"  {name} p50 {median(times):.2f} s, max {times[-1]:.2f} s, of {len(times):,} jobs"] if times else []


def summary(outcome: Outcome) -> str:
    """Engine, jobs, faults, rescues, second runs and why, recovery."""
    book, plan = outcome.book, outcome.plan
    faults = Counter(fault.kind for fault in book.faults)
    states = Counter(kept.state for kept in book.kept.values())
    rescues = sum(len(call.grants) for call in book.calls if call.how == "rescue")
    refused = sum(commit.verdict == "stale" for commits in book.of_job.values() for commit in commits)
    why = Counter(found.why or "UNEXPLAINED" for found in duplicates(book, outcome.rules))
    plainly, hindered = recoveries(book)
    lines = [
        f"{plan.engine}, seed {plan.seed}, {plan.seconds:g} s, lease {plan.lease:g} s",
        f"  jobs        {len(book.kept):,}: " + ", ".join(f"{n:,} {state}" for state, n in sorted(states.items())),
        "  faults      " + ", ".join(f"{n} {kind}" for kind, n in sorted(faults.items())),
        *(f"    exit      {fault.note}" for fault in book.faults if fault.kind == "exit"),
        f"  rescues     {rescues:,}; late ends refused: {refused:,}",
        f"  ran twice   {sum(why.values()):,}" + "".join(f"; {n} {reason}" for reason, n in sorted(why.items())),
    ]
    lines += _recovery("recovery   ", plainly) + _recovery("store away ", hindered)
    if ways := book.departures():
        p50, p99 = ways[len(ways) // 2], ways[len(ways) * 99 // 100]
        lines.append(f"  commits     on their way {p50 * 1e3:.1f} ms after the end, p99 {p99 * 1e3:.1f} ms")
    if book.shaken:
        gone = sum(stored not in book.kept for _, stored in book.acked.values())
        lines.append(f"  everysec    {len(book.shaken):,} jobs in the last seconds before a kill; {gone} of them lost")
    lines.append(f"  violations  {len(outcome.violations)}")
    lines += [f"    {violation}" for violation in outcome.violations[:20]]
    if outcome.kept:
        lines.append(f"  history     {outcome.kept}")
    return "\n".join(lines)
