"""Every fault there is, by chance, on every engine: nothing is lost, and every second run has its reason."""

from collections import Counter

import pytest

from tests.crash.run import Plan, run
from tests.crash.summary import summary

SECONDS = 12.0


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_storm(engine: str, scale: float, seed: int) -> None:
    outcome = await run(Plan(engine, SECONDS * scale, seed))
    told = summary(outcome)
    print(told)
    assert not outcome.violations, f"{told}\n{outcome.logs}"
    assert not any(outcome.exit_codes), f"workers ended with {outcome.exit_codes}\n{told}\n{outcome.logs}"
    assert len(outcome.book.kept) > 100, told
    assert Counter(fault.kind for fault in outcome.book.faults)["kill"], told
