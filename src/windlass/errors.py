"""The error tree: every error Windlass raises to a caller.

WindlassError
├── SettingsError            a setting is unknown or does not fit
├── InvalidOption            an option of a job, queue, limit or schedule is out of range
├── InvalidArgs              the arguments do not fit the handler (names the field)
│   └── TooLarge             arguments or result over the size limit
├── BatchTooLarge            more jobs or bytes than one atomic call takes
├── UnknownKind              no handler and no worker ever named this kind (suggests)
├── DuplicateKind            one app declares a kind twice
├── JobNotFound              no such job (or no longer)
├── UnknownParent            `after=` names a job that does not exist
├── InvalidWorkflow          a workflow is empty, goes in a circle, or holds a job twice
├── JobFailed                the awaited job ended in `failed`
├── JobCancelled             the awaited job ended in `cancelled`
├── ResultTimeout            the awaited job did not end in time (also a TimeoutError)
├── RateLimitExceeded        a submission limit is used up
├── LimitReached             a bound of the store's own is used up (signals a job keeps)
├── StepsChanged             a durable handler met another step than the one recorded at that position
├── InvalidStep              a durable step where none can be, or a handler that caught its suspension
├── EffectMismatch           the key of an effect is on record with another request
├── OutcomeUnknown           an effect may or may not have been had, and nobody can be asked: somebody has to decide
├── EffectNotFound           no effect is on record under this name
├── ErrorGroupNotFound       no error group has this fingerprint
├── NoResult                 a chunk handler ended and said nothing of this job
├── SignalTimeout            the awaited signal did not come in time (also a TimeoutError)
├── InsideLoop               a blocking call was made where an event loop runs
├── LeaseLost                this attempt no longer owns its job
├── EncryptionKeyMissing     a job is encrypted with a key that this process does not have (names it)
├── SealBroken               what is encrypted was changed, or belongs to another job or field
├── TemplateNotFound         no job template has this name
├── WebhookNotFound          no webhook endpoint has this id
├── AlertRuleNotFound        no alert rule has this name
├── ChannelNotFound          no alert channel has this name
├── ScheduleError            a schedule cannot be read or never fires
│   └── ScheduleNotFound     no schedule has this key
└── StoreError
    ├── StoreUnavailable     the store cannot be reached or stays busy
    ├── StoreFull            no space left in the store
    ├── StoreReadOnly        the store refuses writes
    ├── SchemaMismatch       the store's schema is newer or older than this version
    └── WorkersAlive         the act needs the store's workers stopped

Errors are data: `code` is stable text, `facts` holds every number and name of the message.
Signals that handlers raise (`Retry`, `Fail`, ...) live in `outcome.py` and are not part of this tree.
"""

from typing import Any, ClassVar


class WindlassError(Exception):
    """The root of everything Windlass raises. `code`: stable text. `facts`: the message's data."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts
        mend = facts.get("mend")
        if mend and str(mend) not in message:  # a traceback shows notes, and whoever reads one wants to know what to do
            self.add_note(f"mend: {mend}")

    def __getattr__(self, name: str) -> Any:
        facts = self.__dict__.get("facts", {})
        if name in facts:
            return facts[name]
        raise AttributeError(f"{type(self).__name__} has no {name!r}")

    def __reduce__(self) -> Any:
        return (_rebuild, (type(self), self.message, self.facts))

    def as_dict(self) -> dict[str, Any]:
        """`{"code", "message", ...facts}`: what the API and `-o json` show."""
        return {"code": self.code, "message": self.message, **self.facts}


def _rebuild(cls: type[WindlassError], message: str, facts: dict[str, Any]) -> WindlassError:
    return cls(message, **facts)


class SettingsError(WindlassError):
    code = "settings"


class InvalidOption(WindlassError, ValueError):
    """`field`, `value`, `limit`, `mend` say which option, what was given, what is allowed."""

    code = "invalid-option"


class InvalidArgs(WindlassError, ValueError):
    """`field` is the path of the argument that does not fit, such as `to` or `items[3].price`."""

    code = "invalid-args"


class TooLarge(InvalidArgs):
    code = "too-large"


class BatchTooLarge(WindlassError, ValueError):
    code = "batch-too-large"


class UnknownKind(WindlassError, LookupError):
    """`kind`, and `suggestions`: known kinds that look alike."""

    code = "unknown-kind"


class DuplicateKind(WindlassError, ValueError):
    code = "duplicate-kind"


class JobNotFound(WindlassError, LookupError):
    code = "job-not-found"


class UnknownParent(WindlassError, LookupError):
    """`parent`: the id that `after=` named and the store does not have."""

    code = "unknown-parent"


class InvalidWorkflow(WindlassError, ValueError):
    """`jobs`: the ids that make it impossible."""

    code = "invalid-workflow"


class JobFailed(WindlassError):
    """`id`, `kind`, and `error`: the last attempt's `ErrorInfo` as a dict."""

    code = "job-failed"


