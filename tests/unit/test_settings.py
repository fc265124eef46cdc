"""Settings: which source wins, and that nothing unknown or unfit slips through."""

from pathlib import Path
from typing import Any

import pytest

from windlass import Windlass
from windlass.errors import SettingsError
from windlass.settings import DEFAULT_URL, load_settings
from windlass.store.sqlite.address import read_url


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "windlass.toml").write_text("")  # the search upwards ends here
    return tmp_path


def url(folder: Path, **environment: str) -> str:
    return load_settings({}, environment, folder).url


def test_the_url_falls_back_in_the_order_of_the_contract(folder: Path) -> None:
    everything = {
        "WINDLASS_URL": "sqlite:///w.db",
        "REDIS_URL": "redis://r:1/2",
        "REDIS_HOST": "h",
        "REDIS_PORT": "7000",
        "REDIS_PASSWORD": "p@ss/word",
        "REDIS_DB": "3",
    }
    assert url(folder, **everything) == "sqlite:///w.db"
    del everything["WINDLASS_URL"]
    assert url(folder, **everything) == "redis://:p%40ss%2Fword@r:1/2"
    assert url(folder, REDIS_URL="rediss://u:own@r:1/2", REDIS_PASSWORD="other") == "rediss://u:own@r:1/2"
    assert url(folder, REDIS_URL="redis://u@r:1/2", REDIS_PASSWORD="p") == "redis://u:p@r:1/2"
    assert url(folder, REDIS_URL="redis://r:1/2") == "redis://r:1/2"
    del everything["REDIS_URL"]
    assert url(folder, **everything) == "redis://:p%40ss%2Fword@h:7000/3"
    assert url(folder, REDIS_HOST="h") == "redis://h:6379/0"
    assert url(folder, REDIS_PORT="tcp://10.0.0.1:6379", REDIS_PASSWORD="x") == DEFAULT_URL
    assert url(folder) == DEFAULT_URL == "sqlite:///windlass.db"


def test_arguments_win_over_environment_over_file_over_default(tmp_path: Path) -> None:
    (tmp_path / "windlass.toml").write_text('lease = "5s"\nthreads = 3\nconcurrency = 7\n')
    environment = {"WINDLASS_LEASE": "10", "WINDLASS_THREADS": "4", "WINDLASS_GRACE": ""}
    settings = load_settings({"lease": "20s", "namespace": None}, environment, tmp_path)
    assert (settings.lease, settings.threads, settings.concurrency, settings.grace) == (20.0, 4, 7, 30.0)
    assert load_settings({}, environment, tmp_path).lease == 10.0


def test_pyproject_is_read_from_a_folder_below(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.windlass]\nurl = "sqlite:///p.db"\nresult_limit = "2MiB"\n')
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    settings = load_settings({}, {}, below)
    assert (settings.url, settings.result_limit) == (f"sqlite:///{tmp_path}/p.db", 2 << 20)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("sqlite:///jobs.db", "sqlite:///{folder}/jobs.db"),
        (
            "sqlite:///data/50%25 a.db?synchronous=full&cache=8",
            "sqlite:///{folder}/data/50%25 a.db?synchronous=full&cache=8",
        ),
        ("SQLite:///jobs.db", "sqlite:///{folder}/jobs.db"),
        ("sqlite:////var/jobs.db?timeout=5", "sqlite:////var/jobs.db?timeout=5"),
        ("sqlite:///%2Fvar/jobs.db", "sqlite:///%2Fvar/jobs.db"),
        ("sqlite://:memory:", "sqlite://:memory:"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("redis://host:1/2", "redis://host:1/2"),
    ],
)
def test_a_relative_file_in_a_settings_file_lies_beside_that_file(tmp_path: Path, written: str, read: str) -> None:
    folder = tmp_path / "what? 100%"
    below = folder / "a" / "b"
    below.mkdir(parents=True)
    (folder / "windlass.toml").write_text(f"url = '{written}'\n")
    escaped = str(folder).replace("%", "%25").replace("?", "%3F")
    url = load_settings({}, {}, below).url
    assert url == read.replace("{folder}", escaped)
    assert url == load_settings({}, {}, folder).url
    if "jobs.db" in written and "folder" in read:
        assert read_url(url).path == str(folder / "jobs.db")
    assert load_settings({}, {"WINDLASS_URL": "sqlite:///own.db"}, below).url == "sqlite:///own.db"


@pytest.mark.parametrize(
    ("flags", "environment", "file", "hint"),
    [
        ({"leese": 1}, {}, "", "did you mean 'lease'"),
        ({}, {"WINDLASS_THREAD": "1"}, "", "did you mean 'threads'"),
        ({}, {}, "thredas = 1", "did you mean 'threads'"),
        ({"lease": "0.5s"}, {}, "", "lease"),
        ({}, {"WINDLASS_CONCURRENCY": "many"}, "", "concurrency"),
        ({}, {}, 'args_limit = "1 parsec"', "args_limit"),
        ({"unknown_kinds": "maybe"}, {}, "", "unknown_kinds"),
        ({"namespace": "a b"}, {}, "", "namespace"),
        ({}, {"REDIS_HOST": "h", "REDIS_DB": "first"}, "", "REDIS_DB"),
        ({}, {}, "lease = ", "windlass.toml"),
        ({"url": " "}, {}, "", "url"),
    ],
)
def test_what_is_unknown_or_unfit_is_an_error(
    tmp_path: Path, flags: dict[str, Any], environment: dict[str, str], file: str, hint: str
) -> None:
    (tmp_path / "windlass.toml").write_text(file)
    with pytest.raises(SettingsError, match=hint.replace("(", r"\(")):
        load_settings(flags, environment, tmp_path)


def test_variables_of_the_command_line_are_left_alone(folder: Path) -> None:
    load_settings({}, {"WINDLASS_UNTIL_IDLE": "1", "WINDLASS_APP": "m:app", "WINDLASS_TEST_SCALE": "2"}, folder)


def test_retention_is_given_as_the_store_wants_it(folder: Path) -> None:
    retention = load_settings({"keep_completed": "1h", "keep_failed": "forever"}, {}, folder).retention
    assert (retention.completed, retention.failed) == (3_600_000_000, None)
    assert retention.cancelled == 7 * 86_400_000_000


def test_histories_are_kept_for_so_long_and_so_many(folder: Path) -> None:
    usual = load_settings({}, {}, folder).retention
    assert (usual.history, usual.keep_history) == (30 * 86_400_000_000, 100_000)
    none = load_settings({}, {"WINDLASS_KEEP_HISTORY": "0", "WINDLASS_KEEP_HISTORY_COUNT": "250000"}, folder).retention
    assert (none.history, none.keep_history) == (0, 250_000)
    every = load_settings({"keep_history": "forever", "keep_history_count": "all"}, {}, folder).retention
    assert (every.history, every.keep_history) == (None, None)
    for wrong in (-1, "many", True, 1.5):
        with pytest.raises(SettingsError, match="keep_history_count"):
            load_settings({"keep_history_count": wrong}, {}, folder)


def test_an_app_takes_settings_and_they_are_frozen() -> None:
    app = Windlass("sqlite://:memory:", namespace="shop", lease="2s")
    assert (app.url, app.namespace, app.settings.lease) == ("sqlite://:memory:", "shop", 2.0)
    with pytest.raises(AttributeError):
        app.settings.lease = 3.0  # type: ignore[misc]
