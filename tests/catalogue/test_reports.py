"""`daily-reports` and `weekly-reports`: the same numbers in PDF, CSV and JSON, under keys of their content, mailed once."""

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.catalogue.post_office import post_office
from tests.catalogue.tools import ENGINES, Studio, need, studio
from tests.waiting import until
from tests.worker.kit import ended
from windlass import Job
from windlass.app import Windlass
from windlass.catalogue.analytics import analytics_of
from windlass.catalogue.analytics_periods import period_at
from windlass.catalogue.reports import DailyInput, WeeklyInput
from windlass.catalogue.reports_render import as_pdf, cell
from windlass.catalogue.reports_snapshot import Bar, Failure, Line, Snapshot, compared
from windlass.catalogue.settings import MailSettings
from windlass.errors import InvalidArgs
from windlass.observe.frames import HOURS, Sums, text_of
from windlass.values.clock import instant
from windlass.values.query import Swap

need("typst", "pypdf", "obstore")

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
THEN = TODAY - timedelta(days=20)


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


async def lived(app: Windlass, hours: dict[datetime, dict[str, int]]) -> None:
    """Write the records of hours that are over, as the app itself keeps them: by queue, how many jobs completed."""
    swaps: list[Swap] = []
    for at, queues in hours.items():
        cells: dict[tuple[str, str], Sums] = {}
        for queue, completed in queues.items():
            sums = cells[queue, f"{queue}-job"] = Sums()
            sums.ends = {"complete": completed, "fail": 1}
            sums.took, sums.took_sum = {100: completed}, completed * 500_000
            sums.cost = completed * 10_000
        swaps.append(Swap(space=HOURS, key=str(instant(at)), text=text_of(cells)))
    await (await app.store()).exchange(swaps)


def read_pdf(data: bytes) -> tuple[str, int]:
    import pypdf

    found = pypdf.PdfReader(io.BytesIO(data))
    return "\n".join(page.extract_text() for page in found.pages), len(found.pages)


async def files(it: Studio, found: Any) -> tuple[str, list[list[str]], Any]:
    """The text of the PDF, the rows of the CSV, the JSON."""
    made = {form: await it.read(artifact["key"]) for form, artifact in found["artifacts"].items()}
    rows = list(csv.reader(io.StringIO(made["csv"].decode())))
    return read_pdf(made["pdf"])[0], rows, json.loads(made["json"])


async def test_a_day_beside_the_day_before(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "reports") as it:
        before = THEN - timedelta(days=1)
        await lived(it.app, {before + timedelta(hours=h): {"mail": 10} for h in range(10)})
        await lived(it.app, {THEN + timedelta(hours=h): {"mail": 12, "video": h} for h in range(1, 6)})
        day = THEN.date().isoformat()
        found = await it.done("daily-reports", date=day, userId="ada")
        assert (found["period"], found["compared"]) == (day, before.date().isoformat())
        assert found["figures"]["completed"] == 5 * 12 + 15 and found["figures"]["cost"] == 0.75
        pages, rows, numbers = await files(it, found)
        assert numbers["totals"][0] == {"name": "completed", "value": 75, "before": 100, "change": -0.25}
        assert [(line["name"], line["completed"], line["before"]) for line in numbers["queues"]] == [
            ("mail", 60, 100),
            ("video", 15, 0),
        ]
        assert len(numbers["bars"]) == 24 and numbers["bars"][5] == {
            "label": "05", "completed": 17, "failed": 2, "before": 10
        }  # fmt: skip
        assert ["totals", "completed", "value", "75", "100", "-0.25"] in rows
        assert ["queue", "video", "completed", "15", "0", ""] in rows
        assert f"Daily report {day}" in pages and "-25.0 %" in pages and "0.75 USD" in pages and "video-job" in pages
        assert "Nothing was aggregated" in pages
        for form, artifact in found["artifacts"].items():
            assert artifact["key"].startswith(f"t/default/u/ada/reports/daily/{day}/")
            assert artifact["name"] == f"daily-{day}.{form}"
        again = await it.done("daily-reports", date=day, userId="ada")
        assert again == {**found, "reused": True}
        await lived(it.app, {THEN + timedelta(hours=9): {"mail": 1}})
        later = await it.done("daily-reports", date=day, userId="ada", compare="none", formats=["json"])
        assert later["artifacts"]["json"]["key"] != found["artifacts"]["json"]["key"], "other numbers, another key"
        assert later["compared"] is None


