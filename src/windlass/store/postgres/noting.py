"""What running attempts note down: progress, log lines, the steps of durable handlers; and the signals these wait for."""

from collections.abc import Sequence

from windlass.errors import LimitReached
from windlass.store.postgres.connection import Connection
from windlass.store.postgres.database import Database
from windlass.store.postgres.leasing import Claimer
from windlass.store.postgres.operating import audit
from windlass.values.lease import Delivery, LogLine, Note, Noted, Progress, Step, StoredStep

MOST_SIGNALS = 1_000
"""Signals that a job's box keeps."""


class Noter:
    """Notes and signals of one handle."""

    def __init__(self, database: Database, claimer: Claimer) -> None:
        self._db = database
        self._claimer = claimer

    async def report(self, notes: Sequence[Note]) -> list[Noted]:
        return await self._db.write(lambda connection: self._report(connection, notes)) if notes else []

    async def _report(self, connection: Connection, notes: Sequence[Note]) -> list[Noted]:
        # Locked until the end of the transaction, so that what is accepted is written under the lease it came with.
        rows = await connection.fetch(self._db.sql["heartbeat.holding"], sorted({note.id for note in notes}))
        held = {(row["id"], row["lease"]) for row in rows}
        good = [note for note in notes if (note.id, note.lease) in held]
        await self._progress(connection, [note for note in good if isinstance(note, Progress)])
        await self._lines(connection, [note for note in good if isinstance(note, LogLine)])
        steps = [note for note in good if isinstance(note, Step)]
        taken = dict(zip(map(id, steps), await self._steps(connection, steps), strict=True))
        return [Noted((note.id, note.lease) in held, taken.get(id(note))) for note in notes]

    async def _progress(self, connection: Connection, notes: list[Progress]) -> None:
        # The newest progress of an attempt is the one that counts.
        newest = sorted({note.id: note for note in notes}.values(), key=lambda note: note.id)
        if newest:
            await connection.execute(
                self._db.sql["heartbeat.progress"],
                [note.id for note in newest],
                [note.percent for note in newest],
                [note.note for note in newest],
            )
            await connection.execute(self._db.sql["journal.happen"], "progress", [note.id for note in newest])

    async def _lines(self, connection: Connection, lines: list[LogLine]) -> None:
        if lines:
            await connection.execute(
                self._db.sql["heartbeat.lines"],
                [line.id for line in lines],
                [line.attempt for line in lines],
                [line.level for line in lines],
                [line.text for line in lines],
                [line.age for line in lines],
            )
            await connection.execute(self._db.sql["heartbeat.trim"], sorted({line.id for line in lines}))

    async def _steps(self, connection: Connection, steps: list[Step]) -> list[str | None]:
        """The signals' data that the steps took, in their order."""
        if not steps:
            return []
        rows = await connection.fetch(
            self._db.sql["step.note"],
            [step.id for step in steps],
            [step.position for step in steps],
            [step.name for step in steps],
            [step.value for step in steps],
            [step.done for step in steps],
            [step.signal for step in steps],
        )
        data = {row["n"]: row["data"] for row in rows}
        return [data.get(n) for n in range(1, len(steps) + 1)]

    async def signal(self, id: str, name: str, data: str, actor: str) -> Delivery:
        async def hand_over(connection: Connection) -> str:
            told = await connection.fetchval(self._db.sql["step.hand_over"], id, name, data, MOST_SIGNALS)
            if told in (Delivery.WOKEN, Delivery.KEPT):
                await audit(self._db, connection, actor, "signal", id, {"name": name, "delivery": told})
            return told

        told = await self._db.write(hand_over)
        if told == "full":
            raise LimitReached(
                f"job {id} has {MOST_SIGNALS} signals that no step has taken",
                field="signal",
                value=name,
                limit=MOST_SIGNALS,
            )
        if told == Delivery.WOKEN:
            self._db.bell.ring("ready")
        return Delivery(told)

    async def steps(self, id: str) -> list[StoredStep]:
        return [StoredStep(*row) for row in await self._db.rows("step.steps", id)]
