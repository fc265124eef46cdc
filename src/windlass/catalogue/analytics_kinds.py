"""The kind of job for analytics."""

from windlass.catalogue.kinds import Kind, Recur

_TIMES = (
    ("hourly", "5 * * * *"),
    ("daily", "0 1 * * *"),
    ("weekly", "30 1 * * mon"),
    ("monthly", "30 2 1 * *"),
)

KINDS = (
    Kind(
        name="analytics-aggregation",
        family="analytics",
        purpose="Aggregate metrics by name over hours, days, weeks, months or a range",
        handler="windlass.catalogue.analytics:aggregate",
        input="windlass.catalogue.analytics:AnalyticsInput",
        output="AnalyticsOutput",
        extra="catalogue",
        effect="same records, overwritten",
        options={"timeout": "10m"},
        # By the names that the preset `marketplace` gives them: with both, they are there once.
        schedules=tuple(Recur(f"marketplace.analytics-{name}", cron, {"type": name}) for name, cron in _TIMES),
    ),
)
