"""`daily-reports` and `weekly-reports`: one snapshot of the numbers, in several formats, under a key that its content names."""

import asyncio
import hashlib
import re
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from windlass import Context, SettingsError
from windlass.catalogue.analytics_periods import (
    Period,
    as_text,
    check_zone,
    last_closed,
    period_at,
    read_edge,
    reference,
)
from windlass.catalogue.files_kept import keep, recall
from windlass.catalogue.files_source import Owner, owner_for
from windlass.catalogue.inputs import Artifact, JobInput, Output
from windlass.catalogue.installing import Kit, kit_of
from windlass.catalogue.kinds import all_kinds
from windlass.catalogue.mail_message import Address
from windlass.catalogue.readiness import readiness_of
from windlass.catalogue.reports_render import as_csv, as_pdf
from windlass.catalogue.reports_snapshot import Snapshot, as_json, snapshot
from windlass.catalogue.storage import prefix_of

Format = Literal["pdf", "csv", "json"]

_VERSION = 1
_MEDIA = {"pdf": "application/pdf", "csv": "text/csv; charset=utf-8", "json": "application/json"}
_WEEK = re.compile(r"(\d{4})-?W(\d{2})")


class MailNotInstalled(SettingsError):
    """Recipients are named, and this app sends no mail."""

    code = "mail-not-installed"
    retryable = False


class ReportInput(JobInput):
    """What all reports are asked for. `recipients` get the files by mail, through the kind `send-email`."""

    timezone: Annotated[str, Field(max_length=64)] = "UTC"
    formats: Annotated[tuple[Format, ...], Field(min_length=1, max_length=3)] = ("pdf", "csv", "json")
    recipients: Annotated[tuple[Address, ...], Field(max_length=100)] = ()
    charts: bool = True

    @model_validator(mode="after")
    def _has_zone(self) -> Self:
        check_zone(self.timezone)
        return self