async def test_a_week_beside_others(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "reports") as it:
        week = period_at("weekly", THEN, "UTC")
        last_year = week.before(52)
        await lived(it.app, {week.since + timedelta(days=d, hours=3): {"mail": 10 + d} for d in range(7)})
        await lived(it.app, {last_year.since + timedelta(days=2, hours=3): {"mail": 50}})
        given = {"week": week.label, "formats": ["pdf", "csv", "json"]}
        found = await it.done("weekly-reports", **given)
        pages, _, numbers = await files(it, found)
        assert (found["compared"], numbers["totals"][0]["before"]) == (None, None)
        assert "nothing is known of the period before" in pages
        assert [(bar["label"][:3], bar["completed"]) for bar in numbers["bars"]] == [
            (name, 10 + n) for n, name in enumerate(("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"))
        ]
        found = await it.done("weekly-reports", **given, compare="year")
        pages, _, numbers = await files(it, found)
        assert found["compared"] == last_year.label and f"compared with {last_year.label}" in pages
        assert numbers["totals"][0] == {"name": "completed", "value": 91, "before": 50, "change": 0.82}
        assert numbers["bars"][2]["before"] == 50
        plain = await it.done("weekly-reports", **given, charts=False)
        assert "Course" not in (await files(it, plain))[0] and "Course" in pages


async def test_what_ran_today_and_failed(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "reports", "analytics") as it:

        @it.app.job(queue="work", max_attempts=1)
        async def work(ok: bool) -> None:
            if not ok:
                raise ValueError("=no #[such] *thing* $x$ \\")

        day = datetime.now(UTC)
        for ok in (True, True, False):
            await ended(it.app, (await work.enqueue(ok)).id)
        analytics = analytics_of(it.app)
        analytics.source("views")(lambda span: [{}] * 7)
        analytics.metric("=page_views", "views")
        span = {"start": day.date().isoformat(), "end": day.date().isoformat()}
        await it.done("analytics-aggregation", type="daily", dateRange=span)
        found = await it.done("daily-reports", date=day.date().isoformat())
        pages, rows, numbers = await files(it, found)
        work_line = next(line for line in numbers["queues"] if line["name"] == "work")
        assert (work_line["completed"], work_line["failed"]) == (2, 1)
        [failure] = numbers["failures"]
        assert (failure["type"], failure["letters"], failure["kinds"]) == ("ValueError", 1, ["work"])
        assert "#[such] *thing* $x$" in pages, "no markup, but text"
        assert numbers["analytics"] == [{"name": "=page_views", "value": 7, "before": None, "change": None}]
        assert ["analytics", "'=page_views", "value", "7", "", ""] in rows, "no formula"


async def test_mailed_once(engine: str, tmp_path: Path) -> None:
    async with post_office() as office:
        mail = MailSettings(sender="r@example.com", smtp_host="127.0.0.1", smtp_port=office.port, smtp_security="none")
        async with studio(engine, tmp_path, "reports", "mail", mail=mail) as it:
            await lived(it.app, {THEN: {"mail": 3}})
            office.answers["DATA"].append("451 4.3.0 try again later")
            day = THEN.date().isoformat()
            given: dict[str, Any] = {"date": day, "recipients": ["Ann <ann@example.org>"], "formats": ["pdf", "csv"]}
            found = await it.done("daily-reports", **given)

            async def sent_at_last() -> Job | None:
                await it.app.jobs.run_now(found["mailed"])  # not after half a minute, as a 451 has it
                job = await it.app.jobs.get(found["mailed"])
                return job if job.is_final else None

            first = await until(sent_at_last, "the mail to be sent")
            assert (first.state, first.attempt) == ("completed", 2)
            again = await it.done("daily-reports", **given)
            await ended(it.app, again["mailed"])
            [sent] = office.mails
            assert again["mailed"] != found["mailed"] and sent.recipients == ["ann@example.org"]
            assert sent.message["Subject"] == f"Daily report {day}"
            parts = {part.get_filename(): part for part in sent.message.iter_attachments()}  # type: ignore[attr-defined]
            assert set(parts) == {f"daily-{day}.pdf", f"daily-{day}.csv"}
            assert "Daily report" in read_pdf(parts[f"daily-{day}.pdf"].get_content())[0]
            body = sent.message.get_body(("plain",)).get_content()  # type: ignore[attr-defined]
            assert "Completed: 3" in body and "Failed for good: 1" in body


