"""The cache of fleet and open orders: fed by events, corrected by scans, trusted by nobody.

Every write that is decided on it is a CAS on the version that it holds: a cache that is behind costs a lost CAS, never
a wrong record. It keeps the views that have not changed, so that a round's World costs two tuples.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum
from typing import NamedTuple

import msgspec

from dronedispatch.dispatcher.core.failure_detector import FailureDetector
from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import (
    Ages,
    DeliverySnapshot,
    DroneSnapshot,
    World,
    delivery_snapshot,
    drone_snapshot,
)
from dronedispatch.fleet.city import City, default_city
from dronedispatch.fleet.deliveries import TERMINAL, Delivery
from dronedispatch.fleet.dispatch_state import DesiredState
from dronedispatch.fleet.documents import (
    DELIVERY_PREFIX,
    DESIRED_STATE_PREFIX,
    DRONE_PREFIX,
    TELEMETRY_PREFIX,
    ZONES_KEY,
    Unreadable,
    decode,
    decode_named,
    delivery_key,
    drone_key,
    unstamp,
)
from dronedispatch.fleet.drones import Drone, Telemetry, has_done_something
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.kv.client import Item
from dronedispatch.kv.version import Version

TICKS_AHEAD_MAX = (
    1_000  # a message that is further ahead of what is known is not believed: the record is read
)
HEARSAY_S = 3.0  # what is told is stored already: a record that is behind for longer shows that the message was not true
LAG_KEPT = 0.9  # of the lag from round to round
ALIVE_S = 2.0  # whoever told of himself so lately, and truly, is not silent


class Heard(Enum):
    """What became of a message's telemetry."""

    NEWS = "news"
    LATE = "late"
    DOUBTFUL = "doubtful"  # the record decides


class StoredDrone(NamedTuple):
    record: Drone
    version: Version


class StoredDelivery(NamedTuple):
    record: Delivery
    version: Version


class StoredDesiredState(NamedTuple):
    record: DesiredState
    version: Version


