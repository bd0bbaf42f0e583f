"""The fleet as the map shows it: records and telemetry joined, and what has changed since a reader looked last."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from dronedispatch.fleet.drones import Drone, DroneStatus, DroneType, Telemetry
from dronedispatch.fleet.positions import LatLon
from dronedispatch.kv.version import Version

SILENT_TICKS = 3  # as the dispatcher's tuning has it


class Shown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One drone on the map. `silent`: its drone_sim flies on without it. Absent members are null, 0 or false."""

    id: str
    type: DroneType
    status: DroneStatus
    pos: LatLon
    battery_pct: float
    heading_deg: float = 0.0
    speed_mps: float = 0.0
    at_charge: str | None = None
    queued_at: str | None = None
    delivery_id: str | None = None
    decommissioned: bool = False
    route: tuple[LatLon, ...] = ()
    tick: int = 0
    silent: bool = False


def join(drone: Drone, telemetry: Telemetry | None) -> Shown | None:
    """None for a drone that has not flown yet: there is no place to draw it at."""
    if telemetry is None:
        return None
    return Shown(
        id=drone.id,
        type=drone.type,
        status=drone.status,
        pos=_short(telemetry.pos),
        battery_pct=round(telemetry.battery_pct, 1),
        heading_deg=round(telemetry.heading_deg),
        speed_mps=round(telemetry.speed_mps, 1),
        at_charge=telemetry.at_charge,
        queued_at=telemetry.queued_at,
        delivery_id=drone.delivery_id,
        decommissioned=drone.decommissioned,
        route=tuple(_short(pos) for pos in telemetry.route),
        tick=telemetry.tick,
    )


def _short(pos: LatLon) -> LatLon:
    """To 1e-5 degrees, about a metre: half the bytes of a position."""
    return LatLon(round(pos.lat, 5), round(pos.lon, 5))


class FleetPicture:
    """`serial` counts the changes; a reader that is at serial n asks for what is newer."""

    def __init__(self) -> None:
        self.serial = 0
        self._drones: dict[str, Drone] = {}
        self._versions: dict[str, Version] = {}
        self._telemetry: dict[str, Telemetry] = {}
        self._shown: dict[str, Shown] = {}
        self._missed: dict[str, int] = {}  # ticks in a row in which a drone's own drone_sim did not fly it
        self._changed_at: dict[str, int] = {}

    def records(self, found: Iterable[tuple[Drone, Version]]) -> None:
        """All records of the fleet, as a scan found them: a drone that is not among them is gone."""
        drones = {drone.id: (drone, version) for drone, version in found}
        for gone in self._drones.keys() - drones.keys():
            self._shown.pop(gone, None)
            self._changed_at.pop(gone, None)
            self._missed.pop(gone, None)
            del self._drones[gone], self._versions[gone]
        self._telemetry = {one: told for one, told in self._telemetry.items() if one in drones}
        self.some_records(drones.values())

    def some_records(self, found: Iterable[tuple[Drone, Version]]) -> None:
        """Some records, with the versions at which they were read or written; an older one than the known is passed over."""
        news = []
        for drone, version in found:
            known = self._versions.get(drone.id)
            if known is None or version >= known:
                self._drones[drone.id], self._versions[drone.id] = drone, version
                news.append(drone.id)
        self._refresh(news)

    @property
    def unplaced(self) -> bool:
        """Whether a drone is known whose place is not."""
        return any(drone_id not in self._telemetry for drone_id in self._drones)

    @property
    def unrecorded(self) -> bool:
        """Whether a drone flies whose record is not known: one that has registered since the last scan."""
        return not self._telemetry.keys() <= self._drones.keys()

    def telemetry(self, found: Iterable[Telemetry]) -> None:
        """Some telemetry; what is older than the known one (by tick) is passed over."""
        newer = [
            one for one in found if one.id not in self._telemetry or one.tick >= self._telemetry[one.id].tick
        ]
        self._telemetry.update({one.id: one for one in newer})
        self._refresh(one.id for one in newer)

    def heard(self, quiet: Iterable[str], flown: Iterable[str]) -> None:
        """One tick of a drone_sim: its drones that it did not fly, and those that it did, whether they had news or not."""
        changed = []
        for drone_id in quiet:
            self._missed[drone_id] = self._missed.get(drone_id, 0) + 1
            if self._missed[drone_id] == SILENT_TICKS:
                changed.append(drone_id)
        changed += [one for one in flown if self._missed.pop(one, 0) >= SILENT_TICKS]
        self._refresh(changed)

    def changes(self, since: int) -> list[Shown]:
        """What has changed after serial `since`; 0: everything."""
        return [self._shown[drone_id] for drone_id, serial in self._changed_at.items() if serial > since]

    def statuses(self) -> dict[str, int]:
        """How many drones there are of each status, zeros included."""
        count = Counter(drone.status for drone in self._drones.values())
        return {status.value: count[status] for status in DroneStatus}

    def _refresh(self, drone_ids: Iterable[str]) -> None:
        serial = self.serial + 1
        for drone_id in drone_ids:
            drone = self._drones.get(drone_id)
            shown = None if drone is None else join(drone, self._telemetry.get(drone_id))
            if shown is not None and self._missed.get(drone_id, 0) >= SILENT_TICKS:
                shown = msgspec.structs.replace(shown, silent=True)
            if shown is None or msgspec.structs.replace(shown, tick=0) == self._blank_tick(drone_id):
                continue
            self._shown[drone_id] = shown
            self._changed_at[drone_id] = serial
            self.serial = serial

    def _blank_tick(self, drone_id: str) -> Shown | None:
        known = self._shown.get(drone_id)
        return None if known is None else msgspec.structs.replace(known, tick=0)
