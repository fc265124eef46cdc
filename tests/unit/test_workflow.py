"""Builders: which edges chains, groups and batches make, and what they refuse."""

from typing import Any

import msgspec
import pytest

from windlass import (
    BatchTooLarge,
    InvalidArgs,
    InvalidOption,
    InvalidWorkflow,
    Windlass,
    batch,
    chain,
    group,
    result_of,
)
from windlass.values.job import Edge, NewJob
from windlass.values.outcome import RunOptions
from windlass.workflows.workflow import HEAD, Workflow, assemble, chunks, parents_first


@pytest.fixture
def app() -> Windlass:
    app = Windlass("sqlite://:memory:")

    @app.job
    async def a(x: int = 0) -> int:
        return x

    @app.job
    async def b(x: int = 0, y: str = "") -> str:
        return f"{x}{y}"

    @app.job
    async def many(items: list[int]) -> int:
        return len(items)

    return app


def options(job: NewJob[Any]) -> RunOptions:
    return msgspec.json.decode(job.options or "{}", type=RunOptions)


def edges(flow: Workflow[Any]) -> dict[str, dict[str, str]]:
    """child -> parent -> policy"""
    return {job.id: {edge.parent: edge.on_failure for edge in job.after} for job in flow.jobs}


def test_a_chain_runs_one_after_the_other(app: Windlass) -> None:
    one, two, three = (app.handlers["a"].job(n) for n in range(3))
    flow = chain(one, two, three)
    assert edges(flow) == {one.id: {}, two.id: {one.id: "cancel"}, three.id: {two.id: "cancel"}}
    assert (flow.starts, flow.ends, flow.shape) == ((one.id,), (three.id,), three.id)
    assert [options(job).child for job in flow.jobs] == [False, True, True]
    assert one.after == two.after == ()


def test_groups_and_chains_nest(app: Windlass) -> None:
    a = app.handlers["a"]
    first, left, right, deep, last = (a.job(n) for n in range(5))
    flow = chain(first, group(left, chain(right, deep)), last)
    assert edges(flow) == {
        first.id: {},
        left.id: {first.id: "cancel"},
        right.id: {first.id: "cancel"},
        deep.id: {right.id: "cancel"},
        last.id: {left.id: "cancel", deep.id: "cancel"},
    }
    assert flow.shape == last.id
    assert group(left, chain(right, deep)).shape == [left.id, deep.id]


def test_a_later_jobs_own_policy_goes(app: Windlass) -> None:
    a = app.handlers["a"]
    one, two = a.job(), a.options(on_failure="run").job()
    assert chain(one, two).jobs[1].after == (Edge(one.id, "run"),)


def test_a_group_may_be_any_graph(app: Windlass) -> None:
    a = app.handlers["a"]
    top = a.job()
    left, right = a.options(after=[top]).job(), a.options(after=[top], on_failure="run").job()
    bottom = a.options(after=[left, right]).job()
    flow = group(bottom, right, left, top)
    assert (flow.starts, flow.ends) == ((top.id,), (bottom.id,))
    jobs, _ = assemble(flow, "w")
    assert [jobs[0].id, jobs[3].id] == [top.id, bottom.id]


def test_a_batch_and_its_callbacks(app: Windlass) -> None:
    a = app.handlers["a"]
    members = [a.job(n) for n in range(3)]
    then, good, bad = a.job(), a.job(), a.job()
    flow = batch(members, then=then, on_success=good, on_failure=bad, name="import")
    ids = [member.id for member in members]
    made = edges(flow)
    assert made[then.id] == dict.fromkeys(ids, "run")
    assert made[good.id] == dict.fromkeys(ids, "cancel")
    assert made[bad.id] == dict.fromkeys(ids, "trigger")
    assert (flow.ends, flow.shape, flow.name) == ((then.id,), then.id, "import")
    marks = {options(job).batch for job in flow.jobs[:3]}
    (mark,) = marks
    assert mark is not None
    assert mark.ahead == ((then.id, "run"), (good.id, "cancel"), (bad.id, "trigger"))
    assert {options(job).callback for job in flow.jobs[3:]} == {mark.id}


def test_a_batch_of_workflows(app: Windlass) -> None:
    a = app.handlers["a"]
    first, last, single, done = a.job(), a.job(), a.job(), a.job()
    flow = batch([chain(first, last), single], then=done)
    assert edges(flow)[done.id] == {last.id: "run", single.id: "run"}
    assert chain(a.job(), flow).ends == (done.id,)


