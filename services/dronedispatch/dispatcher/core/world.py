"""What a round decides on: the fleet joined with its telemetry, the open deliveries, the city and the settings.

Values only, with the versions they were read at. Positions are metres on the city's plane, times are wall seconds.
The shell keeps the views of drones and deliveries that have not changed: making a World costs two tuples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.fleet.city import City
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import unstamp
from dronedispatch.fleet.drones import Drone, DroneStatus, DroneType, StopKind, Telemetry
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.positions import LatLon, Plane, Point
from dronedispatch.kv.version import Version

UNFLOWN_TICKS = 1_000_000
"""As `ticks_missed`: nobody tells of the drone at all. Its drone_sim is missing (or holds no slot), not the drone."""


@dataclass(frozen=True, slots=True)
class DroneSnapshot:
    """A drone's record and its newest telemetry as one value.

    `orders_seq`, `stops`: what it was told last. `seen_seq`, `stops_done`: what it says that it does; they speak of
    the record's orders only when the two seqs are equal. `station`: where it is plugged in; `queued_at`: where it
    waits for a place; `bound_for`, `bound_at`: the station of its orders, and where it was then.
    `ticks_missed`: how many later ticks its drone_sim has published without it (0 while that judgement rests,
    UNFLOWN_TICKS when nobody tells of it any more).
    `flying`: telemetry has been seen at all.
    """

    id: str
    type: DroneType
    status: DroneStatus
    version: Version
    at: Point
    battery_pct: float
    status_s: float = 0.0
    delivery_id: str | None = None
    delivery_version: str | None = None
    orders_seq: int = 0
    stops: int = 0
    bound_for: str | None = None
    bound_at: LatLon | None = None
    until_pct: float = 100.0
    seen_seq: int = 0
    stops_done: int = 0
    station: str | None = None
    queued_at: str | None = None
    ticks_missed: int = 0
    flying: bool = True
    decommissioned: bool = False
    odometer_m: float = 0.0
    heard: bool = True  # told by a message; else by its record, which may be some ticks old
    recalled: bool = False  # it picks up nothing by its orders any more

    @property
    def done(self) -> int:
        """How many stops of the record's orders are done."""
        return self.stops_done if self.seen_seq == self.orders_seq else 0

    @property
    def last_at(self) -> Point | None:
        """Where it was seen last; None: nowhere."""
        return self.at if self.flying else None

    @property
    def stranded(self) -> bool:
        """Empty away from a charger, as it has told itself with its last power: from then on it is silent."""
        return self.flying and self.battery_pct <= 0.0 and self.station is None and self.queued_at is None

    @property
    def flies(self) -> bool:
        """Whether it is somewhere else already, for all we know: under way, or without word of its newest orders."""
        waits = self.station is not None or self.queued_at is not None
        return not waits and (self.seen_seq != self.orders_seq or self.stops_done < self.stops)


@dataclass(frozen=True, slots=True)
class DeliverySnapshot:
    """An open delivery (or one that a drone still holds). `created_s`, `deadline_s`: wall seconds.

    `drone_id`, `orders_seq`: who flies it, with which orders (assigned and in-progress). `undone`: how often it has gone
    back to pending.
    """

    id: str
    status: DeliveryStatus
    version: Version
    origin: Point
    destination: Point
    weight_kg: float
    created_s: float
    priority: int = 0
    deadline_s: float | None = None
    drone_id: str | None = None
    orders_seq: int | None = None
    assigned_s: float | None = None
    undone: int = 0


class Ages(Mapping[str, float]):
    """How old each one's newest news are at `now_s`; `since_s`: when they came."""

    def __init__(self, since_s: Mapping[str, float], now_s: float) -> None:
        self._since_s = since_s
        self._now_s = now_s

    def __getitem__(self, name: str) -> float:
        return self._now_s - self._since_s[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._since_s)

    def __len__(self) -> int:
        return len(self._since_s)


