"""`windlass demo` as a story, played for real: its facts in the store, the files and the mails; and without its tools."""

import asyncio
import email
import os
import re
import subprocess
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.tools import need
from tests.cli.terminal import COMMAND, Answer, Shell
from windlass import Windlass
from windlass.cli.demo.story.screen import Screen
from windlass.cli.demo.story.telling import Line, Status
from windlass.demo.place import Place

ROOT = Path(__file__).parents[2]
TOOLS = ("ffmpeg", "ffprobe", "espeak-ng", "pocketsphinx", "typst", "aiosmtpd")
COPIES = [
    *("640p.mp4", "mail.eml", "poster.jpg", "posts.json", "report.json", "report.pdf", "thumbnail.webp"),
    "transcript.vtt",
]


def test_the_story_is_true_in_the_store_and_in_the_files(shell: Shell) -> None:
    """And the checks are real: when a file has lost a byte and a mail came twice, they say so."""
    need(*TOOLS)
    answer = _python(shell, PLAYED, TMPDIR=str(shell.folder), OPENAI_API_KEY="not to be used", **_SETTINGS)
    assert answer.code == 0, answer
    report = answer.json
    assert report["faults"] == []
    assert report["checked"] > 50
    assert Path(report["folder"]).parent == shell.folder
    assert report["made"] == COPIES
    asyncio.run(_assert_the_store(report))
    _assert_the_files(Path(report["folder"]))
    told = [f"{line['name']} {line['text']}" for line in report["told"]]
    assert sorted(map(_without_figures, told)) == sorted(map(_without_figures, _told_in_the_readme()))
    _assert_the_end(shell, (shell.folder / "again.txt").read_text())


PLAYED = """
import contextlib
import sys
from pathlib import Path

from windlass.cli.demo.story import play
from windlass.cli.options import Plain

real = play.conclude

async def conclude(app, story, screen, form):
    code = await real(app, story, screen, form)
    (video,) = (path for path in story.place.storage.rglob("640p.mp4"))
    video.write_bytes(video.read_bytes()[:-1])
    story.office.letters += story.office.got("ada@example.org")
    with open("again.txt", "w") as file, contextlib.redirect_stdout(file):
        print("code", await real(app, story, screen, Plain.TEXT))
    return code

play.conclude = conclude
sys.argv = ["windlass", "demo", "-o", "json"]
from windlass.cli import main
main()
"""


def _assert_the_end(shell: Shell, text: str) -> None:
    """What people see at the end: what is wrong, and commands that work."""
    assert "640p.mp4 (bytes, sha256) is" in text
    assert "mails to ada@example.org is 2, must be 1" in text
    assert text.splitlines()[-1] == "code 1"
    suggested = text.split("Try:")[1].split("code 1")[0]
    setting, *commands = [line.strip() for line in suggested.splitlines() if line.strip()]
    assert len(commands) >= 5
    for line in commands:
        tried = subprocess.run(
            f"{setting}; {line}",
            shell=True,
            cwd=shell.folder,
            env=shell.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert tried.returncode == 0, f"{line}: {tried}"
        assert tried.stdout.strip(), line


def _told_in_the_readme() -> list[str]:
    """The lines that README shows of the story, without their seconds."""
    shown = (ROOT / "README.md").read_text("utf-8").split("## What `make demo` shows")[1].split("```")[1]
    assert max(map(len, shown.splitlines())) <= 80
    lines = shown.split("checked:")[0]
    return [" ".join(each.split()) for each in re.split(r"(?m)^ {1,2}\d+\.\d s  ", lines)[1:]]


def _without_figures(line: str) -> str:
    """Sizes, process ids, percents and counts of built-in jobs differ from run to run."""
    return re.sub(r"\d[\d.,]*", "#", " ".join(line.split()))


async def _assert_the_store(report: dict[str, Any]) -> None:
    async with Windlass(report["url"], namespace="windlass") as app:
        graph = await app.workflows.get(report["workflow"])
        assert (graph.name, graph.state) == ("story-of-a-video", "failed")
        assert graph.counts == {"completed": 14, "failed": 1}
        jobs = {node.name: await app.jobs.get(node.id) for node in graph.nodes}
        kinds = {job.kind for job in jobs.values()} - {"part", "saying", "letter"}
        assert kinds == {
            *("file-processing", "process-video", "generate-transcript", "generate-content"),
            *("scheduled-posts", "send-email", "daily-reports"),
        }
        for name in ("mail", "post"):
            outcomes = [attempt.outcome for attempt in jobs[name].attempts if attempt.outcome != "release"]
            assert outcomes == ["retry", "complete"]
        assert any("451" in attempt.error.message for attempt in jobs["mail"].attempts if attempt.error)
        assert jobs["video"].rescues == 1
        assert _is_gone(report["killed_worker"])
        effect = await app.effects.get("post/board:default:default:sample:0")
        assert (effect.state, effect.sends) == ("done", 1)
        assert await app.effects.list() == []
        (letter,) = (await app.dead_letters.list()).items
        assert letter.job.id == jobs["broken"].id
        assert str(letter.job.error and letter.job.error.category) == "permanent"
        (alert,) = await app.alerts.list(firing=True)
        assert (alert.rule, alert.group) == ("dead-letters", "video-processing")
        assert jobs["transcript"].result["provider"] == "pocketsphinx"
        assert jobs["content"].result["provider"] == "extractive"
        assert jobs["report"].result["figures"]["failed"] == 1


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def _assert_the_files(folder: Path) -> None:
    letters = [email.message_from_bytes(path.read_bytes(), policy=default) for path in (folder / "mail").glob("*.eml")]
    assert sorted(letter["To"] for letter in letters) == ["ada@example.org", "ops@example.org"]
    made = folder / "made"
    (mail,) = [letter for letter in letters if letter["To"] == "ada@example.org"]
    assert mail["Subject"] == "Your video is ready"
    (picture,) = list(mail.iter_attachments())
    assert picture.get_content() == (made / "thumbnail.webp").read_bytes()
    assert (made / "report.pdf").read_bytes().startswith(b"%PDF")
    assert (made / "transcript.vtt").read_text().startswith("WEBVTT")
    asked = ["-v", "error", "-select_streams", "v", "-show_entries", "stream=height", "-of", "csv=p=0"]
    height = subprocess.run(["ffprobe", *asked, str(made / "640p.mp4")], capture_output=True, text=True, check=True)
    assert height.stdout.strip() == "640"


_SETTINGS = {
    "WINDLASS_EMAIL_PROVIDER": "sendgrid",
    "SENDGRID_API_KEY": "not to be used",
    "SMTP_HOST": "nowhere.invalid",
}


def test_lines_fit_the_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    screen = Screen(quiet=False)
    screen.say("A paragraph that is long. " * 20)
    screen.tell(Line("transcript", "and a line\x1b[2J of it " * 20))
    screen.show(Status("video", 99.0, "mp4_640"))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) > 12
    assert not any("\x1b" in line for line in lines)
    assert [line["name"] for line in screen.told] == ["transcript"]


