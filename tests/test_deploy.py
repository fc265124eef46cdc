"""The files under deploy/, as far as they can be checked without running containers: they parse, and what they call exists."""

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from windlass.api.settings import ApiSettings
from windlass.settings import Settings, load_settings

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
GUIDE = ROOT / "docs" / "guides" / "deploy.md"
UNITS = sorted(DEPLOY.glob("*.service"))
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
ELSEWHERE = {"WINDLASS_APP", "WINDLASS_API_KEY"}


def commands() -> Iterator[list[str]]:
    """Every `windlass ...` that a file or the guide runs, without the program's name."""
    for service in COMPOSE["services"].values():
        if service["image"] == "windlass":
            yield service["command"]
    for unit in UNITS:
        yield _unit(unit)["Service"]["ExecStart"].split()[1:]
    text = (DEPLOY / "Containerfile").read_text()
    yield json.loads(re.findall(r"^CMD (.*)$", text, re.M)[0])
    for line in re.findall(r"^(?:# *)?(?:docker run --rm )?windlass ([a-z].*)$", GUIDE.read_text(), re.M):
        yield line.split("#")[0].split()


def _unit(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(path.read_text())
    return parser


@pytest.mark.parametrize("command", list(commands()), ids=" ".join)
def test_commands_and_their_options_exist(command: list[str]) -> None:
    words = [word for word in command if not word.startswith("-")]
    nested = words[:2] if words[0] in ("migrate", "keys") else words[:1]
    done = subprocess.run(
        [sys.executable, "-m", "windlass", *nested, "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stderr
    for word in command:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", done.stdout), f"{nested} has no {word}"


def test_compose_has_its_services() -> None:
    services = COMPOSE["services"]
    assert set(services) == {"api", "worker", "migrate", "postgres", "redis"}
    for name in ("api", "postgres", "redis"):
        assert services[name]["healthcheck"]["test"]
    for volume in COMPOSE["volumes"]:
        assert any(each.startswith(f"{volume}:") for name in services for each in services[name].get("volumes", ()))
    assert "noeviction" in services["redis"]["command"], "a store that evicts loses jobs"
    assert all(port.startswith("127.0.0.1:") for port in services["api"]["ports"])
    assert (ROOT / services["api"]["build"]["dockerfile"]).is_file()
    assert (DEPLOY / "shop.py").is_file()


def test_workers_have_time_to_end() -> None:
    grace = Settings().grace
    assert int(COMPOSE["services"]["worker"]["stop_grace_period"].rstrip("s")) > grace
    for unit in UNITS:
        assert int(_unit(unit)["Service"]["TimeoutStopSec"]) > grace


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_units(unit: Path, tmp_path: Path) -> None:
    parsed = _unit(unit)
    assert parsed["Install"]["WantedBy"] == "multi-user.target"
    assert parsed["Service"]["User"] != "root"
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("no systemd-analyze here")
    # What it calls is not installed on this machine; everything else is verified as it stands.
    text = re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", unit.read_text(), flags=re.M)
    copy = tmp_path / unit.name.replace("@", "@1")
    copy.write_text(text)
    done = subprocess.run([analyse, "verify", "--man=no", str(copy)], capture_output=True, text=True, timeout=60)
    own = [line for line in (done.stdout + done.stderr).splitlines() if copy.name in line]
    assert own == []


def test_the_container_file() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.M):
        for name in source.split():
            assert (ROOT / name).exists(), name
    assert re.search(r"^USER (?!root)", text, re.M)
    assert re.findall(r"^STOPSIGNAL (\w+)$", text, re.M) == ["SIGTERM"]
    assert json.loads(re.findall(r"^ENTRYPOINT (.*)$", text, re.M)[0]) == ["windlass"]


def test_pm2_file() -> None:
    text = (DEPLOY / "ecosystem.config.js").read_text()
    node = shutil.which("node")
    if node is None:
        assert "name: 'job-workers'" in text and "instances: 1" in text
        return
    program = "console.log(JSON.stringify(require(process.argv[1])))"
    done = subprocess.run(
        [node, "-e", program, str(DEPLOY / "ecosystem.config.js")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (app,) = json.loads(done.stdout)["apps"]
    assert (app["name"], app["instances"], app["exec_mode"], app["args"][0]) == ("job-workers", 1, "fork", "worker")


def test_variables_are_ones_that_somebody_reads() -> None:
    source = "".join(path.read_text() for path in (ROOT / "src" / "windlass").rglob("*.py"))
    known = {f"WINDLASS_{name.upper()}" for name in Settings.__struct_fields__} | ELSEWHERE
    known |= {f"WINDLASS_API_{name.upper()}" for name in ApiSettings.__struct_fields__}
    known |= set(re.findall(r'"(WINDLASS_[A-Z_]+)"', source))
    files = [*DEPLOY.iterdir(), GUIDE]
    text = "".join(path.read_text() for path in files if path.is_file())
    used = set(re.findall(r"\bWINDLASS_[A-Z_]+[A-Z]\b", text)) - {"WINDLASS_API"}
    assert used <= known, used - known
    for name in ("REDIS_URL", "REDIS_HOST", "REDIS_PORT", "REDIS_PASSWORD", "REDIS_DB", "START_WORKERS"):
        assert name in text
        assert name in source
    for name in ("NODE_ENV", "EMAIL_PROVIDER", "SENDGRID_API_KEY", "MAX_FILE_SIZE", "ALLOWED_FILE_TYPES"):
        assert name in GUIDE.read_text(), "the guide says what becomes of it"


def test_the_example_environment_is_accepted() -> None:
    lines = (DEPLOY / "environment.example").read_text().splitlines()
    for prefix in ("", "# "):
        pairs = [line.removeprefix(prefix).split("=", 1) for line in lines if re.match(rf"{prefix}[A-Z_]+=", line)]
        load_settings({}, dict(pairs), DEPLOY)


async def test_the_sample_app_runs() -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("deployed_shop", DEPLOY / "shop.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from windlass import testing

    async with testing.sandbox(module.app) as box:
        ref = await module.send_email.enqueue("a@example.com")
        await box.drain()
        assert await ref.result() == "sent to a@example.com"
