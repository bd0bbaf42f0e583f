"""The drones that this process flies, and what is known of their stored records: the state between two ticks.

Whoever reads, writes, registers or strikes says what happened by one of the verbs here; nobody else changes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from dronedispatch.drone_sim.core.craft import Craft, recalled, with_orders
from dronedispatch.drone_sim.core.docks import Dock
from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.drones import Commands, Telemetry, has_done_something
from dronedispatch.fleet.positions import Plane
from dronedispatch.kv.version import Version

PARKED_SHARE = 3  # a drone with nothing to say but that it stands is stored so many times as rarely


@dataclass(frozen=True, slots=True)
class Met:
    """What lies where a drone's telemetry belongs. `version` None: nothing; `telemetry` None: nothing that can be read."""

    version: Version | None = None
    telemetry: Telemetry | None = None


@dataclass(slots=True)
class TickInput:
    """What a tick has read: orders by drone, docks by station (with their versions), and telemetry that was in doubt.

    `parcels`: deliveries that drones came for, by drone.
    """

    orders: dict[str, Commands] = field(default_factory=dict)
    parcels: dict[str, Delivery] = field(default_factory=dict)
    docks: dict[str, tuple[Dock, Version | None]] = field(default_factory=dict)
    telemetry: dict[str, Met] = field(default_factory=dict)


@dataclass(slots=True)
class Written:
    """What became of a batch of writes. `docks`: as they are stored now, by us or by another. `conflicts`: another version
    was there; `failed`: to be repeated; of those, `fenced`: another process holds the drone's slot, and `unsure`: it may
    have been written.
    """

    telemetry: dict[str, tuple[Telemetry, Version]] = field(default_factory=dict)
    docks: dict[str, tuple[Dock, Version | None]] = field(default_factory=dict)
    conflicts: dict[str, Met] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    fenced: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)


