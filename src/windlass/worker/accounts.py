"""What an attempt's end says of money, resources and the automatic retries of its dead letter, before it is committed."""

import msgspec
from msgspec.structs import force_setattr, replace

from windlass.declare.pricing import PARTS
from windlass.flowcontrol.capacity import Capacity
from windlass.operate.letters import comes_back
from windlass.values.clock import Micros
from windlass.values.job import ErrorInfo
from windlass.values.outcome import Finish
from windlass.values.states import Event
from windlass.worker.run import Run

_WHOLE = frozenset({Event.COMPLETE, Event.RETRY, Event.FAIL, Event.ABORT})
_COMPLETE, _FAIL = Event.COMPLETE, Event.FAIL  # by name they take 0.03 us each, which every job would pay
_ERROR = msgspec.json.Decoder(ErrorInfo)


class Accounts:
    """One per worker. `queues`: whether a whole queue has a price or a ladder, so that ends of any kind may be meant."""

    def __init__(self, capacity: Capacity) -> None:
        rules = capacity.queues
        self._prices = {name: rule.price for name, rule in rules.items() if rule.price is not None}
        self._ladders = {name: rule.ladder for name, rule in rules.items() if rule.ladder}
        self.queues = bool(self._prices or self._ladders)
        self._rests: dict[str, int] = {}

    def settle(self, run: Run, finish: Finish) -> Finish:
        """The end with what it cost, what was measured, and when its dead letter may be tried again."""
        bill = run.bill
        spent = 0
        if bill is not None:
            spent = bill.spent
            if bill.cpu or bill.memory:
                finish = replace(finish, cpu=bill.cpu, memory=bill.memory)
        event = finish.event
        tariff = run.rules.price
        if tariff is None and self._prices:
            tariff = self._prices.get(finish.queue)
        if tariff is not None and run.started:
            took = finish.took // run.shares if run.handler.chunked else finish.took
            whole = event is _COMPLETE or event in _WHOLE
            amount = tariff.parts(took, finish.memory, whole) + self._rests.get(finish.kind, 0)
            charged = amount // PARTS
            # What is left of a millionth goes to the kind's next attempt, or the costs of many short ones would all be lost.
            self._rests[finish.kind] = amount - charged * PARTS
            spent += charged
        if spent:
            force_setattr(finish, "spent", spent)  # nobody else has seen it yet, and a copy costs each job 0.3 us
        if event is _FAIL and (ladder := self._ladder(run, finish)):
            finish = replace(finish, ladder=ladder)
        return finish

    def _ladder(self, run: Run, finish: Finish) -> tuple[Micros, ...]:
        own = run.handler.declared.ladder
        ladder = self._ladders.get(finish.queue, ()) if own is None else own
        if not ladder:
            return ()
        error = _ERROR.decode(finish.error) if finish.error else None
        return ladder if comes_back(error, finish.reason) else ()
