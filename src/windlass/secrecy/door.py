"""`app.secrecy`: the app's keys and the kinds it knows as encrypted; opens what results, parents and operators ask for."""

import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from windlass.running.steps import SIGNAL, StepRecord, read_record
from windlass.secrecy.marks import MARK, TEXT_MARK, any_sealed, is_sealed
from windlass.secrecy.notes import step_purpose
from windlass.secrecy.ring import Keys, missing, read_token
from windlass.secrecy.veil import (
    LOG,
    RESULT,
    Veil,
    key_ids,
    open_args,
    open_error,
    open_text,
    open_value,
    opened_job,
)
from windlass.store.protocol import Store
from windlass.values.clock import SECOND, moment
from windlass.values.job import Job, NewJob
from windlass.values.lease import StoredLine
from windlass.values.query import Swap, Where
from windlass.values.states import FINAL, State

log = logging.getLogger("windlass.secrecy")

REVEALS = "reveal"
"""The space of the records that say who had which job decrypted."""

_KEPT = 90 * 86_400 * SECOND
_PAGE = 500


class Reveal(msgspec.Struct, frozen=True, kw_only=True):
    """A job in plain. `job` has the arguments, the result and the errors; `log` and `steps` what its handler wrote."""

    job: Job
    log: list[StoredLine]
    steps: list[StepRecord]

    def __repr__(self) -> str:
        return f"Reveal({self.job!r})"


class Seen(msgspec.Struct, frozen=True):
    """Who had a job decrypted, and when."""

    id: str
    actor: str
    at: int


class Standing(msgspec.Struct, frozen=True):
    """Jobs that have not ended (`live`) and that have (`ended`) by the key they are encrypted with, and the keys of this
    process, the writing one first."""

    live: dict[str, int]
    ended: dict[str, int]
    keys: tuple[str, ...]

    @property
    def unreadable(self) -> tuple[str, ...]:
        """Keys that jobs need and this process lacks."""
        return tuple(sorted({*self.live, *self.ended} - set(self.keys)))