class StateCache:
    """What is known. `unreadable`: key -> reason, of records that are left alone until somebody repairs them."""

    def __init__(self, flight: FlightModel, tuning: Tuning) -> None:
        self.city: City = default_city()
        self.drones: dict[str, StoredDrone] = {}
        self.telemetry: dict[str, Telemetry] = {}
        self.deliveries: dict[str, StoredDelivery] = {}
        self.desired_states: dict[str, StoredDesiredState] = {}
        self.unreadable: dict[str, str] = {}
        self.failure_detector = FailureDetector()
        self._hearsay: dict[
            str, float
        ] = {}  # drones whose newest telemetry came by a message, and when (monotonic)
        self._stepped: set[str] = set()  # drones that have done a stop by a message's word
        self._last_words: dict[str, int] = {}  # silent drone -> the tick of its record when that was read
        self._told_s: dict[str, float] = {}  # drone -> when its newest news came (monotonic)
        self._flight = flight
        self._tuning = tuning
        self._zones_version: Version | None = None
        self._zones_refused: Version | None = None
        self.lag_s = 0.0  # how long rounds take lately from their look to their last write
        self.unflyable_since_s: dict[str, float] = {}  # delivery -> since when none can fly it, monotonic
        self._drone_views: dict[str, DroneSnapshot] = {}
        self._delivery_views: dict[str, DeliverySnapshot] = {}
        self._stale_drones: set[str] = set()
        self._late: Collection[str] = ()  # drones that had missed a tick when the last world was made
        self._holds: dict[str, str] = {}  # drone -> the delivery that its record names

    # -- what the store says -------------------------------------------------------------------------------------

    def take(self, item: Item, now_s: float) -> str | None:
        """Learn one stored item; older versions than the known one change nothing.

        Returns why it cannot be read (it is then left out of every round), None otherwise.
        """
        try:
            self._take(item, now_s)
        except (Unreadable, ValueError) as exc:
            self.forget(item.key)
            self.unreadable[item.key] = str(exc)
            return str(exc)
        self.unreadable.pop(item.key, None)
        return None

    def _take(self, item: Item, now_s: float) -> None:
        if item.key.startswith(DELIVERY_PREFIX):
            self._take_delivery(item)
        elif item.key.startswith(DRONE_PREFIX):
            self._take_drone(item, now_s)
        elif item.key.startswith(TELEMETRY_PREFIX):
            self._take_telemetry(_telemetry(item), now_s)
        elif item.key.startswith(DESIRED_STATE_PREFIX):
            desired = decode(DesiredState, item.value)
            self.desired_states[item.key.removeprefix(DESIRED_STATE_PREFIX)] = StoredDesiredState(
                desired, item.version
            )

    def _take_delivery(self, item: Item) -> None:
        name = item.key.removeprefix(DELIVERY_PREFIX)
        known = self.deliveries.get(name)
        if known is not None and known.version >= item.version:
            return
        self.put_delivery(decode_named(Delivery, item.value, name), item.version)

    def _take_drone(self, item: Item, now_s: float) -> None:
        name = item.key.removeprefix(DRONE_PREFIX)
        known = self.drones.get(name)
        if known is not None and known.version >= item.version:
            return
        drone = decode_named(Drone, item.value, name)
        unstamp(drone.status_at)
        self.put_drone(drone, item.version)
        self.failure_detector.expect(drone.id, now_s)

    def knows_city(self, version: Version) -> bool:
        """Whether it, or a newer one, is the city already, or was found to be none."""
        known = (self._zones_version, self._zones_refused)
        return any(one is not None and one >= version for one in known)

    def refuse_city(self, version: Version, reason: str) -> None:
        """The stored document is no city: the last one stays."""
        self._zones_refused = version
        self.unreadable[ZONES_KEY] = reason

    def fly_in(self, city: City, version: Version) -> None:
        """The zones have changed: everything is seen on the plane of the new city."""
        if self.knows_city(version):
            return
        self.unreadable.pop(ZONES_KEY, None)
        self.city = city
        self._zones_version = version
        self._stale_drones.update(self.drones)
        for stored in list(self.deliveries.values()):
            self.put_delivery(stored.record, stored.version)

    def put_delivery(self, delivery: Delivery, version: Version) -> None:
        """As it was read or written at `version`. Raises ValueError for a time that cannot be read."""
        self._delivery_views[delivery.id] = delivery_snapshot(delivery, version, self.city.plane)
        self.deliveries[delivery.id] = StoredDelivery(delivery, version)

    def put_drone(self, drone: Drone, version: Version) -> None:
        """As it was read or written at `version`."""
        self.drones[drone.id] = StoredDrone(drone, version)
        self._stale_drones.add(drone.id)
        if drone.delivery_id is None:
            self._holds.pop(drone.id, None)
        else:
            self._holds[drone.id] = drone.delivery_id

    def _take_telemetry(self, stored: Telemetry, now_s: float) -> None:
        """As the store has it. It overrules a message that is ahead of it for so long that it cannot be merely quicker."""
        heard_s = self._hearsay.get(stored.id)
        if self._newer(stored):
            self.failure_detector.see(stored.id, now_s)
        elif heard_s is None or now_s - heard_s < HEARSAY_S:
            return
        self._put_telemetry(stored, now_s)
        self._hearsay.pop(stored.id, None)

    def hear_telemetry(self, told: Telemetry, now_s: float) -> Heard:
        """As a message says. Good enough to plan with; no delivery moves on because of it (see `hearsay_of`)."""
        known = self.telemetry.get(told.id)
        if known is not None and told.tick > known.tick + TICKS_AHEAD_MAX:
            return Heard.DOUBTFUL
        if not self._newer(told):
            heard_s = self._hearsay.get(told.id)
            return Heard.LATE if heard_s is None or now_s - heard_s < HEARSAY_S else Heard.DOUBTFUL
        if told.stops_done and (known is None or has_done_something(known, told)):
            self._stepped.add(told.id)
        self._put_telemetry(told, now_s)
        self._hearsay[told.id] = now_s
        return Heard.NEWS

    def steps_heard(self) -> list[str]:
        """Busy drones that have done a stop by a message's word since this was asked last: the next round moves their
        deliveries, so it reads their telemetry with all else.
        """
        stepped, self._stepped = self._stepped, set()
        return sorted(name for name in stepped if name in self._hearsay and name in self._holds)

    def hearsay_of(self, plan: Plan) -> list[str]:
        """Drones whose deliveries this plan moves on a message's word: their telemetry is to be read first.

        Before a silent drone's order fails its last word is read in any case: it may name the cause.
        """
        moved = {intent.drone_id for intents in (plan.advances, plan.undos) for intent in intents}
        failing = {intent.drone_id for intent in plan.fails if intent.drone_id is not None}
        heard = {name for name in moved | failing if name in self._hearsay}
        return sorted(heard | {name for name in failing if self._untold(name)})

    def _untold(self, name: str) -> bool:
        """Whether the record of a silent drone may say more than is known here."""
        known, view = self.telemetry.get(name), self._drone_views.get(name)
        silent = view is not None and view.ticks_missed > 0
        return silent and known is not None and self._last_words.get(known.id) != known.tick

    def confirm(self, item: Item, now_s: float) -> bool:
        """The telemetry as the store has it, whatever a message said; whether the plan may stand.

        It may not when the record says less than the message, or when it shows that a silent drone flies.
        """
        stored = _telemetry(item)
        known, view = self.telemetry.get(stored.id), self._drone_views.get(stored.id)
        if view is not None and view.ticks_missed > 0:
            self._last_words[stored.id] = stored.tick
        heard_s = self._hearsay.pop(stored.id, None)
        flies = self._newer(stored) or (heard_s is not None and now_s - heard_s < ALIVE_S)
        if flies:
            self.failure_detector.see(stored.id, now_s)
        self._put_telemetry(stored, now_s)
        if known is None or (known.orders_seq, known.stops_done) != (stored.orders_seq, stored.stops_done):
            return False
        return not flies or view is None or view.ticks_missed == 0

    def _newer(self, told: Telemetry) -> bool:
        known = self.telemetry.get(told.id)
        return known is None or told.tick > known.tick

    def _put_telemetry(self, told: Telemetry, now_s: float) -> None:
        known = self.telemetry.get(told.id)
        self.telemetry[told.id] = told
        self._told_s[told.id] = now_s
        if known is None or not _same_but_for_time(known, told):
            self._stale_drones.add(told.id)

    def forget(self, key: str) -> None:
        """The key is absent from the store (or cannot be read)."""
        self.unreadable.pop(key, None)
        kind, _, name = key.partition(":")
        if key.startswith(DESIRED_STATE_PREFIX):
            self.desired_states.pop(key.removeprefix(DESIRED_STATE_PREFIX), None)
        elif kind == DELIVERY_PREFIX[:-1]:
            self.deliveries.pop(name, None)
            self._delivery_views.pop(name, None)
        elif kind == DRONE_PREFIX[:-1]:
            self.drones.pop(name, None)
            self._drone_views.pop(name, None)
            self._holds.pop(name, None)
            self.failure_detector.forget(name)
        elif kind == TELEMETRY_PREFIX[:-1]:
            self.telemetry.pop(name, None)
            self._last_words.pop(name, None)
            self._told_s.pop(name, None)
            self._stale_drones.add(name)

    # -- what a round sees ---------------------------------------------------------------------------------------

    def unknown_deliveries(self) -> list[str]:
        """Keys of deliveries that a drone names and the cache does not hold: to be read before a round."""
        return [
            delivery_key(delivery_id)
            for delivery_id in self._holds.values()
            if delivery_id not in self.deliveries
        ]

    def doubtful(self) -> list[str]:
        """Keys to read again, in this order, before a round: deliveries whose drone does not hold them, then those drones.

        A round would undo such a pair. But a cache that has the delivery newer than the drone (another dispatcher has
        assigned it since) shows the same, and then the cure would do harm that no version prevents.
        """
        deliveries: list[str] = []
        drones: list[str] = []
        for stored in self.deliveries.values():
            drone_id = stored.record.drone_id
            if drone_id is None or stored.record.status in TERMINAL:
                continue
            if self._holds.get(drone_id) != stored.record.id:
                deliveries.append(delivery_key(stored.record.id))
                drones.append(drone_key(drone_id))
        return [*deliveries, *drones]

    def forget_ended(self) -> None:
        """Drop the deliveries that have ended and that no drone names any more: what has ended costs nothing."""
        named = set(self._holds.values())
        ended = [
            stored.record.id
            for stored in self.deliveries.values()
            if stored.record.status in TERMINAL and stored.record.id not in named
        ]
        for delivery_id in ended:
            self.forget(delivery_key(delivery_id))

    def world(self, now_s: float) -> World:
        """The snapshot of now (`now_s` monotonic, for the failure detector)."""
        missed = self.failure_detector.missed(now_s)
        self._stale_drones.update(self._late, missed)
        self._late = missed.keys()
        self._refresh(self._stale_drones, missed)
        self._stale_drones = set()
        return World(
            drones=tuple(self._drone_views.values()),
            deliveries=tuple(self._delivery_views.values()),
            city=self.city,
            flight=self._flight,
            tuning=self._tuning,
            unflyable_for_s=Ages(self.unflyable_since_s, now_s),
            lag_s=self.lag_s,
            unheard_s=Ages(self._told_s.copy(), now_s),
        )

    def took(self, round_s: float) -> None:
        """A round took so long: a slow one is remembered for some ten rounds."""
        self.lag_s = max(round_s, LAG_KEPT * self.lag_s)

    def take_unflyable(self, found: Iterable[str], now_s: float) -> None:
        """What the round found no drone for: since when counts from the first time."""
        self.unflyable_since_s = {name: self.unflyable_since_s.get(name, now_s) for name in found}

    def _refresh(self, names: Iterable[str], missed: dict[str, int]) -> None:
        for name in names:
            stored = self.drones.get(name)
            if stored is None:
                self._drone_views.pop(name, None)
                continue
            self._drone_views[name] = drone_snapshot(
                stored.record,
                stored.version,
                self.telemetry.get(name),
                self.city.plane,
                ticks_missed=missed.get(name, 0),
                heard=name in self._hearsay,
            )


def _telemetry(item: Item) -> Telemetry:
    return decode_named(Telemetry, item.value, item.key.removeprefix(TELEMETRY_PREFIX))


def _same_but_for_time(a: Telemetry, b: Telemetry) -> bool:
    return msgspec.structs.replace(a, tick=b.tick, at=b.at) == b
