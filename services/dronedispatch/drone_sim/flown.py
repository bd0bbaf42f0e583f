"""The drones that this process flies, with the versions of their records: what lies between two ticks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dronedispatch.drone_sim.core.craft import Craft
from dronedispatch.drone_sim.core.docks import Dock
from dronedispatch.kv.version import Version


class Flown:
    """`versions`: of `telemetry:<id>`, None before the first write. `unsure`: ids whose last write has an unknown outcome.

    `owed`: ids whose telemetry is newer than what is stored, because a write failed.
    """

    def __init__(self) -> None:
        self.crafts: dict[str, Craft] = {}
        self.slot_of: dict[str, int] = {}
        self.versions: dict[str, Version | None] = {}
        self.owed: set[str] = set()
        self.unsure: set[str] = set()
        self.docks: dict[str, Dock] = {}
        self.dock_versions: dict[str, Version | None] = {}
        self.number = 0

    def adopt(self, slot: int, craft: Craft, version: Version | None, tick: int) -> None:
        """Fly this drone from now on. `tick`: of its stored telemetry; our ticks go on from the greatest."""
        self.crafts[craft.id] = craft
        self.slot_of[craft.id] = slot
        self.versions[craft.id] = version
        self.owed.add(craft.id)
        self.number = max(self.number, tick)

    def drop(self, slots: Iterable[int]) -> None:
        """These slots are flown by others now."""
        gone = set(slots)
        for drone in [drone for drone, slot in self.slot_of.items() if slot in gone]:
            del self.crafts[drone], self.slot_of[drone], self.versions[drone]
            self.owed.discard(drone)
            self.unsure.discard(drone)

    def turn(self, number: int, every: int) -> list[str]:
        """The ids whose turn it is to be read: each one once in `every` ticks."""
        ids: Sequence[str] = tuple(self.crafts)
        return [ids[place] for place in range(number % every, len(ids), every)]