@dataclass(frozen=True, slots=True)
class World:
    """A snapshot. Neither tuple need be sorted; ids are unique.

    `deliveries`: every open one, and the ended ones that a drone's record still names. A drone that names a delivery
    which is not here holds nothing (the shell has looked for it in the store). Read the deliveries before the drones:
    an assignment writes the drone first, so whoever sees its delivery assigned sees the drone's intent too.
    `unflyable_for_s`: delivery -> for how long rounds have found no drone that could ever fly it, real seconds.
    `lag_s`: how long rounds take lately from this look to their last write, real seconds. `unheard_s`: drone -> how old
    its newest news are, real seconds; absent: not worth a word.
    """

    drones: tuple[DroneSnapshot, ...]
    deliveries: tuple[DeliverySnapshot, ...]
    city: City
    flight: FlightModel = field(default_factory=FlightModel)
    tuning: Tuning = field(default_factory=Tuning)
    unflyable_for_s: Mapping[str, float] = field(default_factory=dict)
    lag_s: float = 0.0
    unheard_s: Mapping[str, float] = field(default_factory=dict)


def drone_snapshot(
    drone: Drone,
    version: Version,
    telemetry: Telemetry | None,
    plane: Plane,
    *,
    ticks_missed: int = 0,
    heard: bool = True,
) -> DroneSnapshot:
    """Join the two records. Without telemetry the drone is not `flying` and takes no part in a round.

    Raises ValueError for a time that cannot be read.
    """
    charge = next((stop for stop in drone.orders.stops if stop.kind is StopKind.CHARGE), None)
    bound_for = None if charge is None else charge.station
    until_pct = 100.0 if charge is None or charge.until_pct is None else charge.until_pct
    return DroneSnapshot(
        id=drone.id,
        type=drone.type,
        status=drone.status,
        version=version,
        at=Point(0.0, 0.0) if telemetry is None else plane.to_point(telemetry.pos),
        battery_pct=0.0 if telemetry is None else telemetry.battery_pct,
        status_s=unstamp(drone.status_at),
        delivery_id=drone.delivery_id,
        delivery_version=drone.delivery_version,
        orders_seq=drone.orders.seq,
        stops=len(drone.orders.stops),
        bound_for=bound_for,
        bound_at=None if charge is None else charge.pos,
        until_pct=until_pct,
        seen_seq=0 if telemetry is None else telemetry.orders_seq,
        stops_done=0 if telemetry is None else telemetry.stops_done,
        station=None if telemetry is None else telemetry.at_charge,
        queued_at=None if telemetry is None else telemetry.queued_at,
        ticks_missed=ticks_missed,
        flying=telemetry is not None,
        decommissioned=drone.decommissioned,
        odometer_m=0.0 if telemetry is None else telemetry.odometer_m,
        heard=heard,
        recalled=telemetry is not None and telemetry.is_recalled(drone.orders.seq),
    )


def delivery_snapshot(delivery: Delivery, version: Version, plane: Plane) -> DeliverySnapshot:
    """Raises ValueError for a time that cannot be read, in the history too: its lines are told."""
    for line in delivery.history:
        unstamp(line.at)
    return DeliverySnapshot(
        id=delivery.id,
        status=delivery.status,
        version=version,
        origin=plane.to_point(delivery.origin),
        destination=plane.to_point(delivery.destination),
        weight_kg=delivery.weight_kg,
        created_s=unstamp(delivery.created_at),
        priority=delivery.priority,
        deadline_s=None if delivery.deadline is None else unstamp(delivery.deadline),
        drone_id=delivery.drone_id,
        orders_seq=delivery.orders_seq,
        assigned_s=None if delivery.assigned_at is None else unstamp(delivery.assigned_at),
        undone=sum(1 for move in delivery.history if move.to is DeliveryStatus.PENDING and move.from_),
    )
