"""Statement files: `<verb>.sql` and `<verb>.lua`, loaded once, with states rendered as literals.

A file is one verb; `-- name: part` starts a named part. Placeholders: those of `states.render`, and `{name}` values that
the engine passes (schema, table prefix).
"""

import re
from functools import cache
from importlib import resources

from windlass.values.states import render

_PART = re.compile(r"^-- name: (\w+)[^\n]*\n", re.MULTILINE)


@cache
def load(package: str, file: str) -> str:
    """The text of a statement file with the states rendered."""
    return render(resources.files(package).joinpath(file).read_text("utf-8"))


def parts(text: str) -> dict[str, str]:
    """The named parts of a file; text before the first name is the header and left out."""
    pieces = _PART.split(text)
    return {name: body.strip() for name, body in zip(pieces[1::2], pieces[2::2], strict=True)}


def fill(text: str, **values: str) -> str:
    """`text` with each `{key}` replaced; braces that name no key stay."""
    for key, value in values.items():
        text = text.replace("{" + key + "}", value)
    return text