def test_what_follows_a_batch_without_then_waits_for_its_members(app: Windlass) -> None:
    a = app.handlers["a"]
    members, alarm, after = [a.job(), a.job()], a.job(), a.job()
    flow = chain(batch(members, on_failure=alarm), after)
    assert edges(flow)[after.id] == {member.id: "cancel" for member in members}


def test_an_empty_batch_calls_what_runs_at_the_end(app: Windlass) -> None:
    a = app.handlers["a"]
    done, alarm = a.job(), a.job()
    flow = batch([], then=done, on_failure=alarm)
    assert [(job.id, job.after) for job in flow.jobs] == [(done.id, ())]


def test_a_batch_over_chunks_of_items(app: Windlass) -> None:
    flow = batch(range(7), each=app.handlers["many"], chunk=3, then=app.handlers["a"].job())
    assert [job.args for job in flow.jobs[:-1]] == ['{"items":[0,1,2]}', '{"items":[3,4,5]}', '{"items":[6]}']
    with pytest.raises(InvalidWorkflow):
        list(chunks([1], 0))


def test_results_as_arguments(app: Windlass) -> None:
    a, b = app.handlers["a"], app.handlers["b"]
    parent, other = a.job(1), a.job(2)
    job = b.options(after=[other]).job(result_of(parent), y="z")
    assert (job.args, job.after) == ('{"y":"z"}', (Edge(other.id), Edge(parent.id)))
    assert options(job).inputs == {"x": parent.id}
    with pytest.raises(InvalidArgs) as wrong:
        b.job(x=result_of(parent), y=3)
    assert wrong.value.field == "y"
    with pytest.raises(InvalidArgs):
        app.handlers["many"].job([result_of(parent)])
    with pytest.raises(InvalidArgs):
        b.job(result_of(parent), z=1)


def test_what_cannot_be_a_workflow(app: Windlass) -> None:
    a = app.handlers["a"]
    job = a.job()
    for wrong in (chain, group, lambda: batch([])):
        with pytest.raises(InvalidWorkflow):
            wrong()  # type: ignore[operator]
    with pytest.raises(InvalidWorkflow, match="takes jobs"):
        chain(a)  # type: ignore[arg-type]
    with pytest.raises(InvalidWorkflow, match="two places"):
        assemble(group(job, job), "w")
    with pytest.raises(InvalidWorkflow, match="a list of jobs"):
        batch(5)  # type: ignore[call-overload]
    with pytest.raises(InvalidWorkflow, match="not a job"):
        batch([job], then="report")  # type: ignore[call-overload]
    for size in (0, True, 1.5, 10**30):
        with pytest.raises(InvalidWorkflow, match="chunk is"):
            list(chunks([1], size))  # type: ignore[arg-type]
    with pytest.raises(InvalidWorkflow, match="a list of jobs"):
        batch(job)  # type: ignore[call-overload]
    with pytest.raises(InvalidWorkflow, match="waits for jobs of its own"):
        batch([job], on_failure=a.options(after=["x"]).job())


def test_circles_are_refused(app: Windlass) -> None:
    one: NewJob[Any] = NewJob(id="1", kind="a", after=(Edge("2"),))
    two: NewJob[Any] = NewJob(id="2", kind="a", after=(Edge("1"),))
    with pytest.raises(InvalidWorkflow, match="circle") as refused:
        parents_first([one, two])
    assert sorted(refused.value.jobs) == ["1", "2"]


def test_too_large(app: Windlass) -> None:
    a = app.handlers["a"]
    with pytest.raises(BatchTooLarge):
        batch((a.job() for _ in range(10_001)), then=a.job())
    with pytest.raises(BatchTooLarge):
        chain(batch([a.job() for _ in range(9_000)]), a.job(), batch([a.job() for _ in range(1_000)]))
    wide = [group(*(a.job() for _ in range(500))) for _ in range(2)]
    with pytest.raises(InvalidWorkflow, match="edges"):
        chain(*wide)


async def test_a_policy_without_parents_is_refused_at_the_store(app: Windlass) -> None:
    with pytest.raises(InvalidOption):
        await app.handlers["a"].options(on_failure="run").enqueue()


def test_the_head_names_the_whole(app: Windlass) -> None:
    a = app.handlers["a"]
    jobs, shape = assemble(batch([a.options(tags=["mine"]).job(), a.job()], then=a.job(), name="n"), "w1")
    assert {job.workflow for job in jobs} == {"w1"}
    assert jobs[0].tags == (HEAD, "mine")
    flow = options(jobs[0]).flow
    assert flow is not None
    assert (flow.jobs, flow.name, shape) == (3, "n", jobs[2].id)