class JobCancelled(WindlassError):
    """`id`, `kind`, `reason`."""

    code = "job-cancelled"


class ResultTimeout(WindlassError, TimeoutError):
    """`id`, `timeout` (seconds) and `state`: where the job stood."""

    code = "result-timeout"


class RateLimitExceeded(WindlassError):
    """`limit`, `remaining`, `reset_at` (aware datetime)."""

    code = "rate-limit-exceeded"


class LimitReached(WindlassError):
    """`field`, `value`, `limit`."""

    code = "limit-reached"


class StepsChanged(WindlassError):
    """`position`, `expected` (the recorded step's name), `got`, `version` (the payload version of the job)."""

    code = "steps-changed"
    retryable = False


class InvalidStep(WindlassError, RuntimeError):
    """`step`: its name."""

    code = "invalid-step"
    retryable = False


class SignalTimeout(WindlassError, TimeoutError):
    """`signal`, `timeout` (seconds). On record, so every later run meets it again: one that is not caught is permanent."""

    code = "signal-timeout"
    retryable = False


class EffectMismatch(WindlassError, ValueError):
    """`effect`: its name; `job`: that of the record."""

    code = "effect-mismatch"
    retryable = False


class OutcomeUnknown(WindlassError):
    """`effect`: its name. The job goes to the dead letters and is left alone there until somebody decides."""

    code = "outcome-unknown"
    category = "held"


class ErrorGroupNotFound(WindlassError, LookupError):
    """`fingerprint`."""

    code = "error-group-not-found"


class EffectNotFound(WindlassError, LookupError):
    """`effect`."""

    code = "effect-not-found"


class NoResult(WindlassError):
    """`marked`, `jobs`: of how many of its jobs the handler spoke."""

    code = "no-result"


class InsideLoop(WindlassError, RuntimeError):
    code = "inside-loop"


class LeaseLost(WindlassError):
    code = "lease-lost"


class EncryptionKeyMissing(WindlassError):
    """`key`: the id of the key, None when the process has no key at all; `kind`."""

    code = "encryption-key-missing"
    retryable = False


class SealBroken(WindlassError, ValueError):
    code = "seal-broken"
    retryable = False


class TemplateNotFound(WindlassError, LookupError):
    """`name`: no template has it."""

    code = "template-not-found"


class WebhookNotFound(WindlassError, LookupError):
    """`id`: no endpoint has it."""

    code = "webhook-not-found"


class AlertRuleNotFound(WindlassError, LookupError):
    """`name`: no rule has it."""

    code = "alert-rule-not-found"


class ChannelNotFound(WindlassError, LookupError):
    """`name`: no channel has it."""

    code = "alert-channel-not-found"


class ScheduleError(WindlassError, ValueError):
    code = "schedule"


class ScheduleNotFound(ScheduleError, LookupError):
    """`key`."""

    code = "schedule-not-found"


class StoreError(WindlassError):
    code = "store"


class StoreUnavailable(StoreError, ConnectionError):
    code = "store-unavailable"


class StoreFull(StoreError):
    code = "store-full"


class StoreReadOnly(StoreError):
    code = "store-read-only"


class SchemaMismatch(StoreError):
    """`found` and `known`: schema versions; `mend`: the command to run."""

    code = "schema-mismatch"


class WorkersAlive(StoreError):
    """`workers`: the ids of those that live."""

    code = "workers-alive"
