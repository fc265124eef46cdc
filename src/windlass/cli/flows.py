"""Workflows on the terminal: listings, and the graph as text of 80 columns in which jobs alike share a line."""

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar

from windlass.cli.options import Chosen, Form
from windlass.cli.show import ago, clean, emit_json, emit_lines, emit_table, note
from windlass.cli.target import Target, on_app
from windlass.operate.views import Acted
from windlass.values.query import Page
from windlass.values.states import State
from windlass.workflows.flow import FlowGraph, FlowNode
from windlass.workflows.view import FlowInfo, Workflows

T = TypeVar("T")

WIDTH = 80
_NAMED = 3
"""Parents that a line names."""


def with_flows(target: Target, act: Callable[[Workflows], Awaitable[T]]) -> T:
    """Act on the workflows of the target's store."""
    return on_app(target, lambda app: act(app.workflows))


async def collect(flows: Workflows, limit: int, cursor: str | None) -> Page[FlowInfo]:
    """Up to `limit` workflows and the cursor behind them."""
    items: list[FlowInfo] = []
    while len(items) < limit:
        page = await flows.list(limit=min(100, limit - len(items)), cursor=cursor)
        items += page.items
        cursor = page.next
        if cursor is None:
            break
    return Page(items, cursor)


def emit_flows(page: Page[FlowInfo], form: Form) -> None:
    """Print a page of workflows in the form asked for."""
    if form is Form.JSON:
        emit_json({"items": page.items, "next": page.next})
        return
    if form is Form.IDS:
        emit_lines(info.id for info in page.items)
    elif page.items:
        rows = [
            [info.id, info.state, info.name or info.head, str(info.jobs), ago(info.created_at)] for info in page.items
        ]
        emit_table(["id", "state", "name", "jobs", "age"], rows, right=("jobs",))
    else:
        note(f"no workflows in {Chosen.store}")
    if page.next:
        note(f"more: --cursor {page.next}")


def emit_acted(acted: Acted, word: str, form: Form) -> None:
    """Print what was done."""
    if form is Form.JSON:
        emit_json({"done": acted.ids, "flagged": acted.flagged})
    elif form is Form.IDS:
        emit_lines((*acted.ids, *acted.flagged))
    else:
        print(f"{_jobs(len(acted.ids))} {word}")
        if acted.flagged:
            print(f"{_jobs(len(acted.flagged))} asked to stop (running now)")


def emit_graph(graph: FlowGraph, form: Form) -> None:
    """Print a graph in the form asked for."""
    if form is Form.JSON:
        emit_json(graph)
    elif form is Form.IDS:
        emit_lines(node.id for node in graph.nodes)
    else:
        emit_lines(graph_lines(graph))


class Cluster(NamedTuple):
    """Jobs of one kind and role that wait for the same clusters."""

    number: int
    nodes: list[FlowNode]
    parents: tuple[int, ...]


def graph_lines(graph: FlowGraph) -> list[str]:
    """The graph as lines of at most 80 characters, parents first."""
    counts = " ".join(f"{count} {state}" for state, count in sorted(graph.counts.items()))
    title = f"{graph.name}: " if graph.name else ""
    lines = [_cut(f"{clean(title)}{graph.state}, {_jobs(len(graph.nodes))}: {counts}", WIDTH), ""]
    groups = clusters(graph)
    wide = len(str(len(groups)))
    for group in groups:
        lines.append(_line(group, wide))
        lines += [_cut(f"{'':{wide + 2}}  {text}", WIDTH) for text in _troubles(group.nodes)]
    return lines


def clusters(graph: FlowGraph) -> list[Cluster]:
    """The nodes in clusters, numbered from 1, parents before children."""
    parents: dict[str, list[str]] = {}
    for edge in graph.edges:
        parents.setdefault(edge.child, []).append(edge.parent)
    home: dict[str, int] = {}
    found: dict[tuple[object, ...], Cluster] = {}
    for node in graph.nodes:
        above = tuple(sorted({home[parent] for parent in parents.get(node.id, ())}))
        key = (node.kind, node.name, node.role, node.batch, above)
        cluster = found.get(key)
        if cluster is None:
            cluster = found[key] = Cluster(len(found) + 1, [], above)
        cluster.nodes.append(node)
        home[node.id] = cluster.number
    return list(found.values())


def _line(group: Cluster, wide: int) -> str:
    first = group.nodes[0]
    label = first.kind if first.name is None else f"{first.kind} ({first.name})"
    if len(group.nodes) > 1:
        label += f" x{len(group.nodes)}"
    if first.role == "callback":
        label += " *"
    after = ""
    if group.parents:
        named = ", ".join(map(str, group.parents[:_NAMED]))
        after = f"after {named}" + (f" and {len(group.parents) - _NAMED} more" if len(group.parents) > _NAMED else "")
    return _cut(f"{group.number:>{wide}}  {_fit(clean(label), 32)}  {_fit(_states(group.nodes), 22)}  {after}", WIDTH)


def _states(nodes: Sequence[FlowNode]) -> str:
    if len(nodes) == 1:
        return str(nodes[0].state)
    sums: dict[State, int] = {}
    for node in nodes:
        sums[node.state] = sums.get(node.state, 0) + 1
    if len(sums) == 1:
        return f"all {nodes[0].state}"
    return " ".join(f"{sums[state]} {str(state)[:4]}" for state in State if state in sums)


def _troubles(nodes: Sequence[FlowNode]) -> list[str]:
    """The first dead letters, with their ids, which the next command takes."""
    failed = [node for node in nodes if node.state is State.FAILED]
    lines = [f"{node.id} {clean(node.reason or '')}" for node in failed[:_NAMED]]
    return [*lines, f"and {len(failed) - _NAMED} more failed"] if len(failed) > _NAMED else lines


def _fit(text: str, width: int) -> str:
    return _cut(text, width).ljust(width)


def _cut(text: str, width: int) -> str:
    text = text.rstrip()
    return text if len(text) <= width else text[: width - 3] + "..."


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count:,} jobs"