class FleetState:
    """`owed`: ids whose telemetry is newer than what is stored, and must be. `unsure`: ids whose last write has an unknown
    outcome. `number`: of the last tick.
    """

    def __init__(self) -> None:
        self.crafts: dict[str, Craft] = {}
        self.slot_of: dict[str, int] = {}
        self.owed: set[str] = set()
        self.unsure: set[str] = set()
        self.docks: dict[str, Dock] = {}
        self.number = 0
        self._versions: dict[str, Version | None] = {}
        self._dock_versions: dict[str, Version | None] = {}
        self._stored: dict[str, Telemetry] = {}  # by our own writes
        self._untried: set[str] = set()  # a write of the former holder may still be under way
        self._changed: set[str] = set()  # since the last tick was flown: what it writes does not tell that

    # -- who is flown --------------------------------------------------------------------------------------------

    def adopt(self, slot: int, craft: Craft, version: Version | None, tick: int) -> None:
        """Fly this drone from now on. `version`, `tick`: of its stored telemetry; our ticks go on from the greatest."""
        self.crafts[craft.id] = craft
        self.slot_of[craft.id] = slot
        self._versions[craft.id] = version
        self.owed.add(craft.id)
        self._untried.add(craft.id)
        self.number = max(self.number, tick)

    def drop(self, slots: Iterable[int]) -> None:
        """These slots are flown by others now."""
        lost = set(slots)
        gone = {drone for drone, slot in self.slot_of.items() if slot in lost}
        for drone in gone:
            del self.crafts[drone], self.slot_of[drone], self._versions[drone]
            self._stored.pop(drone, None)
        self.owed -= gone
        self.unsure -= gone
        self._untried -= gone

    def turn(self, every: int) -> list[str]:
        """The ids whose turn it is in this tick: each one once in `every` ticks."""
        ids: Sequence[str] = tuple(self.crafts)
        return [ids[place] for place in range(self.number % every, len(ids), every)]

    # -- what happens to them ------------------------------------------------------------------------------------

    def change(self, craft: Craft) -> None:
        """Something else than a tick has changed this drone: others are to hear of it."""
        self.crafts[craft.id] = craft
        self.owed.add(craft.id)
        self._changed.add(craft.id)

    def take_orders(self, drone: str, orders: Commands) -> None:
        """What its record says; nothing new changes nothing."""
        craft = self.crafts.get(drone)
        if craft is not None and (after := with_orders(craft, orders)) is not craft:
            self.change(after)

    def fly_over(self, old: Plane, new: Plane) -> None:
        """The city's middle has moved: the same places, in metres about another point."""
        self.crafts = {
            drone: msgspec.structs.replace(
                craft, at=new.to_point(old.to_latlon(craft.at)), path=(), path_revision=None
            )
            for drone, craft in self.crafts.items()
        }

    def flown(self, crafts: Mapping[str, Craft]) -> None:
        """All of them after a tick."""
        self.crafts = dict(crafts)
        self._changed.clear()

    # -- what is stored ------------------------------------------------------------------------------------------

    def version(self, drone: str) -> Version | None:
        """Of its stored telemetry; None: there is none."""
        return self._versions[drone]

    def is_due(self, told: Telemetry, store_ticks: int) -> bool:
        """Whether this is to be stored now, not merely told: what others act on is, a mere movement in its turn."""
        stored = self._stored.get(told.id)
        if stored is None or told.id in self.owed or told.battery_pct <= 0.0:
            return True
        if has_done_something(stored, told) or (stored.speed_mps > 0.0) != (told.speed_mps > 0.0):
            return True
        moved = (stored.pos, stored.battery_pct) != (told.pos, told.battery_pct)
        return told.tick - stored.tick >= (store_ticks if moved else PARKED_SHARE * store_ticks)

    def dock_versions(self, stations: Iterable[str]) -> dict[str, Version | None]:
        """Of the docks among `stations` that have been read."""
        return {one: self._dock_versions[one] for one in stations if one in self._dock_versions}

    def learn_read(self, found: TickInput, plane: Plane) -> None:
        """What a tick has read."""
        for station, (dock, version) in found.docks.items():
            self.docks[station], self._dock_versions[station] = dock, version
        for drone, met in found.telemetry.items():
            if drone in self.slot_of:
                self.unsure.discard(drone)
                self._may_replace(drone, met, plane)
        for drone, orders in found.orders.items():
            self.take_orders(drone, orders)

    def learn_written(self, written: Written, plane: Plane) -> list[str]:
        """What became of a tick's writes; returns the ids to send once more. Slots lost meanwhile are passed over."""
        for station, (dock, version) in written.docks.items():
            self.docks[station], self._dock_versions[station] = dock, version
        ours = self.slot_of.keys()
        for drone in written.telemetry.keys() & ours:
            self._stored[drone], self._versions[drone] = written.telemetry[drone]
            self._untried.discard(drone)
        self.owed -= (written.telemetry.keys() & ours) - self._changed
        self.owed |= (written.failed | written.conflicts.keys()) & ours
        self.unsure |= written.unsure & ours
        return [
            drone
            for drone, met in written.conflicts.items()
            if drone in ours and self._may_replace(drone, met, plane)
        ]

    def _may_replace(self, drone: str, met: Met, plane: Plane) -> bool:
        """What cannot be read is not replaced, nor is a former holder's last word: the flight goes on from there.

        Nor is a recall: of the recall and the pick-up, the one that is stored first makes the other one impossible.
        """
        if met.version is None:
            self._versions[drone] = None
            return True
        if met.telemetry is None:
            self.unsure.add(drone)
            return False
        self._versions[drone] = met.version
        if drone in self._untried:
            self._go_on_from(met.telemetry, plane)
            return False
        craft = self.crafts[drone]
        after = recalled(craft, met.telemetry)
        if after is craft:
            return True
        self.change(after)  # what was to be written knew nothing of the recall: the next tick tells it anew
        return False

    def _go_on_from(self, told: Telemetry, plane: Plane) -> None:
        craft = self.crafts[told.id]
        same = told.orders_seq == craft.orders.seq
        after = msgspec.structs.replace(
            craft,
            at=plane.to_point(told.pos),
            battery_pct=told.battery_pct,
            odometer_m=told.odometer_m,
            stops_done=max(craft.stops_done, min(told.stops_done, len(craft.orders.stops))) if same else 0,
            path=(),
            path_revision=None,
            arrived=False,
        )
        after = recalled(after, told)
        self.crafts[told.id] = after
        self.number = max(self.number, told.tick)