class DailyInput(ReportInput):
    """`date`: which day; without one the last that was over when the job was due."""

    date: Annotated[str, BeforeValidator(as_text), Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = None
    compare: Literal["previous_day", "previous_week", "none"] = "previous_day"

    @model_validator(mode="after")
    def _has_date(self) -> Self:
        if self.date is not None:
            date.fromisoformat(self.date)
        return self


class WeeklyInput(ReportInput):
    """`week`: which ISO week, as `2026-W47`; without one the last that was over when the job was due."""

    week: Annotated[str, Field(max_length=8)] | None = None
    compare: Literal["previous_week", "year", "none"] = "previous_week"

    @model_validator(mode="after")
    def _has_week(self) -> Self:
        if self.week is not None:
            read_week(self.week)
        return self


class ReportOutput(Output):
    """The files, and the figures that people ask for first. `compared`: the period beside it, None if nothing is known of
    it. `mailed`: the job that sends it."""

    period: str
    since: str
    until: str
    compared: str | None
    figures: dict[str, int | float | None]
    artifacts: dict[str, Artifact]
    mailed: str | None = None
    reused: bool = False


def read_week(text: str) -> date:
    """The Monday of an ISO week; raises `ValueError`."""
    found = _WEEK.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no week; write it as 2026-W47")
    return date.fromisocalendar(int(found[1]), int(found[2]), 1)


async def daily(ctx: Context, given: DailyInput) -> ReportOutput:
    """The report of a day."""
    if given.date is None:
        period = last_closed("daily", reference(ctx.job), given.timezone)
    else:
        period = period_at("daily", read_edge(given.date, given.timezone, is_end=False), given.timezone)
    back = {"previous_day": 1, "previous_week": 7, "none": 0}[given.compare]
    return await _report(ctx, given, "daily", period, back)


async def weekly(ctx: Context, given: WeeklyInput) -> ReportOutput:
    """The report of an ISO week."""
    if given.week is None:
        period = last_closed("weekly", reference(ctx.job), given.timezone)
    else:
        monday = read_edge(read_week(given.week).isoformat(), given.timezone, is_end=False)
        period = period_at("weekly", monday, given.timezone)
    back = {"previous_week": 1, "year": 52, "none": 0}[given.compare]
    return await _report(ctx, given, "weekly", period, back)


async def _report(
    ctx: Context, given: ReportInput, kind: Literal["daily", "weekly"], period: Period, back: int
) -> ReportOutput:
    kit = kit_of(ctx)
    if given.recipients:
        _check_mail(kit)
    owner = owner_for(ctx, given.tenant, given.user_id)
    ctx.progress(5, "reading the numbers")
    taken = await snapshot(kit.app, kind, period, given.tenant, period.before(back) if back else None)
    text = as_json(taken)
    address = hashlib.sha256(b"%d %s" % (_VERSION, text)).hexdigest()[:24]
    wish = "-".join((*sorted({*given.formats}), "charts" if given.charts else "plain"))
    where = f"{prefix_of(owner.tenant, owner.user)}reports/{kind}/{taken.period}/{address}/{wish}/"
    made = await recall(kit, where, ReportOutput, lambda known: known.artifacts.values())
    if made is not None:
        made = made.model_copy(update={"reused": True})
    else:
        ctx.progress(30, "rendering")
        made = await _made(kit, given, taken, text, where)
        await keep(kit, where, made)
    if given.recipients:
        made = made.model_copy(update={"mailed": _mail(ctx, kit, given, owner, made, f"{kind}-{address}")})
    ctx.progress(100, "done")
    return made


async def _made(kit: Kit, given: ReportInput, taken: Snapshot, text: bytes, where: str) -> ReportOutput:
    artifacts: dict[str, Artifact] = {}
    for form in dict.fromkeys(given.formats):
        data = await _rendered(form, taken, text, given.charts, kit.settings.reports.fonts)
        name = f"{taken.kind}-{taken.period}.{form}"
        artifacts[form] = await kit.storage.put(f"{where}{name}", data, media_type=_MEDIA[form])
    return ReportOutput(
        period=taken.period,
        since=taken.since.isoformat(),
        until=taken.until.isoformat(),
        compared=taken.before,
        figures={each.name: each.value for each in taken.totals},
        artifacts=artifacts,
    )


async def _rendered(form: Format, taken: Snapshot, text: bytes, charts: bool, fonts: Path | None) -> bytes:
    if form == "json":
        return text
    if form == "csv":
        return as_csv(taken)
    return await asyncio.to_thread(as_pdf, taken, charts=charts, fonts=fonts)


def _check_mail(kit: Kit) -> None:
    if "send-email" not in kit.app.handlers:
        raise MailNotInstalled(
            "the report has recipients, and the kind send-email is not installed in this app",
            field="recipients",
            mend="catalogue.install(app, families=['mail', 'reports'])",
        )
    state = readiness_of(all_kinds()["send-email"], kit.settings)
    if not state.ready:
        raise MailNotInstalled(
            f"the report has recipients, and send-email cannot run here: {state.mend}",
            field="recipients",
            mend=state.mend,
        )


def _mail(ctx: Context, kit: Kit, given: ReportInput, owner: Owner, made: ReportOutput, key: str) -> str:
    """A job that sends the files, stored with the end of this one. The same numbers are mailed once."""
    handler = kit.app.handlers["send-email"]
    own = ctx.job
    options: dict[str, Any] = {
        name: value for name, value in (("user", own.user), ("project", own.project)) if value is not None
    }
    artifacts: Sequence[Artifact] = tuple(made.artifacts.values())
    mail: dict[str, Any] = {
        "to": list(given.recipients),
        "subject": f"{key.partition('-')[0].capitalize()} report {made.period}",
        "text": _letter(made),
        "attachments": [
            {"name": each.name, "key": each.key, "media_type": each.media_type.partition(";")[0]} for each in artifacts
        ],
        "tenant": owner.tenant,
        "idempotency_key": f"report-{key}",
    }
    if owner.user is not None:
        mail["user_id"] = owner.user
    return ctx.hand_over(handler.options(**options).job(**mail)).id


def _letter(made: ReportOutput) -> str:
    rate = made.figures["success_rate"]
    lines = [
        f"Report {made.period} ({made.since} to {made.until}).",
        "",
        f"Completed: {made.figures['completed']:,}",
        f"Failed for good: {made.figures['failed']:,}",
        f"Success rate: {'-' if rate is None else f'{rate * 100:.1f} %'}",
        f"Cost: {made.figures['cost']:,.2f}",
        "",
        f"Attached: {', '.join(each.name for each in made.artifacts.values())}.",
    ]
    return "\n".join(lines) + "\n"


__all__ = ["DailyInput", "ReportOutput", "WeeklyInput", "daily", "weekly"]