async def test_what_is_refused(engine: str, tmp_path: Path) -> None:
    async with studio(engine, tmp_path, "reports") as it:
        said = await it.refused("daily-reports", recipients=["a@b.org"])
        assert said.startswith("MailNotInstalled")
        said = await it.refused("weekly-reports", timezone="Asia/Kolkata")
        assert "RangeRefused" in said and "whole hour" in said
        found = await it.done("daily-reports", timezone="Asia/Kolkata", formats=["json"])
        assert found["since"].endswith("18:30:00+00:00"), "a day may begin inside an hour"


@pytest.mark.parametrize(
    ("kind", "bad"),
    [
        ("daily-reports", {"date": "2026-02-30"}),
        ("daily-reports", {"date": "yesterday"}),
        ("daily-reports", {"formats": ["docx"]}),
        ("daily-reports", {"formats": []}),
        ("daily-reports", {"recipients": ["a@b\r\nBcc: x@y.z"]}),
        ("daily-reports", {"timezone": "Nowhere"}),
        ("daily-reports", {"week": "2026-W01"}),
        ("weekly-reports", {"week": "2025-W53"}),
        ("weekly-reports", {"week": "last"}),
        ("weekly-reports", {"compare": "previous_day"}),
    ],
)
async def test_bad_inputs_are_refused_when_they_are_enqueued(kind: str, bad: dict[str, Any], tmp_path: Path) -> None:
    async with studio(ENGINES[0], tmp_path, "reports", worker=False) as it:
        with pytest.raises(InvalidArgs):
            await it.handlers[kind].enqueue(**bad)


def test_schedules_by_the_clock() -> None:
    from windlass import catalogue, presets

    app = Windlass("sqlite://:memory:")
    catalogue.install(app, families=["reports"], schedules=True)
    presets.apply(app, presets.marketplace)
    kinds = catalogue.all_kinds()
    [day], [week] = kinds["daily-reports"].schedules, kinds["weekly-reports"].schedules
    assert (day.cron, week.cron) == ("0 6 * * *", "0 8 * * mon")
    assert app.timetable.has("marketplace.daily-reports") and app.timetable.has("marketplace.weekly-reports")
    for schedule in presets.marketplace.schedules:  # the preset's arguments fit too
        if schedule.kind in ("daily-reports", "weekly-reports"):
            {"daily-reports": DailyInput, "weekly-reports": WeeklyInput}[schedule.kind].model_validate(schedule.kwargs)
    assert DailyInput(date=date(2026, 3, 2)).date == "2026-03-02"  # type: ignore[arg-type]


def test_long_reports_and_the_same_bytes() -> None:
    lines = tuple(Line(f"queue-{n}", n, 1, 0, 0.5, 0.1, 0.2, None, 0.000001, None) for n in range(100))
    taken = Snapshot(
        kind="weekly", period="2026-W10", since=THEN, until=THEN + timedelta(days=7), timezone="UTC", tenant="default",
        currency="EUR", before=None, totals=(compared("completed", 5, 0), compared("cost", 0.0000011, None)),
        queues=lines, kinds=lines, analytics=(),
        failures=(Failure("E", "\u0416 \u00df \u0391 " + "long " * 40, 3, ("a",)),),
        bars=tuple(Bar(f"{n}", 0, 0, None) for n in range(7)),
    )  # fmt: skip
    data = as_pdf(taken)
    text, pages = read_pdf(data)
    assert data == as_pdf(taken) and data.startswith(b"%PDF-1.7")
    assert pages >= 4 and "queue-99" in text and "0.000001 EUR" in text and "\u0416 \u00df \u0391" in text
    assert [cell(text) for text in ("=1", "+1", "-1", "@a", "\t=1", "a=1")] == [
        "'=1", "'+1", "'-1", "'@a", "'\t=1", "a=1"
    ]  # fmt: skip
