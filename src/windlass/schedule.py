"""A recurring or one-time schedule as the store keeps it. The store compares and moves `due`; the core reads `spec`."""

import msgspec

from windlass.clock import Micros


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """`spec`: JSON text that only the core reads (rule, zone, policies, the job to make). `owner`: the application whose
    code declared it, None when made at run time. `due`: the next fire, None when it never fires again."""

    key: str
    spec: str
    owner: str | None = None
    due: Micros | None = None
    paused: bool = False
    last_due: Micros | None = None
    last_job: str | None = None
    fired: int = 0
