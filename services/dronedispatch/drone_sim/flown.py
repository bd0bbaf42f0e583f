"""The drones that this process flies, with the versions of their records: what lies between two ticks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dronedispatch.drone_sim.core.craft import Craft
from dronedispatch.drone_sim.core.docks import Dock
from dronedispatch.fleet.drones import Telemetry
from dronedispatch.fleet.positions import Plane
from dronedispatch.kv.version import Version


class Flown:
    """`versions`: of `telemetry:<id>`, None before the first write. `unsure`: ids whose last write has an unknown outcome.

    `owed`: ids whose telemetry is newer than what is stored, because a write failed. `untried`: adopted, and not yet
    written by us: a write of the former holder may still be under way.
    """

    def __init__(self) -> None:
        self.crafts: dict[str, Craft] = {}
        self.slot_of: dict[str, int] = {}
        self.versions: dict[str, Version | None] = {}
        self.owed: set[str] = set()
        self.unsure: set[str] = set()
        self.untried: set[str] = set()
        self.docks: dict[str, Dock] = {}
        self.dock_versions: dict[str, Version | None] = {}
        self.number = 0

    def adopt(self, slot: int, craft: Craft, version: Version | None, tick: int) -> None:
        """Fly this drone from now on. `tick`: of its stored telemetry; our ticks go on from the greatest."""
        self.crafts[craft.id] = craft
        self.slot_of[craft.id] = slot
        self.versions[craft.id] = version
        self.owed.add(craft.id)
        self.untried.add(craft.id)
        self.number = max(self.number, tick)

    def catch_up(self, told: Telemetry, plane: Plane) -> None:
        """The former holder has written this after we read: its flight goes on from there."""
        craft = self.crafts[told.id]
        same = told.orders_seq == craft.orders.seq
        self.crafts[told.id] = msgspec.structs.replace(
            craft,
            at=plane.to_point(told.pos),
            battery_pct=told.battery_pct,
            odometer_m=told.odometer_m,
            stops_done=max(craft.stops_done, min(told.stops_done, len(craft.orders.stops))) if same else 0,
            path=(),
            path_revision=None,
            arrived=False,
        )
        self.number = max(self.number, told.tick)

    def drop(self, slots: Iterable[int]) -> None:
        """These slots are flown by others now."""
        gone = set(slots)
        for drone in [drone for drone, slot in self.slot_of.items() if slot in gone]:
            del self.crafts[drone], self.slot_of[drone], self.versions[drone]
            self.owed.discard(drone)
            self.unsure.discard(drone)
            self.untried.discard(drone)

    def turn(self, number: int, every: int) -> list[str]:
        """The ids whose turn it is to be read: each one once in `every` ticks."""
        ids: Sequence[str] = tuple(self.crafts)
        return [ids[place] for place in range(number % every, len(ids), every)]
