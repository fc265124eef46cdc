"""The catalogue is made of what every user has: the public package, its documented rooms, and its extras."""

import ast

import pytest

from tests.test_house import SOURCE, imports, parsed

PUBLIC = (
    "windlass.catalogue",
    "windlass.providers",
    "windlass.secrecy",
    "windlass.presets",
    "windlass.outbound",
    "windlass.keyed",
)
FILES = sorted((SOURCE / "catalogue").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_catalogue_imports_what_is_public(path: object) -> None:
    for module, line in imports(parsed(path)):  # type: ignore[arg-type]
        assert module == "windlass" or module.startswith(PUBLIC), f"{path}:{line} imports {module}"


@pytest.mark.parametrize("path", [path for path in FILES if path.stem.endswith("_kinds")], ids=lambda path: path.stem)
def test_lists_of_kinds_import_no_extra(path: object) -> None:
    """They are read where nothing is installed, to say what is missing."""
    tree = parsed(path)  # type: ignore[arg-type]
    for node in tree.body:
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            assert name.split(".")[0] in ("windlass", "collections", "typing", "dataclasses", "pathlib"), (
                f"{path}: {name}"
            )
