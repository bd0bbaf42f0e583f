"""One tick of the fleet: states in, `Tick` out. The shell then writes and publishes what it says."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

from dronedispatch.drone_sim.core.craft import Craft
from dronedispatch.drone_sim.core.docks import Dock, plugged_in, settle
from dronedispatch.drone_sim.core.flight import Airspace, Noise, fly, legs_ahead, plugged
from dronedispatch.fleet.drones import StopKind
from dronedispatch.fleet.positions import distance_m


@dataclass(frozen=True, slots=True)
class Tick:
    """`crafts`: every drone after the tick. `changed`: ids whose telemetry is to be written and published now.

    `docks`: station -> who should stand there, for the stations where that is another list than the one read.
    """

    number: int
    crafts: dict[str, Craft]
    changed: tuple[str, ...]
    docks: dict[str, Dock]


@dataclass(frozen=True, slots=True)
class Fleet:
    """What a tick starts from. `silent`: ids that a fault has struck: they neither move nor tell. `cleared`: ids that may
    pick a parcel up, because the store has said in this tick that it is theirs; the others wait at its place.
    """

    crafts: Mapping[str, Craft]
    docks: Mapping[str, Dock]
    capacity: Mapping[str, int]
    silent: Set[str] = frozenset()
    cleared: Set[str] = frozenset()


def asks_for(craft: Craft, dt_s: float, air: Airspace) -> str | None:
    """The delivery that the drone may come to pick up within `dt_s`: it is read in this very tick.

    Its parcel may have been given to another drone since; hints about that get lost, and reading in turns is slow.
    """
    if craft.stops_done >= len(craft.orders.stops):  # most of a fleet
        return None
    stop = craft.stop
    if stop is None or stop.kind is not StopKind.PICKUP or stop.pos is None:
        return None
    near = distance_m(craft.at, air.plane.to_point(stop.pos)) <= air.speed_mps(craft.type) * dt_s
    return stop.delivery_id if near else None


def fly_fleet(
    fleet: Fleet, *, number: int, dt_s: float, air: Airspace, noise: Noise, refresh_ticks: int
) -> Tick:
    """Fly every drone for `dt_s` simulated seconds.

    A parked drone's telemetry is told again every `refresh_ticks` ticks only, each drone in its turn.
    """
    crafts: dict[str, Craft] = {}
    changed: list[str] = []
    turn = number % refresh_ticks
    placed = _with_places(fleet)
    air.expect([leg for craft in placed.values() if not _rests(craft) for leg in legs_ahead(craft, air)])
    for place, (drone, before) in enumerate(placed.items()):
        if drone in fleet.silent:
            crafts[drone] = before
            continue
        after = before
        if not _rests(before):
            after = fly(before, dt_s, air, noise, may_pick_up=drone in fleet.cleared)
        crafts[drone] = after
        if after is not fleet.crafts[drone] or place % refresh_ticks == turn:
            changed.append(drone)
    return Tick(number=number, crafts=crafts, changed=tuple(changed), docks=_docks_after(fleet, crafts))


def _rests(craft: Craft) -> bool:
    """Whether it has nothing to do and does nothing: most of a fleet, in most ticks."""
    at_rest = not (craft.speed_mps or craft.docked or craft.queued)
    return at_rest and craft.stops_done >= len(craft.orders.stops)


def _with_places(fleet: Fleet) -> dict[str, Craft]:
    """The drones, plugged in where the docks say so."""
    crafts = dict(fleet.crafts)
    for station, dock in fleet.docks.items():
        charging = set(plugged_in(dock, fleet.capacity.get(station, 0)))
        for drone in dock.queue:
            craft = crafts.get(drone)
            if craft is None or drone in fleet.silent or not _stands_at(craft, station):
                continue
            docked = drone in charging
            if docked != (craft.docked == station):
                crafts[drone] = plugged(craft, station, docked=docked)
    return crafts


def _docks_after(fleet: Fleet, crafts: Mapping[str, Craft]) -> dict[str, Dock]:
    """The docks that differ from what was read, because drones of ours came or went."""
    standing: dict[str, list[str]] = {station: [] for station in fleet.docks}
    for drone, craft in crafts.items():
        station = craft.docked or craft.queued
        if station is not None and drone not in fleet.silent:
            standing.setdefault(station, []).append(drone)
    ours = crafts.keys()
    after = {
        station: settle(fleet.docks.get(station, Dock()), present=present, ours=ours)
        for station, present in standing.items()
    }
    return {station: dock for station, dock in after.items() if dock != fleet.docks.get(station, Dock())}


def _stands_at(craft: Craft, station: str) -> bool:
    return craft.arrived and craft.stop is not None and craft.stop.station == station
