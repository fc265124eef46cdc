"""The founding documents' functions, in snake_case, over one app: `compat.use(app)`, then `await compat.add_job(...)`."""

from types import MappingProxyType

from windlass.compat import adding, figures, letters, running, services
from windlass.compat.adding import helper
from windlass.compat.current import current, on_app, use
from windlass.compat.running import QueueJob, QueueWorker
from windlass.compat.shapes import job_shape
from windlass.compat.status import get_job_status as _get_job_status
from windlass.presets.catalogue import ALL
from windlass.presets.numbers import CONCURRENT_LIMITS, JOB_PRIORITY, PRIORITY_WEIGHTS, QUEUE_CONFIG

QUEUE_NAMES = MappingProxyType({work.queue.upper().replace("-", "_"): work.queue for work in ALL})

add_job = on_app(adding.add_job)
add_dependent_job = on_app(adding.add_dependent_job)
chain_jobs = on_app(adding.chain_jobs)
add_batch_jobs = on_app(adding.add_batch_jobs)
create_batch_job = on_app(adding.create_batch_job)
add_job_with_rate_limit = on_app(adding.add_job_with_rate_limit)
get_user_rate_limit_status = on_app(adding.rate_limit_status)
schedule_job = on_app(adding.schedule_job)

add_video_processing_job = on_app(helper("video-processing", "process-video"))
add_content_generation_job = on_app(helper("content-generation", "generate-content"))
add_email_job = on_app(adding.add_email_job)
add_transcript_job = on_app(helper("transcript-generation", "generate-transcript"))
add_social_post_job = on_app(helper("social-posting", "social-posting"))
add_scheduled_post_job = on_app(adding.add_scheduled_post)
add_file_processing_job = on_app(adding.add_file_job)
add_analytics_job = on_app(helper("analytics-aggregation", "analytics-aggregation"))

get_job_status = on_app(_get_job_status)
get_all_queue_stats = on_app(figures.queue_stats)
clean_all_queues = on_app(figures.clean_all)
get_queue_metrics = on_app(figures.queue_metrics)
get_user_job_metrics = on_app(figures.user_metrics)

get_dead_letter_jobs = on_app(letters.dead_letters)
retry_dead_letter_job = on_app(letters.retry_dead_letter)
cleanup_dead_letter_jobs = on_app(letters.cleanup_dead_letters)

create_worker = on_app(running.create_worker)
initialize_workers = on_app(running.initialize_workers)
initialize_scheduler = on_app(running.initialize_scheduler)


class queue_service:  # the documents' own name
    """`queueService`."""

    add_job = staticmethod(on_app(adding.add_job))
    add_enhanced_job = staticmethod(on_app(services.add_enhanced_job))
    get_queue_metrics = staticmethod(on_app(figures.comprehensive_metrics))
    get_queue_health = staticmethod(on_app(services.queue_health))
    get_enhanced_dlq = staticmethod(on_app(services.enhanced_dead_letters))
    retry_from_enhanced_dlq = staticmethod(on_app(letters.retried))
    process_scheduled_retries = staticmethod(on_app(letters.process_scheduled_retries))


class email_service:
    """`emailService`."""

    send_welcome_email = staticmethod(on_app(services.send_welcome_email))


class file_processing_service:
    """`fileProcessingService`."""

    process_file = staticmethod(on_app(services.process_file))


class cron_service:
    """`cronService`."""

    schedule_custom_analytics_aggregation = staticmethod(on_app(services.schedule_custom_analytics_aggregation))


__all__ = [
    "CONCURRENT_LIMITS",
    "JOB_PRIORITY",
    "PRIORITY_WEIGHTS",
    "QUEUE_CONFIG",
    "QUEUE_NAMES",
    "QueueJob",
    "QueueWorker",
    "add_analytics_job",
    "add_batch_jobs",
    "add_content_generation_job",
    "add_dependent_job",
    "add_email_job",
    "add_file_processing_job",
    "add_job",
    "add_job_with_rate_limit",
    "add_scheduled_post_job",
    "add_social_post_job",
    "add_transcript_job",
    "add_video_processing_job",
    "chain_jobs",
    "clean_all_queues",
    "cleanup_dead_letter_jobs",
    "create_batch_job",
    "create_worker",
    "cron_service",
    "current",
    "email_service",
    "file_processing_service",
    "get_all_queue_stats",
    "get_dead_letter_jobs",
    "get_job_status",
    "get_queue_metrics",
    "get_user_job_metrics",
    "get_user_rate_limit_status",
    "initialize_scheduler",
    "initialize_workers",
    "job_shape",
    "queue_service",
    "retry_dead_letter_job",
    "schedule_job",
    "use",
]