class Secrecy:
    """One per app. Without keys it opens nothing, and costs nothing."""

    def __init__(
        self, store: Callable[[], Awaitable[Store]], keys: Keys | None, look_up: Callable[[str], Veil | None]
    ) -> None:
        """`look_up`: the veil of a kind that this app declares."""
        self._store = store
        self._look_up = look_up
        self.keys = keys
        self.kinds: dict[str, Veil] = {}
        """The veiled kinds that have been asked about."""

    def veil(self, kind: str, *, whole: bool, fields: Sequence[str], result: bool) -> Veil | None:
        """What is kept secret of a kind; None for nothing."""
        if not (whole or fields or result):
            self.kinds.pop(kind, None)
            return None
        found = self.kinds[kind] = Veil(kind, lambda: self.keys, whole=whole, fields=fields, result=result)
        return found

    def bind(self, job: NewJob[Any]) -> NewJob[Any]:
        """A job that is a copy (of a schedule's, or under an id that its maker chose): sealed again for its own id."""
        if MARK not in job.args:
            return job
        given = msgspec.json.decode(job.args, type=dict[str, Any])
        fields = [name for name, value in given.items() if is_sealed(value)]
        whole = is_sealed(given)
        if not (whole or fields):
            return job
        return Veil(job.kind, lambda: self.keys, whole=whole, fields=fields, result=False).bind(job)

    # readers

    def opened(self, job: Job) -> Job:
        """A job with what is sealed of its arguments, result and errors in plain; the same object if nothing is."""
        hidden = job.error is not None and job.error.traceback.startswith(TEXT_MARK)
        if not (hidden or is_sealed(job.result) or any_sealed(job.args)):
            return job
        keys, kind = self._keys_of(job), job.kind
        args = msgspec.json.decode(open_args(keys, kind, job.id, msgspec.json.encode(job.args).decode()))
        trail = tuple(replace(each, error=open_error(keys, kind, job.id, each.error)) for each in job.attempts)
        result = open_value(keys, kind, job.id, RESULT, job.result)
        return opened_job(
            job, args=args, result=result, error=open_error(keys, kind, job.id, job.error), attempts=trail
        )

    def end_of(self, job: Job) -> Job:
        """A final job with its result or error in plain. Its arguments stay as they are: their key may be gone."""
        hidden = job.error is not None and job.error.traceback.startswith(TEXT_MARK)
        if not (hidden or is_sealed(job.result)):
            return job
        keys = self._keys_of(job)
        error = open_error(keys, job.kind, job.id, job.error)
        return opened_job(job, result=open_value(keys, job.kind, job.id, RESULT, job.result), error=error)

    def args_of(self, job: Job) -> dict[str, Any]:
        """The plain arguments of a job, to make another like it."""
        if not any_sealed(job.args):
            return job.args
        text = open_args(self._keys_of(job), job.kind, job.id, msgspec.json.encode(job.args).decode())
        return msgspec.json.decode(text)

    def seal_signal(self, job: Job, name: str, data: str) -> str:
        """A signal's data for a job, sealed if the job is."""
        veil = self.kinds.get(job.kind) or self._look_up(job.kind)
        if veil is None and any_sealed(job.args):
            veil = Veil(job.kind, lambda: self.keys, whole=False, fields=(), result=False)
        return data if veil is None else veil.seal_value(data, job.id, SIGNAL + name)

    async def reveal(self, job: Job, actor: str) -> Reveal:
        """A job in plain, once the store has it on record that `actor` asked."""
        store = await self._store()
        at = await store.now()
        text = msgspec.json.encode(Seen(job.id, actor, at)).decode()
        key = f"{job.id}:{secrets.token_hex(6)}"
        await store.exchange([Swap(space=REVEALS, key=key, text=text, ttl=_KEPT)])
        log.info("job %s was decrypted for %s", job.id, ascii(actor))
        opened = self.opened(job)
        lines = await store.log(job.id, 1_000)
        steps = [read_record(step) for step in await store.steps(job.id)]
        if self.keys is not None:
            keys = self.keys
            lines = [replace(each, text=open_text(keys, job.kind, job.id, LOG, each.text)) for each in lines]
            steps = [replace(each, result=self._step(keys, job, each)) for each in steps]
        return Reveal(job=opened, log=lines, steps=steps)

    async def reveals(self) -> list[Seen]:
        """Who had jobs decrypted, the newest first; kept for 90 days."""
        records = await (await self._store()).records(REVEALS)
        found = [msgspec.json.decode(record.text, type=Seen) for record in records if record.text]
        return sorted(found, key=lambda each: each.at, reverse=True)

    async def standing(self) -> Standing:
        """How many jobs are encrypted with which key: looks at every job."""
        store = await self._store()
        live: Counter[str] = Counter()
        ended: Counter[str] = Counter()
        for states, count in ((tuple(State(s) for s in State if s not in FINAL), live), (tuple(FINAL), ended)):
            cursor: str | None = None
            while True:
                page = await store.jobs(Where(states=states), cursor, _PAGE)
                for job in page.items:
                    count.update(key_ids(job))
                cursor = page.next
                if cursor is None:
                    break
        return Standing(dict(live), dict(ended), tuple(self.keys or ()))

    def _keys_of(self, job: Job) -> Keys:
        if self.keys is None:
            raise missing(next(iter(sorted(key_ids(job))), None) or _error_key(job), job.kind, None)
        return self.keys

    def _step(self, keys: Keys, job: Job, step: StepRecord) -> Any:
        name = SIGNAL + step.name if step.what == "signal" else step.name
        return open_value(keys, job.kind, job.id, step_purpose(step.position, name), step.result)


def _error_key(job: Job) -> str | None:
    error = job.error
    return None if error is None else read_token(error.traceback.removeprefix(TEXT_MARK))[1]


def told(seen: Seen) -> str:
    """A line for people."""
    return f"{moment(seen.at):%Y-%m-%d %H:%M:%S} UTC {seen.id} {seen.actor}"
