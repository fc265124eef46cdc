"""Who makes a request, and which jobs that caller can reach."""

from enum import StrEnum

import msgspec
from msgspec.structs import replace

from windlass.values.job import Job
from windlass.values.query import Where


class Role(StrEnum):
    """What a caller is to the installation; `permissions.ROLES` says what each may do."""

    VIEWER = "viewer"
    USER = "user"
    OPERATOR = "operator"
    ADMIN = "admin"


class Reach(msgspec.Struct, frozen=True):
    """The jobs a caller can see and act on: those of this user and this project; None is any. For everybody else's the API
    answers as if they did not exist."""

    user: str | None = None
    project: str | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing of the installation is out of reach."""
        return self.user is None and self.project is None

    def sees(self, job: Job) -> bool:
        """Whether the job is within reach."""
        return self.user in (None, job.user) and self.project in (None, job.project)

    def of(self, ids: tuple[str, ...]) -> Where:
        """Those of the named jobs that are within reach."""
        return Where(ids=ids, user=self.user, project=self.project)

    def narrow(self, where: Where) -> Where | None:
        """The part of `where` within reach; None if there is none."""
        if self.user is not None and where.user not in (None, self.user):
            return None
        if self.project is not None and where.project not in (None, self.project):
            return None
        return replace(where, user=self.user or where.user, project=self.project or where.project)


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller. `project` None: not bound to one. `scopes` None: everything the role may do, else only these
    permissions of it. `plan`: what its jobs' limits go by. `actor` is what audits and idempotency go by."""

    user: str
    role: Role = Role.USER
    project: str | None = None
    scopes: frozenset[str] | None = None
    plan: str | None = None
    key: str | None = None
    """The id of the API key it came with."""

    @property
    def reach(self) -> Reach:
        """Users reach their own jobs; other roles those of their project, or all of them."""
        return Reach(self.user if self.role is Role.USER else None, self.project)

    @property
    def actor(self) -> str:
        return f"key:{self.key}" if self.key else f"user:{self.user}"

    @property
    def owner(self) -> str:
        """What tells whose jobs it makes, and how: callers that share it make the same jobs of the same description."""
        return "\n".join((self.role, self.user, self.project or "", self.plan or ""))

    @property
    def identity(self) -> str:
        """What tells this caller from every other: two callers never share it."""
        return "\n".join((self.actor, self.user, self.project or ""))
