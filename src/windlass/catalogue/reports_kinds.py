"""The kinds of job for reports."""

from windlass import exponential
from windlass.catalogue.kinds import Kind, Recur

_SHARED = {"timeout": "5m", "backoff": exponential("60s")}
_MODULES = ("obstore", "httpx2", "typst")
_FORMATS = ["pdf", "csv", "json"]

KINDS = (
    Kind(
        name="daily-reports",
        family="reports",
        purpose="The report of a day: jobs, failures, costs and analytics beside the day before, as PDF, CSV, JSON",
        handler="windlass.catalogue.reports:daily",
        input="windlass.catalogue.reports:DailyInput",
        output="ReportOutput",
        extra="reports",
        modules=_MODULES,
        effect="same keys; the same numbers are mailed once",
        options=_SHARED,
        # By the names that the preset `marketplace` gives them: with both, they are there once.
        schedules=(Recur("marketplace.daily-reports", "0 6 * * *", {"formats": _FORMATS}),),
    ),
    Kind(
        name="weekly-reports",
        family="reports",
        purpose="The report of a week, with charts, beside the week before or the same week of last year",
        handler="windlass.catalogue.reports:weekly",
        input="windlass.catalogue.reports:WeeklyInput",
        output="ReportOutput",
        extra="reports",
        modules=_MODULES,
        effect="same keys; the same numbers are mailed once",
        options=_SHARED,
        schedules=(Recur("marketplace.weekly-reports", "0 8 * * mon", {"formats": _FORMATS, "charts": True}),),
    ),
)
