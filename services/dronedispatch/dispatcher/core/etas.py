"""When an order will be there, once a drone flies it: the plan's drop-off with a slack.

The stated confidence is measured on the orders of this term that have arrived.
"""

from __future__ import annotations

from collections import deque

from dronedispatch.dispatcher.core.plan import Assign
from dronedispatch.fleet.deliveries import Delivery, Eta
from dronedispatch.fleet.documents import stamp
from dronedispatch.fleet.promises import PromiseRecord, kept_by

SLACK_SHARE = 0.1  # of the way that is left: a swap to a better drone, noise
SLACK_S = 3.0  # ticks, rounds and messages on the way
REMEMBERED = 200


class Etas:
    """`of` an assignment; `look` at every delivery that was written."""

    def __init__(self) -> None:
        self._kept: deque[bool] = deque(maxlen=REMEMBERED)

    def look(self, delivery: Delivery) -> None:
        """Learn from its arrival, if it had an ETA of ours."""
        kept = kept_by(delivery, delivery.eta if delivery.promised is not None else None)
        if kept is not None:
            self._kept.append(kept)

    def of(self, assign: Assign, now_s: float) -> Eta:
        """The ETA from now on."""
        left_s = max(0.0, assign.dropoff_s - now_s)
        record = PromiseRecord(kept=sum(self._kept), promised=len(self._kept))
        return Eta(
            at=stamp(now_s + left_s * (1.0 + SLACK_SHARE) + SLACK_S),
            confidence=record.confidence,
            basis=f"the way of {assign.drone_id}, {record.promised} recent deliveries",
        )