def test_the_dashboard_s_app_runs_the_story_s_kinds_beside_the_shop_s(shell: Shell) -> None:
    need(*TOOLS)
    Place(folder=shell.folder, mail=2525, board=8025).write()
    words = ("kinds", "ls", "-A", "windlass.demo.shown:app", "--url", "sqlite:///shown.db", "-o", "ids")
    kinds = set(shell.ok(*words, WINDLASS_DEMO=str(shell.folder)).lines)
    assert {"process-video", "send-email", "scheduled-posts", "letter"} <= kinds
    assert {"send_email", "charge_card", "customers"} <= kinds
    assert "is no folder of a demo" in shell.run(*words, WINDLASS_DEMO="nowhere").err


def test_without_ffmpeg_the_demo_on_files_is_played_and_says_what_is_missing(shell: Shell) -> None:
    (shell.folder / "empty").mkdir()
    answer = _on_few_files(shell, PATH=str(shell.folder / "empty"))
    assert answer.code == 0, answer
    (said,) = answer.err.splitlines()
    assert said.startswith("the story of a video needs more: ffmpeg, ffprobe, espeak-ng not found")
    assert "apt-get install ffmpeg espeak-ng" in said
    assert "jobs ended exactly as computed without the queue" in answer.out


def test_without_a_package_the_extra_is_named(shell: Shell) -> None:
    (shell.folder / "hiding.py").write_text(HIDING)
    answer = _on_few_files(shell, "-o", "json", before="import hiding")
    assert answer.code == 0, answer
    assert "pocketsphinx not found (pip install 'windlass[demo]')" in answer.err
    assert answer.json["faults"] == []


def test_programs_that_cannot_make_the_sample_are_told(shell: Shell) -> None:
    need(*TOOLS)
    poor = shell.folder / "ffmpeg"
    poor.write_text("#!/bin/sh\necho \"Unknown encoder 'libx264'\" >&2\nexit 1\n")
    poor.chmod(0o755)
    program = f"{STUB}import sys\nsys.argv = ['windlass', 'demo']\nfrom windlass.cli import main\nmain()\n"
    answer = _python(shell, program, WINDLASS_FFMPEG=str(poor), TMPDIR=str(shell.folder))
    assert answer.code == 0, answer
    assert f"no sample can be made here: {poor}: Unknown encoder 'libx264'. Files then:" in answer.err
    assert answer.out.endswith("files\n")
    assert not list(shell.folder.glob("windlass-*"))


STUB = """
from windlass.cli.demo.files import play

play.play = lambda plan: print("files") or 0
"""

HIDING = """
import importlib.util

real = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name == "pocketsphinx" else real(name, package)
"""
FEW = """
from windlass.cli.demo.files import play

real = play.sources
play.sources = lambda folder, most: real(folder, 60)
"""


def _on_few_files(shell: Shell, *words: str, before: str = "", **environment: str) -> Answer:
    """The bare command, which would take all 1,800 files."""
    program = f"{FEW}{before}\nimport sys\nsys.argv = ['windlass', 'demo', *{words!r}]\nfrom windlass.cli import main\nmain()\n"
    return _python(shell, program, **environment)


def _python(shell: Shell, program: str, **environment: str) -> Answer:
    done = subprocess.run(
        [COMMAND[0], "-c", program],
        cwd=shell.folder,
        env=shell.environment | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)
