"""Worker processes are killed at random: what is counted is true all the same, and a replay requeues each letter once."""

from benchmarks import metrics_truth, replay_dead

from tests.store.kit import Place


async def test_metrics_are_exact_whatever_is_killed(shared: Place) -> None:
    assert await metrics_truth.run(shared.url, shared.namespace, 300, workers=2, kills=2) == []


async def test_a_replay_goes_on_after_a_kill_and_none_is_requeued_twice(shared: Place) -> None:
    assert await replay_dead.run(shared.url, shared.namespace, 2_500, kills=1) == []
