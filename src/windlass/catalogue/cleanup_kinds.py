"""The kind of job that keeps the storage tidy."""

from windlass import Priority, fixed
from windlass.catalogue.kinds import Kind, Recur

KINDS = (
    Kind(
        name="storage-cleanup",
        family="cleanup",
        purpose="Remove old temporary files, folders of killed workers, and files of jobs that are gone",
        handler="windlass.catalogue.cleanup:clean_up",
        input="windlass.catalogue.cleanup:CleanupInput",
        output="CleanupOutput",
        queue="maintenance",
        extra="storage",
        modules=("obstore",),
        effect="repeated without harm",
        options={"timeout": "30m", "max_attempts": 2, "backoff": fixed("5m"), "priority": Priority.LOW},
        schedules=(Recur("catalogue.storage-cleanup", "0 2 * * *"),),
    ),
)
