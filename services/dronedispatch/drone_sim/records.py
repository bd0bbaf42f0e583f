"""Reads what a tick needs, and writes what it has found: each in one batch, telemetry by CAS under the slot's token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import structlog

from dronedispatch.drone_sim.core.docks import Dock, dock_key
from dronedispatch.drone_sim.flown import Flown
from dronedispatch.fleet.documents import (
    Unreadable,
    decode,
    drone_key,
    encode,
    telemetry_key,
)
from dronedispatch.fleet.drones import Drone, Orders, Telemetry
from dronedispatch.fleet.positions import Plane
from dronedispatch.kv.client import Cas, Get, Item, KVClient, Op, OpResult
from dronedispatch.kv.errors import Fenced, OutcomeUnknown, VersionConflict
from dronedispatch.kv.version import Version

log = structlog.get_logger()


@dataclass(slots=True)
class Written:
    """`told`: the telemetry that is stored now. `lost_slots`: another process holds them. `failed`: writes to repeat."""

    told: list[Telemetry] = field(default_factory=list)
    lost_slots: set[int] = field(default_factory=set)
    failed: int = 0


class Records:
    """The store, as a tick uses it. `token` gives the fencing token of a slot, None when it is no longer surely ours."""

    def __init__(
        self,
        kv: KVClient,
        flown: Flown,
        token: Callable[[int], Version | None],
        plane: Callable[[], Plane],
    ) -> None:
        self._kv = kv
        self._plane = plane
        self._flown = flown
        self._token = token
        self._reported: set[str] = set()

    async def read(self, drones: Iterable[str], stations: Sequence[str]) -> dict[str, Orders]:
        """The orders of these drones; docks, and the versions that are in doubt, go into `flown`.

        A record that is absent or cannot be read gives no orders: the drone goes on with those that it has.
        """
        drones = list(drones)
        unsure = list(self._flown.unsure)
        ops: list[Op] = [Get(drone_key(drone)) for drone in drones]
        ops += [Get(dock_key(station)) for station in stations]
        ops += [Get(telemetry_key(drone)) for drone in unsure]
        results = await self._kv.batch(ops)
        orders = {
            drone: found
            for drone, result in zip(drones, results, strict=False)
            if (found := self._orders(result)) is not None
        }
        rest = results[len(drones) :]
        for station, result in zip(stations, rest, strict=False):
            self._take_dock(station, result)
        for drone, result in zip(unsure, rest[len(stations) :], strict=True):
            if result is None or isinstance(result, Item):
                self._flown.unsure.discard(drone)
                self._may_replace(drone, result)
        return orders

    def _orders(self, result: OpResult) -> Orders | None:
        if not isinstance(result, Item):
            return None
        try:
            return decode(Drone, result.value).orders
        except Unreadable as exc:
            self._report(result.key, exc)
            return None

    def _take_dock(self, station: str, result: OpResult) -> None:
        if result is None:
            self._flown.docks[station] = Dock()
            self._flown.dock_versions[station] = None
        if isinstance(result, Item):
            try:
                self._flown.docks[station] = decode(Dock, result.value)
                self._flown.dock_versions[station] = result.version
            except Unreadable as exc:
                self._report(result.key, exc)

    def _report(self, key: str, exc: Unreadable) -> None:
        if key not in self._reported:
            self._reported.add(key)
            log.error("unreadable record, left alone", key=key, reason=str(exc))

    async def write(self, telemetry: Sequence[Telemetry], docks: dict[str, Dock]) -> Written:
        """Store all of it; what lost a race against an older writer of the same slot is sent once more."""
        written = Written()
        again = await self._write(telemetry, docks, written)
        if again:
            await self._write(again, {}, written)
        return written

    async def _write(
        self, telemetry: Sequence[Telemetry], docks: dict[str, Dock], written: Written
    ) -> list[Telemetry]:
        sure = [told for told in telemetry if told.id not in self._flown.unsure]
        ops: list[Op] = []
        sent: list[Telemetry] = []
        for told in sure:
            token = self._token(self._flown.slot_of[told.id]) if told.id in self._flown.slot_of else None
            if token is not None:
                ops.append(
                    Cas(telemetry_key(told.id), self._flown.versions[told.id], encode(told), fence=token)
                )
                sent.append(told)
        stations = [station for station in docks if station in self._flown.dock_versions]
        ops += [
            Cas(dock_key(station), self._flown.dock_versions[station], encode(docks[station]))
            for station in stations
        ]
        results = await self._kv.batch(ops)
        again = [
            told for told, result in zip(sent, results, strict=False) if self._learn(told, result, written)
        ]
        for station, result in zip(stations, results[len(sent) :], strict=True):
            if isinstance(result, Version):
                self._flown.docks[station] = docks[station]
                self._flown.dock_versions[station] = result
        return again

    def _learn(self, told: Telemetry, result: OpResult, written: Written) -> bool:
        """Whether to send it again now."""
        flown = self._flown
        if told.id not in flown.slot_of:  # its slot was lost while the batch was away
            return False
        if isinstance(result, Version):
            flown.versions[told.id] = result
            flown.owed.discard(told.id)
            flown.untried.discard(told.id)
            written.told.append(told)
            return False
        flown.owed.add(told.id)
        if isinstance(result, VersionConflict):
            return self._may_replace(told.id, result.current)
        written.failed += 1
        if isinstance(result, Fenced):
            written.lost_slots.add(flown.slot_of[told.id])
        elif isinstance(result, OutcomeUnknown):
            flown.unsure.add(told.id)
        return False

    def _may_replace(self, drone: str, current: Item | None) -> bool:
        """Learn the version that was met. What cannot be read is not replaced, nor is a former holder's last word."""
        if current is None:
            self._flown.versions[drone] = None
            return True
        try:
            told = decode(Telemetry, current.value)
        except Unreadable as exc:
            self._report(current.key, exc)
            self._flown.unsure.add(drone)
            return False
        self._flown.versions[drone] = current.version
        if drone in self._flown.untried:
            self._flown.catch_up(told, self._plane())
            return False
        return True
