"""The key figures of the dashboard, kept up by events and corrected by scans.

A delivery's id is a ULID: its first 48 bits are the moment of its creation, so that an event alone says how long an
order took.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping

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


def first_assigned(delivery: Delivery) -> str | None:
    """When it got its first drone; None: it never had one."""
    return next((line.at for line in delivery.history if line.to is DeliveryStatus.ASSIGNED), None)


def _read_s(text: str | None, read: Callable[[str], float] = unstamp) -> float | None:
    """None for no time, and for one that cannot be read: its order counts, and is in no mean."""
    try:
        return None if text is None else read(text)
    except ValueError:
        return None


def _took_s(begin_s: float | None, end_s: float | None) -> float | None:
    """Two machines' clocks: nothing ends before it was ordered."""
    return None if begin_s is None or end_s is None else max(0.0, end_s - begin_s)


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
        made_s, at_s = _read_s(delivery_id, created_s), _read_s(at)
        took_s = _took_s(made_s, at_s)
        self._saw(delivery_id, made_s, at_s)
        if status is DeliveryStatus.ASSIGNED and delivery_id not in self._assigned:
            self._assigned.add(delivery_id)
            if at_s is not None and took_s is not None:
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
        self.delivered += status is DeliveryStatus.DELIVERED
        if at_s is not None and took_s is not None:
            self.flows.ended(at_s, status, took_s)
            if status is DeliveryStatus.DELIVERED:
                self._to_deliver_s.append(took_s)

    def _saw(self, delivery_id: str, made_s: float | None, now_s: float | None) -> None:
        if made_s is None or now_s is None:
            return
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
            made_s = _read_s(delivery.created_at)
            if (assigned := first_assigned(delivery)) is not None:
                if (took_s := _took_s(made_s, _read_s(assigned))) is not None:
                    self._to_assign_s.append(took_s)
                if delivery.status not in TERMINAL:
                    self._assigned.add(delivery.id)
            if (took_s := _took_s(made_s, _read_s(delivery.delivered_at))) is not None:
                self._to_deliver_s.append(took_s)

    def corrected(self, found: Mapping[str, DeliveryStatus], now_s: float) -> tuple[list[str], list[str]]:
        """All open deliveries as the store has them. Returns (ids whose news never came, ids that have gone silently).

        A scan is no snapshot: what an event has ended meanwhile stays ended.
        """
        still = {key: status for key, status in found.items() if key not in self._ended}
        news = [key for key, status in still.items() if self.open.get(key) is not status]
        gone = [key for key in self.open if key not in found]
        for key in still:
            self._saw(key, _read_s(key, created_s), now_s)
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
