"""The presets: the numbers of the four founding documents that give any."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from windlass.declare.bounds import Limit
from windlass.declare.ranking import BY_PLAN, PriorityRule
from windlass.presets.numbers import PLANS, TYPES
from windlass.presets.work import Keep, Preset, Recurring, Work
from windlass.values.priority import Priority
from windlass.values.retry import exponential, linear

SHORT_TEXT = 500
RECENT = timedelta(minutes=5)
AGAIN = ("15m", "1h", "6h")
PAYMENT_DELAYS = (3_600.0, 6 * 3_600.0, 24 * 3_600.0, 72 * 3_600.0)


def payment_delay(attempt: int) -> float:
    """Seconds until a failed payment is tried again: an hour, six, a day, three days."""
    return PAYMENT_DELAYS[min(attempt, len(PAYMENT_DELAYS)) - 1]


def is_recent(args: Mapping[str, Any]) -> bool:
    """News that was published less than five minutes ago."""
    try:
        published = datetime.fromisoformat(args["publishedAt"])
    except (KeyError, TypeError, ValueError):
        return False
    return published.tzinfo is not None and datetime.now(UTC) - published < RECENT


EMAIL = Work(
    queue="email-sending",
    kind="send-email",
    purpose="Send emails: notifications, campaigns, templates, attachments, bulk",
    concurrency=10,
    rate="100/m",
    per_user_rate="200/h",
)

media = Preset(
    name="media",
    works=(
        Work(
            queue="video-processing",
            kind="process-video",
            purpose="Process uploaded videos",
            concurrency=2,
            rate="5/m",
            per_user_rate="10/h",
            priority=Priority.HIGH,
        ),
        Work(
            queue="content-generation",
            kind="generate-content",
            purpose="Generate social media content",
            concurrency=5,
            rate="20/m",
            per_user_rate="50/h",
        ),
        EMAIL,
        Work(
            queue="transcript-generation",
            kind="generate-transcript",
            purpose="Generate video transcripts",
            concurrency=3,
            rate="10/m",
            per_user_rate="20/h",
        ),
        Work(
            queue="social-posting",
            kind="social-posting",
            purpose="Post to social platforms",
            concurrency=5,
            rate="20/m",
            per_user_rate="100/h",
        ),
        Work(queue="scheduled-posts", kind="scheduled-posts", purpose="Schedule future posts", concurrency=5),
    ),
    schedules=(
        Recurring(
            key="media.scheduled-posts",
            cron="* * * * *",
            purpose="Posts whose time has come: workers start them at their time, not at the next full minute",
        ),
        Recurring(key="media.cleanup", cron="0 2 * * *", purpose="Old jobs: the built-in schedule windlass.prune-jobs"),
    ),
    keep=Keep(completed=24 * 3_600.0, failed=7 * 86_400.0),
)

_PLAN = Limit(by="user", concurrency=dict(PLANS), scope="plans")
_PURPOSES = {
    "video-generation": "Complete video from script to final video",
    "script-generation": "Scripts from prompts, in various styles and formats",
    "scene-creation": "Single scenes with visuals and audio",
    "audio-synthesis": "Text to speech, with several voices",
    "image-generation": "Images in various styles and qualities",
    "world-building": "World concepts for video contexts",
    "content-analysis": "Analysis of scripts, images, videos and text",
    "video-composition": "Scenes, assets and audio made into the final video",
    "personalization": "Content fitted to a user",
    "ai-processing": "Any other task of an AI provider",
}

ai_video = Preset(
    name="ai_video",
    works=tuple(
        Work(
            queue=name,
            kind=name,
            purpose=_PURPOSES[name],
            concurrency=n,
            limits=(_PLAN,),
            rules=BY_PLAN,
            max_attempts=3,
            backoff=exponential("2s"),
            gap=("priority by plan",),
        )
        for name, n in TYPES.items()
    ),
    plans=PLANS,
    keep=Keep(last_completed=10, last_failed=50),
    lease=30.0,
    max_rescues=1,
)

_URGENT = "metadata.tags"
_TAGS = (
    PriorityRule("urgent-tag", shift=1, args={_URGENT: lambda tags: "urgent" in tags}),
    PriorityRule("production-tag", shift=1, args={_URGENT: lambda tags: "production" in tags}),
)

market = Preset(
    name="market",
    works=(
        Work(
            queue="deploy-contract",
            kind="deploy",
            purpose="Deploy contracts",
            limits=(Limit(by="environment", concurrency=1),),
            rules=(
                PriorityRule("production", Priority.CRITICAL, args={"environment": "production"}),
                PriorityRule("urgent", Priority.HIGH, args={_URGENT: lambda tags: "urgent" in tags}),
                PriorityRule("staging", Priority.NORMAL, args={"environment": "staging"}),
                PriorityRule("dev", Priority.LOW, args={"environment": ["dev", "development"]}),
            ),
            max_attempts=5,
            backoff=exponential("5s", cap="5m"),
            order="weighted",
            dead_retries=AGAIN,
            gap=(
                "delays of dead letters",
                "concurrency",
            ),
        ),
        Work(
            queue="process-tts",
            kind="tts-process",
            purpose="Text to speech",
            concurrency=3,
            rules=(
                PriorityRule("real-time", Priority.HIGH, args={"realTime": True}),
                PriorityRule(
                    "short-text",
                    Priority.NORMAL,
                    args={"text": lambda text: len(text) <= SHORT_TEXT},
                    when=lambda args: not args.get("batch"),
                ),
                PriorityRule("batch", Priority.LOW, args={"batch": True}),
                *_TAGS,
            ),
            max_attempts=3,
            backoff=exponential("2s", cap="1m"),
            order="weighted",
            dead_retries=AGAIN,
            gap=("delays of dead letters", "concurrency", "what short is", "what the tags are worth"),
        ),
        Work(
            queue="index-market-news",
            kind="index-market-news",
            purpose="Index market news",
            concurrency=2,
            rules=(
                PriorityRule("breaking", Priority.CRITICAL, args={"breaking": True}),
                PriorityRule("recent", Priority.HIGH, when=is_recent),
                *_TAGS,
            ),
            max_attempts=7,
            backoff=linear("10s", cap="2m"),
            order="weighted",
            dead_retries=AGAIN,
            gap=("delays of dead letters", "concurrency", "what the tags are worth"),
        ),
    ),
    schedules=(
        Recurring(
            key="market.dead-letter-retries",
            cron="* * * * *",
            purpose="Dead letters that are due (15 minutes, 1 hour, 6 hours): the built-in schedule windlass.retry-dead",
        ),
        Recurring(
            key="market.health",
            cron="*/5 * * * *",
            kind="report-queue-health",
            purpose="The health of all queues, kept as the result of the job",
        ),
        Recurring(
            key="market.dead-letter-purge",
            cron="0 2 * * *",
            purpose="Dead letters older than 30 days are archived, older than 90 deleted: the built-in windlass.prune-jobs",
        ),
        Recurring(
            key="market.metrics", cron="0 * * * *", purpose="Old metrics: the built-in schedule windlass.prune-metrics"
        ),
    ),
)

_BACKGROUND = Priority.LOW
marketplace = Preset(
    name="marketplace",
    works=(
        EMAIL,
        Work(
            queue="file-processing",
            kind="file-processing",
            purpose="Virus scan, image optimisation, thumbnails, format conversion, validation",
            concurrency=4,
            rules=(PriorityRule("user-facing", Priority.HIGH, when=lambda args: bool(args.get("userId"))),),
            gap=("concurrency", "what is user-facing"),
        ),
        Work(
            queue="analytics-aggregation",
            kind="analytics-aggregation",
            purpose="Hourly, daily, weekly and monthly analytics",
            concurrency=2,
            priority=_BACKGROUND,
            gap=("concurrency",),
        ),
        Work(
            queue="payment-retry",
            kind="payment-retry",
            purpose="Failed payments tried again, at several providers",
            concurrency=2,
            max_attempts=5,
            backoff=payment_delay,
            gap=("concurrency", "attempts", "delays"),
        ),
        Work(
            queue="referral-commission",
            kind="referral-commission",
            purpose="Commissions calculated and distributed",
            limits=(Limit(by="referrerId", concurrency=1),),
            gap=("concurrency",),
        ),
        Work(queue="daily-reports", kind="daily-reports", purpose="Daily reports", concurrency=1, gap=("concurrency",)),
        Work(
            queue="weekly-reports", kind="weekly-reports", purpose="Weekly reports", concurrency=1, gap=("concurrency",)
        ),
    ),
    schedules=(
        Recurring(
            key="marketplace.daily-reports",
            cron="0 6 * * *",
            kind="daily-reports",
            kwargs={"formats": ["pdf", "csv", "json"]},
            purpose="Daily reports, 6 AM UTC",
        ),
        Recurring(
            key="marketplace.weekly-reports",
            cron="0 8 * * mon",
            kind="weekly-reports",
            kwargs={"formats": ["pdf", "csv", "json"], "charts": True},
            purpose="Weekly reports, Mondays 8 AM UTC",
        ),
        *(
            Recurring(
                key=f"marketplace.analytics-{period}",
                cron=cron,
                kind="analytics-aggregation",
                kwargs={"type": period},
                purpose=f"Analytics, {period}",
            )
            for period, cron in (
                ("hourly", "5 * * * *"),
                ("daily", "0 1 * * *"),
                ("weekly", "30 1 * * mon"),
                ("monthly", "30 2 1 * *"),
            )
        ),
    ),
)
