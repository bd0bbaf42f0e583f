"""Motion: constant speed along paths that avoid no-fly areas, consumption by distance and payload, charging.

Time is simulated seconds, an argument. Speed is metres a second and never a fraction of the way that remains: from
such motion nobody can tell what good dispatch is worth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Protocol

import msgspec

from dronedispatch.drone_sim.core.craft import Craft, load_kg
from dronedispatch.fleet.drones import DroneType, StopKind
from dronedispatch.fleet.positions import Plane, Point, distance_m

_LEGS_A_TICK_MAX = (
    16  # a tick that ends more stops than this is a loop of zero-length orders: go on next tick
)


class Airspace(Protocol):
    """The city as a pilot sees it. `revision` names the zone configuration that paths are found in."""

    @property
    def revision(self) -> str: ...

    @property
    def plane(self) -> Plane: ...

    def expect(self, legs: Sequence[tuple[Point, Point]]) -> None:
        """`path` will be asked for these: many are found together for less."""

    def path(self, start: Point, end: Point) -> tuple[Point, ...]:
        """Way points after `start`, `end` the last one, around every no-fly area; none: there is no way."""

    def speed_mps(self, kind: DroneType) -> float:
        """Cruising speed."""

    def drain_pct_per_m(self, kind: DroneType, load_kg: float) -> float:
        """Mean consumption with this payload, in % of the battery for each metre."""

    def charge_pct_per_s(self, kind: DroneType) -> float:
        """What a station gives."""


@dataclass(frozen=True, slots=True)
class Noise:
    """Consumption differs by up to `share` (0..1) of its mean, leg by leg, in a way that `seed` determines."""

    share: float
    seed: int

    def factor(self, craft: Craft) -> float:
        """For the leg to the stop in work; a process that takes the drone over finds the same."""
        if not self.share:
            return 1.0
        name = f"{self.seed}/{craft.id}/{craft.orders.seq}/{craft.stops_done}"
        return 1.0 + Random(name).uniform(-self.share, self.share)


def legs_ahead(craft: Craft, air: Airspace) -> list[tuple[Point, Point]]:
    """What a drone that begins a leg will fly, from where it is to its last stop; none for others."""
    if craft.arrived or craft.path_revision == air.revision:
        return []
    stops = craft.orders.stops[craft.stops_done :]
    spots = [craft.at, *(air.plane.to_point(stop.pos) for stop in stops if stop.pos is not None)]
    return list(pairwise(spots))


def fly(craft: Craft, dt_s: float, air: Airspace, noise: Noise, *, may_pick_up: bool = True) -> Craft:
    """The drone `dt_s` simulated seconds later: flown, arrived, charged; the same object when nothing changed.

    The battery never falls below 0: with 0 the drone stays where it is. Without `may_pick_up` it waits where it would.
    """
    left_s = dt_s
    for _ in range(_LEGS_A_TICK_MAX):
        stop = craft.stop
        if stop is None:
            return _parked(craft)
        if stop.kind is StopKind.HOLD or stop.pos is None:
            craft = _done(craft)
            continue
        if not craft.arrived:
            craft = _begun(craft, air, noise, air.plane.to_point(stop.pos))
            if craft.walled_in:
                return _parked(craft)
            craft, left_s = _along(craft, left_s, air)
            if not craft.arrived:
                return craft
        if stop.kind is StopKind.PICKUP and not may_pick_up:
            return _parked(craft)
        if stop.kind is not StopKind.CHARGE:
            craft = _done(craft)
            continue
        craft, left_s = _charged(craft, left_s, air, stop.station, stop.until_pct)
        if craft.arrived:
            return craft
    return craft


def _parked(craft: Craft) -> Craft:
    if not (craft.speed_mps or craft.docked or craft.queued):
        return craft
    return msgspec.structs.replace(craft, speed_mps=0.0, docked=None, queued=None)


def _done(craft: Craft) -> Craft:
    """The stop in work is done: on to the next one."""
    return msgspec.structs.replace(
        craft,
        stops_done=craft.stops_done + 1,
        path=(),
        path_revision=None,
        arrived=False,
        docked=None,
        queued=None,
    )


def _begun(craft: Craft, air: Airspace, noise: Noise, goal: Point) -> Craft:
    """With a path to `goal` that is valid in the airspace of now."""
    if craft.path_revision == air.revision:
        return craft
    path = tuple(air.path(craft.at, goal))
    return msgspec.structs.replace(
        craft,
        path=path,
        walled_in=not path,
        path_revision=air.revision,
        drain_pct_per_m=air.drain_pct_per_m(craft.type, load_kg(craft.orders.stops, craft.stops_done))
        * noise.factor(craft),
    )


def _along(craft: Craft, left_s: float, air: Airspace) -> tuple[Craft, float]:
    """Fly along the path for at most `left_s`, as far as the battery reaches; return what time remains."""
    speed = air.speed_mps(craft.type)
    drain = craft.drain_pct_per_m
    reach_m = min(left_s * speed, craft.battery_pct / drain if drain > 0 else math.inf)
    at, rest = craft.at, craft.path
    flown_m, heading = 0.0, craft.heading_deg
    while rest:
        leg_m = distance_m(at, rest[0])
        if leg_m > 0:
            heading = math.degrees(math.atan2(rest[0].x_m - at.x_m, rest[0].y_m - at.y_m)) % 360.0
        if flown_m + leg_m > reach_m:
            share = (reach_m - flown_m) / leg_m
            at = Point(at.x_m + (rest[0].x_m - at.x_m) * share, at.y_m + (rest[0].y_m - at.y_m) * share)
            flown_m = reach_m
            break
        flown_m += leg_m
        at, rest = rest[0], rest[1:]
    moved = msgspec.structs.replace(
        craft,
        at=at,
        path=rest,
        arrived=not rest,
        battery_pct=max(0.0, craft.battery_pct - flown_m * drain),
        odometer_m=craft.odometer_m + flown_m,
        heading_deg=heading,
        speed_mps=speed if flown_m > 0 else 0.0,
    )
    return moved, max(0.0, left_s - flown_m / speed) if moved.arrived else 0.0


def _charged(
    craft: Craft, left_s: float, air: Airspace, station: str | None, until_pct: float | None
) -> tuple[Craft, float]:
    """Stand at the station: plugged in, the battery rises; at `until_pct` (None: 100) the stop is done."""
    if craft.docked is None:
        return msgspec.structs.replace(craft, queued=station, speed_mps=0.0), 0.0
    goal_pct = 100.0 if until_pct is None else min(100.0, until_pct)
    rate = air.charge_pct_per_s(craft.type)
    needed_s = max(0.0, goal_pct - craft.battery_pct) / rate
    if needed_s > left_s:
        raised = craft.battery_pct + rate * left_s
        return msgspec.structs.replace(craft, battery_pct=min(100.0, raised), speed_mps=0.0), 0.0
    full = msgspec.structs.replace(craft, battery_pct=max(craft.battery_pct, goal_pct), speed_mps=0.0)
    return _done(full), left_s - needed_s


def plugged(craft: Craft, station: str, *, docked: bool) -> Craft:
    """The drone that stands at `station`, with or without a place there."""
    return msgspec.structs.replace(
        craft, docked=station if docked else None, queued=None if docked else station
    )
