"""What a worker and its child processes say to each other: length-prefixed MessagePack frames over a socket pair."""

import struct

import msgspec

from windlass.running.effects import Change, Changed, Seen
from windlass.values.job import Claim, Job
from windlass.values.lease import Noted, Step, StoredStep
from windlass.values.outcome import Finish

LENGTH = struct.Struct(">I")


class Setup(msgspec.Struct, tag=True):
    """First frame to a child: where the handlers are (`kind -> (module, qualified name)`), how to import them, and which
    worker this is. `prepare`: what `multiprocessing.spawn.prepare` needs to find modules and re-import a script."""

    worker: str
    handlers: dict[str, tuple[str, str]]
    sys_path: list[str]
    sys_argv: list[str]
    main_name: str | None = None
    main_path: str | None = None


class Family(msgspec.Struct):
    """A job's parents as its handler sees them."""

    jobs: tuple[Job, ...]
    count: int


class Start(msgspec.Struct, tag=True):
    """Run this."""

    claim: Claim
    parents: Family | None = None


class Leave(msgspec.Struct, tag=True):
    """The worker is about to leave: an iterable job ends at its next `yield`."""


class Answer(msgspec.Struct, tag=True):
    """What became of the `Ask` of this number: the one field that it was for."""

    number: int
    steps: list[StoredStep] | None = None
    now: int = 0
    noted: Noted | None = None
    seen: Seen | None = None
    changed: Changed | None = None
    refused: str | None = None


class Halt(msgspec.Struct, tag=True):
    """Stop what is running; the process signal that follows is meant."""

    why: str


class Ready(msgspec.Struct, tag=True):
    """The child has imported its handlers."""


class Progressed(msgspec.Struct, tag=True):
    percent: float
    note: str | None


class Line(msgspec.Struct, tag=True):
    level: str
    text: str


class Spent(msgspec.Struct, tag=True):
    """The handler reports a cost, in millionths; told at once, since a child may be killed."""

    millionths: int


class Begun(msgspec.Struct, tag=True):
    """A step is under way."""

    step: Step


class Ask(msgspec.Struct, tag=True):
    """The running handler waits for an `Answer`: `record` this step, `look` at an effect's record or `put` it, else the time
    or (`read`) the steps on record."""

    number: int
    record: Step | None = None
    read: bool = False
    look: tuple[str, str] | None = None
    put: Change | None = None


class Ended(msgspec.Struct, tag=True):
    """The attempt is over; None: its lease was lost. `cpu` (microseconds) and `memory` (bytes) are what it took."""

    finish: Finish | None
    cpu: int = 0
    memory: int = 0


Down = Setup | Start | Halt | Leave | Answer
Up = Ready | Progressed | Line | Spent | Begun | Ask | Ended

_encoder = msgspec.msgpack.Encoder()
down = msgspec.msgpack.Decoder(Down)
up = msgspec.msgpack.Decoder(Up)


def frame(message: msgspec.Struct) -> bytes:
    """A message as it goes over the wire."""
    body = _encoder.encode(message)
    return LENGTH.pack(len(body)) + body
