"""What importing Windlass brings along: none of the extras' modules."""

import subprocess
import sys

import pytest

EXTRAS = (
    *(
        "redis",
        "asyncpg",
        "fastapi",
        "starlette",
        "uvicorn",
        "jwt",
        "cryptography",
        "prometheus_client",
        "opentelemetry",
    ),
    *(
        "pydantic",
        "pydantic_settings",
        "httpx",
        "httpx2",
        "obstore",
        "aiosmtplib",
        "jinja2",
        "PIL",
        "puremagic",
        "typst",
    ),
    *("pocketsphinx", "duckdb", "stripe", "sendgrid", "typer", "rich"),
)


@pytest.mark.parametrize(
    "code",
    [
        "import windlass",
        "from windlass import Context, Provider, Windlass, batch, exponential",
        "from windlass import Windlass; app = Windlass('sqlite://:memory:'); app.declare('a'); app.effects; app.limits",
        "from windlass import catalogue; catalogue.all_kinds(); catalogue.survey",
        "import windlass.outbound, windlass.keyed",
    ],
)
def test_no_extra_is_imported(code: str) -> None:
    told = f"import sys; {code}; print(*sorted({{n.split('.')[0] for n in sys.modules}} & set({EXTRAS!r})))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_package_alone_imports_nothing_of_ours() -> None:
    told = "import sys, windlass; print(*sorted(n for n in sys.modules if n.startswith('windlass')))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["windlass"]
