"""Reads what a tick needs, and writes what it has found, each in one batch; what it learnt is its answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import structlog

from dronedispatch.drone_sim.core.docks import Dock, dock_key
from dronedispatch.drone_sim.core.fleet_state import Met, TickInput, Written
from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.documents import (
    Unreadable,
    decode,
    delivery_key,
    drone_key,
    encode,
    telemetry_key,
)
from dronedispatch.fleet.drones import Drone, Telemetry
from dronedispatch.kv.client import Cas, Get, Item, KVClient, Op, OpResult
from dronedispatch.kv.errors import Fenced, OutcomeUnknown, VersionConflict
from dronedispatch.kv.version import Version

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TelemetryWrite:
    """Telemetry to be stored in place of version `expected` (None: absent), fenced by its slot's `token`."""

    told: Telemetry
    expected: Version | None
    token: Version


@dataclass(frozen=True, slots=True)
class DockWrite:
    """A dock to be stored in place of version `expected` (None: absent)."""

    station: str
    dock: Dock
    expected: Version | None


class Records:
    """The store, as a tick uses it."""

    def __init__(self, kv: KVClient) -> None:
        self._kv = kv
        self._reported: set[str] = set()

    async def read(
        self,
        drones: Iterable[str],
        stations: Sequence[str],
        telemetry: Iterable[str] = (),
        parcels: Mapping[str, str] | None = None,
    ) -> TickInput:
        """The orders of `drones`, the docks of `stations`, the telemetry of some: what could be read of it.

        `parcels`: drone -> the delivery that it comes for. A drone's record that is absent or cannot be read gives no
        orders; telemetry that is absent is Met(None).
        """
        drones, telemetry, parcels = list(drones), list(telemetry), parcels or {}
        ops: list[Op] = [Get(drone_key(drone)) for drone in drones]
        ops += [Get(dock_key(station)) for station in stations]
        ops += [Get(telemetry_key(drone)) for drone in telemetry]
        ops += [Get(delivery_key(delivery)) for delivery in parcels.values()]
        results = iter(await self._kv.batch(ops))
        found = TickInput()
        for drone, result in zip(drones, results, strict=False):
            record = self._decoded(Drone, result)
            if record is not None:
                found.orders[drone] = record.orders
        for station, result in zip(stations, results, strict=False):
            if result is None or isinstance(result, Item):
                found.docks |= self._dock(station, result)
        for drone, result in zip(telemetry, results, strict=False):
            if result is None or isinstance(result, Item):
                found.telemetry[drone] = self._met(result)
        for drone, result in zip(parcels, results, strict=True):
            parcel = self._decoded(Delivery, result)
            if parcel is not None:
                found.parcels[drone] = parcel
        return found

    async def write(self, writes: Sequence[TelemetryWrite], docks: Sequence[DockWrite] = ()) -> Written:
        """Store all of it."""
        ops = [
            Cas(telemetry_key(one.told.id), one.expected, encode(one.told), fence=one.token) for one in writes
        ]
        ops += [Cas(dock_key(one.station), one.expected, encode(one.dock)) for one in docks]
        results = iter(await self._kv.batch(ops))
        written = Written()
        for one, result in zip(writes, results, strict=False):
            self._learn(one.told, result, written)
        for dock, result in zip(docks, results, strict=True):
            if isinstance(result, Version):
                written.docks[dock.station] = dock.dock, result
            elif isinstance(
                result, VersionConflict
            ):  # that of a charge point which is gone is read by no tick
                written.docks |= self._dock(dock.station, result.current)
        return written

    def _dock(self, station: str, item: Item | None) -> dict[str, tuple[Dock, Version | None]]:
        """What is stored; nothing for what cannot be read."""
        if item is None:
            return {station: (Dock(), None)}
        dock = self._decoded(Dock, item)
        return {} if dock is None else {station: (dock, item.version)}

    def _learn(self, told: Telemetry, result: OpResult, written: Written) -> None:
        if isinstance(result, Version):
            written.telemetry[told.id] = told, result
            return
        if isinstance(result, VersionConflict):
            written.conflicts[told.id] = self._met(result.current)
            return
        written.failed.add(told.id)
        if isinstance(result, Fenced):
            written.fenced.add(told.id)
        elif isinstance(result, OutcomeUnknown):
            written.unsure.add(told.id)

    def _met(self, item: Item | None) -> Met:
        return Met() if item is None else Met(item.version, self._decoded(Telemetry, item))

    def _decoded(self, kind: type[T], result: OpResult) -> T | None:
        """None for what is not there or cannot be read, which is reported once."""
        if not isinstance(result, Item):
            return None
        try:
            return decode(kind, result.value)
        except Unreadable as exc:
            if result.key not in self._reported:
                self._reported.add(result.key)
                log.error("unreadable record, left alone", key=result.key, reason=str(exc))
            return None
