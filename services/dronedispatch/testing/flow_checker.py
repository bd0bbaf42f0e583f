"""The independent checker: says what went wrong with orders and drones, from events and stored records alone.

It shares no code with the dispatcher and believes none of its counters. What it is shown is not a snapshot, so whatever
two records contradict is a *suspicion* first, to be confirmed by reading both again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.drones import Drone, StopKind, Telemetry

_ENDED = ("delivered", "cancelled", "failed")
_HELD = ("assigned", "in-progress")


@dataclass(frozen=True, slots=True)
class FlowVerdict:
    """Ids (or ids with a reason) of everything that must not be; `failed` and `cancelled` are allowed, and told."""

    accepted: int = 0
    delivered: int = 0
    failed: tuple[str, ...] = ()
    cancelled: int = 0
    lost: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()
    flown_twice: tuple[str, ...] = ()
    busy_without_delivery: tuple[str, ...] = ()
    on_two_deliveries: tuple[str, ...] = ()
    battery_below_zero: tuple[str, ...] = ()
    bad_history: tuple[str, ...] = ()
    observed: int = 0  # telemetry records looked at: a checker that saw nothing has checked nothing

    @property
    def violations(self) -> dict[str, tuple[str, ...]]:
        """What must be empty, by name; only what is not."""
        names = (
            "lost",
            "stuck",
            "flown_twice",
            "busy_without_delivery",
            "on_two_deliveries",
            "battery_below_zero",
            "bad_history",
        )
        return {name: found for name in names if (found := getattr(self, name))}

    def __str__(self) -> str:
        wrong = {name: len(found) for name, found in self.violations.items()}
        return (
            f"accepted {self.accepted}, delivered {self.delivered}, cancelled {self.cancelled}, "
            f"failed {len(self.failed)}, telemetry seen {self.observed}, violations {wrong or 'none'}"
        )


@dataclass
class FlowChecker:
    """Collects while the system runs; `verdict` judges what the store holds in the end."""

    accepted: set[str] = field(default_factory=set)
    _orders: dict[tuple[str, int], str] = field(default_factory=dict)  # (drone, seq) -> delivery
    _progress: dict[tuple[str, int], int] = field(default_factory=dict)  # (drone, seq) -> stops done
    _low: set[str] = field(default_factory=set)
    _double: set[str] = field(default_factory=set)
    _observed: int = 0

    def accept(self, delivery_id: str) -> None:
        """A client has got a 201 for it."""
        self.accepted.add(delivery_id)

    def see_drone(self, drone: Drone) -> None:
        """A stored `drone:<id>`: which delivery its orders fly."""
        for stop in drone.orders.stops:
            if stop.kind is StopKind.PICKUP and stop.delivery_id is not None:
                self._orders[drone.id, drone.orders.seq] = stop.delivery_id

    def see_telemetry(self, told: Telemetry) -> None:
        """Stored or published telemetry: how far a drone is, and what is left in its battery."""
        self._observed += 1
        key = told.id, told.orders_seq
        self._progress[key] = max(self._progress.get(key, 0), told.stops_done)
        if told.battery_pct < 0:
            self._low.add(told.id)

    def suspects(self, deliveries: Iterable[Delivery]) -> dict[str, tuple[str, ...]]:
        """Drones that seem to be on two deliveries: drone -> the deliveries to read again."""
        held: dict[str, list[str]] = defaultdict(list)
        for delivery in deliveries:
            if delivery.status in _HELD and delivery.drone_id is not None:
                held[delivery.drone_id].append(delivery.id)
        return {drone: tuple(ids) for drone, ids in held.items() if len(ids) > 1}

    def confirm_twice(self, first: Iterable[Delivery], second: Iterable[Delivery]) -> None:
        """Suspects, read twice, one by one: who did not change in between was on two when the second reading began."""
        unchanged = {delivery.id: len(delivery.history) for delivery in first}
        self.confirm(one for one in second if unchanged.get(one.id) == len(one.history))

    def confirm(self, deliveries: Iterable[Delivery]) -> None:
        """All of one moment: who is on two is guilty."""
        self._double.update(f"{drone}: {', '.join(ids)}" for drone, ids in self.suspects(deliveries).items())

    def verdict(
        self,
        deliveries: Mapping[str, Delivery],
        drones: Mapping[str, Drone],
        *,
        settled: bool = True,
        snapshot: bool = True,
    ) -> FlowVerdict:
        """Judge. `settled`: the system has had time to finish, so that what is open is stuck.

        `snapshot`: the records are all of one moment. Pairs in what was read meanwhile are for `confirm_twice`.
        """
        for drone in drones.values():
            self.see_drone(drone)
        ours = [deliveries[name] for name in sorted(self.accepted) if name in deliveries]
        open_ids = {delivery.id for delivery in deliveries.values() if delivery.status not in _ENDED}
        if snapshot:
            self.confirm(deliveries.values())
        return FlowVerdict(
            accepted=len(self.accepted),
            delivered=sum(delivery.status == "delivered" for delivery in ours),
            cancelled=sum(delivery.status == "cancelled" for delivery in ours),
            failed=tuple(
                f"{delivery.id}: {delivery.history[-1].cause}"
                for delivery in ours
                if delivery.status == "failed"
            ),
            lost=tuple(sorted(self.accepted - deliveries.keys())),
            stuck=tuple(sorted(open_ids & self.accepted)) if settled else (),
            flown_twice=self._flown_twice(),
            busy_without_delivery=tuple(
                f"{drone.id}: {drone.delivery_id}"
                for drone in drones.values()
                if drone.status == "busy" and (drone.delivery_id not in open_ids)
            )
            if settled
            else (),
            on_two_deliveries=tuple(sorted(self._double)),
            battery_below_zero=tuple(sorted(self._low)),
            bad_history=tuple(wrong for delivery in ours if (wrong := why_bad_history(delivery))),
            observed=self._observed,
        )

    def _flown_twice(self) -> tuple[str, ...]:
        """A parcel can be picked up once and dropped once, by whatever drone."""
        fetched: dict[str, set[tuple[str, int]]] = defaultdict(set)
        for key, delivery_id in self._orders.items():
            if self._progress.get(key, 0) >= 1:
                fetched[delivery_id].add(key)
        return tuple(
            f"{delivery_id}: {sorted(flights)}"
            for delivery_id, flights in sorted(fetched.items())
            if len(flights) > 1
        )


def why_bad_history(delivery: Delivery) -> str:
    """What is wrong with its stamps and moves, "" if nothing is."""
    to = [str(line.to) for line in delivery.history]
    if to.count("in-progress") > 1 or to.count("delivered") > 1:
        return f"{delivery.id}: {' '.join(to)}"
    if any(line in _ENDED for line in to[:-1]):
        return f"{delivery.id} went on after its end: {' '.join(to)}"
    if to and to[-1] != delivery.status:
        return f"{delivery.id} is {delivery.status}, its history ends {to[-1]}"
    if delivery.status == "delivered":
        stamps = (delivery.created_at, delivery.assigned_at, delivery.picked_up_at, delivery.delivered_at)
        if None in stamps:
            return f"{delivery.id} is delivered without all stamps"
    return ""
