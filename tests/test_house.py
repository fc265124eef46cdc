"""The architecture, asserted: which room may import which, and how big things may grow."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "windlass"
FILES = sorted(SOURCE.rglob("*.py"))
STATEMENTS = sorted([*SOURCE.rglob("*.sql"), *SOURCE.rglob("*.lua")])

ENGINES = {"sqlite", "redis", "postgres"}
DOORS = {"api", "cli", "catalogue", "dashboard"}
ENGINE_WORDS = ("redis", "postgres", "sqlite")
FORBIDDEN_NAMES = ("util", "helper", "manager", "service", "common", "base")


def room(path: Path) -> str:
    """The room of a source file: values, engine:<name>, store, app, worker, door:<name> or top."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    if parts[0] == "store":
        return f"engine:{parts[1]}" if parts[1] in ENGINES else "store"
    if parts[0] in {"values", "errors"}:
        return "values"
    if parts[0] == "worker":
        return "worker"
    if parts[0] in {"__main__", "demo", "showcase"}:  # the command itself, and the programs that it plays
        return "door:cli"
    if parts[0] in DOORS:
        return f"door:{parts[0]}"
    if parts[0] in {"__init__", "testing", "pytest_plugin"}:
        return "top"
    return "app"


MAY_IMPORT = {
    "values": {"values"},
    "store": {"values", "store"},
    "app": {"values", "store", "app"},
    "worker": {"values", "store", "app", "worker"},
    "top": {"values", "store", "app", "worker", "top"},
}


def allowed_rooms(own: str) -> set[str]:
    if own.startswith("engine:"):
        return {"values", "store", own}
    if own.startswith("door:"):
        return {"values", "store", "app", "worker", "top", own}
    return MAY_IMPORT[own]


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Modules of ours imported when the file is loaded; imports inside functions compose rooms lazily and are free."""
    for node in _top_level(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name.startswith("windlass"))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("windlass"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield (inner if _path_of(inner) else node.module), node.lineno


def _top_level(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        yield node
        yield from _top_level(node)


def _path_of(module: str) -> Path | None:
    if module == "windlass":
        return SOURCE / "__init__.py"
    relative = Path(*module.split(".")[1:])
    for candidate in (SOURCE / relative.with_suffix(".py"), SOURCE / relative / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    own = room(path)
    for module, line in imports(parsed(path)):
        target = _path_of(module)
        if target is None or target == SOURCE / "__init__.py":
            assert own in {"top"} or own.startswith("door:"), f"{path.name}:{line} imports the public package"
            continue
        assert room(target) in allowed_rooms(own), f"{path.name}:{line}: {own} may not import {room(target)} ({module})"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_sizes_and_names(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("\n") <= 600, f"{path.name} has more than 600 lines"
    assert not any(word in path.stem.split("_") for word in FORBIDDEN_NAMES), f"{path.name} says nothing"
    tree = ast.parse(text)
    if text.strip():
        assert ast.get_docstring(tree), f"{path.name} does not say what it is"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{path.name}:{node.lineno} {node.name} has {length} lines"
            if path.relative_to(SOURCE).parts[0] not in DOORS:
                given = len(node.args.args) + len(node.args.posonlyargs) + len(node.args.kwonlyargs)
                count = given - (bool(node.args.args) and node.args.args[0].arg in ("self", "cls"))
                assert count <= 12, f"{path.name}:{node.lineno} {node.name} takes {count} parameters"


def test_most_functions_are_short() -> None:
    lengths = sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in FILES
        for node in ast.walk(parsed(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    )
    assert lengths[len(lengths) * 9 // 10] <= 30


def test_only_open_store_names_an_engine() -> None:
    for path in FILES:
        own = room(path)
        if own.startswith("engine:") or path == SOURCE / "store" / "__init__.py":
            continue
        for node in ast.walk(parsed(path)):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                module = getattr(node, "module", None) or ",".join(alias.name for alias in node.names)
                for engine in ENGINES:
                    assert f"store.{engine}" not in module, f"{path.name}:{node.lineno} imports the {engine} engine"


@pytest.mark.parametrize("path", STATEMENTS, ids=lambda path: str(path.relative_to(SOURCE)))
def test_statements_type_no_state_word(path: Path) -> None:
    """Literal states come from `states.render`: a hand-typed list silently loses the partial index."""
    from windlass.values.states import State

    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        code = line.split("--", 1)[0]
        for state in State:
            assert f"'{state}'" not in code and f'"{state}"' not in code, (
                f"{path.name}:{number} types the state {state}"
            )


def test_public_names_are_pinned() -> None:
    import windlass

    assert sorted(windlass.__all__) == list(windlass.__all__)
    for name in windlass.__all__:
        assert getattr(windlass, name) is not None
