"""The kinds of job for posts at their time."""

from windlass import exponential
from windlass.catalogue.kinds import Kind, Recur

KINDS = (
    Kind(
        name="scheduled-posts",
        family="posts",
        purpose="Post at its time, on platforms that the app registers; edited and cancelled by content id",
        handler="windlass.catalogue.posts:publish",
        input="windlass.catalogue.posts:PostInput",
        output="PostOutput",
        extra="catalogue",
        effect="hold, or look it up (the platform's to say)",
        options={"timeout": "5m", "max_attempts": 5, "backoff": exponential("30s", cap="15m")},
    ),
    Kind(
        name="scheduled-posts-reconcile",
        family="posts",
        purpose="Store the jobs of due posts that have none",
        handler="windlass.catalogue.posts:reconcile",
        input="windlass.catalogue.posts:ReconcileInput",
        queue="scheduled-posts",
        extra="catalogue",
        effect="repeated without harm",
        options={"timeout": "1m", "max_attempts": 1},
        schedules=(Recur("media.scheduled-posts", "* * * * *"),),
    ),
)
