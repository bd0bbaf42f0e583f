"""The key figures of the dashboard, kept up by events and corrected by scans.

A delivery's id is a ULID: its first 48 bits are the moment of its creation, so that an event alone says how long an
order took.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping

import msgspec

from dronedispatch.fleet.deliveries import TERMINAL, Delivery, DeliveryStatus
from dronedispatch.fleet.documents import stamp, unstamp
from dronedispatch.gateway.core.history import Flows

WINDOW_S = 60.0
ENDED_KEPT_MAX = 20_000
SAMPLE_MAX = 500  # means are over that many newest deliveries
_AS_BASE_32 = str.maketrans(
    "ABCDEFGHJKMNPQRSTVWXYZ", "abcdefghijklmnopqrstuv"
)  # Crockford's digits as int() reads them


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """`orders_per_minute`: created in the last 60 s. Means in seconds over the last `sample` deliveries, null: none.

    `speed`: simulated seconds per second of the fleet. `delivered` counts up to a bound from the store (feed.py).
    """

    at: str
    pending: int
    assigned: int
    in_progress: int
    delivered: int
    orders_per_minute: int
    to_assign_mean_s: float | None
    to_deliver_mean_s: float | None
    sample: int
    drones: dict[str, int]
    speed: float


def created_s(delivery_id: str) -> float:
    """UTC epoch seconds at which the id was made. Raises ValueError for what is no ULID.

    Each event asks; python-ulid takes forty times as long, because it makes the whole id.
    """
    return int(delivery_id[:10].translate(_AS_BASE_32), 32) / 1000.0


def first_assigned_s(delivery: Delivery) -> float | None:
    """When it got its first drone; None: it never had one."""
    for line in delivery.history:
        if line.to is DeliveryStatus.ASSIGNED:
            return unstamp(line.at)
    return None


class Ledger:
    """Open orders by status, the orders of the last minute, and how long the last ones took.

    Every id's end counts once, however often it is told: by an event, again by a repeated one, again by a scan.
    """

    def __init__(self) -> None:
        self.open: dict[str, DeliveryStatus] = {}
        self.delivered = 0
        self.flows = Flows()
        self._assigned: set[str] = (
            set()
        )  # open ones that have had a drone: a better one later is no second assignment
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._recent: OrderedDict[str, float] = OrderedDict()
        self._to_assign_s: deque[float] = deque(maxlen=SAMPLE_MAX)
        self._to_deliver_s: deque[float] = deque(maxlen=SAMPLE_MAX)

    def changed(self, delivery_id: str, status: DeliveryStatus, at: str) -> None:
        """A delivery has come to `status` at the moment `at`."""
        if delivery_id in self._ended:
            return
        made_s, at_s = created_s(delivery_id), unstamp(at)
        took_s = max(0.0, at_s - made_s)  # two machines' clocks: nothing ends before it was ordered
        self._saw(delivery_id, made_s, at_s)
        if status is DeliveryStatus.ASSIGNED and delivery_id not in self._assigned:
            self._assigned.add(delivery_id)
            self._to_assign_s.append(took_s)
            self.flows.assigned(at_s, took_s)
        if status not in TERMINAL:
            self.open[delivery_id] = status
            return
        self.open.pop(delivery_id, None)
        self._assigned.discard(delivery_id)
        self._ended[delivery_id] = None
        if len(self._ended) > ENDED_KEPT_MAX:
            self._ended.popitem(last=False)
        self.flows.ended(at_s, status, took_s)
        if status is DeliveryStatus.DELIVERED:
            self.delivered += 1
            self._to_deliver_s.append(took_s)

    def _saw(self, delivery_id: str, made_s: float, now_s: float) -> None:
        if made_s > now_s - WINDOW_S:
            self._recent.setdefault(delivery_id, made_s)
        while self._recent and next(iter(self._recent.values())) <= now_s - WINDOW_S:
            self._recent.popitem(last=False)

    def counted(self, delivered: int, sample: Iterable[Delivery]) -> None:
        """A count of all delivered ones in the store, and a sample (newest last) replace what was remembered."""
        self.delivered = delivered
        self._to_assign_s.clear()
        self._to_deliver_s.clear()
        for delivery in sample:
            made_s = unstamp(delivery.created_at)
            if (assigned_s := first_assigned_s(delivery)) is not None:
                self._to_assign_s.append(max(0.0, assigned_s - made_s))
                if delivery.status not in TERMINAL:
                    self._assigned.add(delivery.id)
            if delivery.delivered_at is not None:
                self._to_deliver_s.append(max(0.0, unstamp(delivery.delivered_at) - made_s))

    def corrected(self, found: Mapping[str, DeliveryStatus], now_s: float) -> tuple[list[str], list[str]]:
        """All open deliveries as the store has them. Returns (ids whose news never came, ids that have gone silently).

        A scan is no snapshot: what an event has ended meanwhile stays ended.
        """
        still = {key: status for key, status in found.items() if key not in self._ended}
        news = [key for key, status in still.items() if self.open.get(key) is not status]
        gone = [key for key in self.open if key not in found]
        for key in still:
            self._saw(key, created_s(key), now_s)
        self.open = still | {key: self.open[key] for key in gone}
        self._assigned &= self.open.keys()
        return news, gone

    def vanished(self, ids: Iterable[str]) -> None:
        """The store has no such deliveries: it was restored, or they were removed after an end that nobody told."""
        for one in ids:
            self.open.pop(one, None)
            self._assigned.discard(one)

    def figures(self, now_s: float, drones: Mapping[str, int], speed: float) -> Figures:
        """As of `now_s`."""
        count = dict.fromkeys(DeliveryStatus, 0)
        for status in self.open.values():
            count[status] += 1
        return Figures(
            at=stamp(now_s),
            pending=count[DeliveryStatus.PENDING],
            assigned=count[DeliveryStatus.ASSIGNED],
            in_progress=count[DeliveryStatus.IN_PROGRESS],
            delivered=self.delivered,
            orders_per_minute=sum(made_s > now_s - WINDOW_S for made_s in self._recent.values()),
            to_assign_mean_s=_mean(self._to_assign_s),
            to_deliver_mean_s=_mean(self._to_deliver_s),
            sample=len(self._to_deliver_s),
            drones=dict(drones),
            speed=speed,
        )


def _mean(values: deque[float]) -> float | None:
    return round(sum(values) / len(values), 3) if values else None
