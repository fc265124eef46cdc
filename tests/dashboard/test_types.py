"""The client's hand-written types say only what the OpenAPI document says too."""

import re
from functools import cache
from pathlib import Path

import pytest

from windlass.api.asgi import openapi

TYPES = Path(__file__).parent.parent.parent / "dashboard" / "src" / "api" / "types.ts"
_OTHER_NAMES = {"Listing": None, "Param": None, "SessionView": None, "Me": None}
"""Generic, or no part of the document: sessions are for browsers."""


def interfaces() -> dict[str, set[str]]:
    """The fields of each interface."""
    found: dict[str, set[str]] = {}
    for name, body in re.findall(
        r"export interface (\w+)(?:<\w+>)?(?: extends \w+)? \{\n(.*?)\n\}", TYPES.read_text(), re.DOTALL
    ):
        found[name] = set(re.findall(r"^  (\w+)\??:", body, re.MULTILINE))
    return found


SCHEMAS = cache(lambda: openapi()["components"]["schemas"])


@pytest.mark.parametrize("name", sorted(interfaces().keys() - _OTHER_NAMES.keys()))
def test_every_field_is_of_the_api(name: str) -> None:
    assert name in SCHEMAS(), f"the API has no {name}"
    assert interfaces()[name] <= set(SCHEMAS()[name]["properties"])
