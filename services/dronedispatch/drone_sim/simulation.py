"""A tick of the fleet against the store and the broker: read, fly, write, publish."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram
from ulid import ULID

from dronedispatch.drone_sim.core.airspace import CityAirspace
from dronedispatch.drone_sim.core.craft import may_pick_up, telemetry_of
from dronedispatch.drone_sim.core.docks import Dock
from dronedispatch.drone_sim.core.fleet_state import FleetState, Written
from dronedispatch.drone_sim.core.flight import Noise
from dronedispatch.drone_sim.core.schedule import Beat
from dronedispatch.drone_sim.core.tick import Fleet, Tick, asks_for, fly_fleet
from dronedispatch.drone_sim.faults import FaultInjector
from dronedispatch.drone_sim.records import DockWrite, Records, TelemetryWrite
from dronedispatch.fleet.documents import encode, stamp
from dronedispatch.fleet.drones import Telemetry
from dronedispatch.fleet.messages import DRONE_UPDATES, DroneUpdates
from dronedispatch.kv.version import Version
from dronedispatch.runtime.amqp import Publisher
from dronedispatch.runtime.clock import Clock

PART_DRONES_MAX = 500  # telemetry in one message: some 150 KB
READS_MAX = 2_500  # records of drones that a tick reads without hints: a larger fleet is read in turns

LATE = Histogram(
    "dd_sim_tick_late_seconds",
    "How late a tick began",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
TICK = Histogram(
    "dd_sim_tick_seconds",
    "Duration of a tick, by phase",
    ["phase"],
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0),
)
SKIPPED = Counter("dd_sim_ticks_skipped_total", "Ticks left out because one took longer than its period")
FLYING = Gauge("dd_sim_drones", "Drones of this process", ["state"])
FAILED = Counter("dd_sim_writes_failed_total", "Telemetry writes that are repeated in a later tick")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """`refresh_ticks`: how often a parked drone tells of itself. `read_ticks`: in how many ticks every drone's record is
    read once, while hints about changed orders come; without them every record is read in every tick
    (of a large fleet, READS_MAX at most). `store_ticks`: how often a drone that merely moves is stored, while messages
    tell where it is; without them, in every tick.
    """

    refresh_ticks: int
    read_ticks: int
    store_ticks: int


class Slots(Protocol):
    """Which slots of the fleet are ours: drone_sim/claims.py."""

    def held(self) -> tuple[int, ...]: ...

    def token(self, slot: int) -> Version | None:
        """The fencing token of a slot; None when it is no longer surely ours."""


@dataclass(slots=True)
class Published:
    """What a tick has told others. `lost_slots`: another process holds them. `failed`: writes to repeat."""

    told: list[Telemetry] = field(default_factory=list)
    lost_slots: set[int] = field(default_factory=set)
    failed: int = 0


class Simulation:
    """`hinted` collects the drones whose orders have changed."""

    def __init__(
        self,
        *,
        state: FleetState,
        records: Records,
        faults: FaultInjector,
        bus: Publisher,
        clock: Clock,
        source: str,
        air: CityAirspace,
        noise: Noise,
        pace: Pace,
        hints_come: Callable[[], bool],
        slots: Slots,
    ) -> None:
        self._state = state
        self._records = records
        self._faults = faults
        self._bus = bus
        self._clock = clock
        self._source = source
        self.air = air
        self._noise = noise
        self._pace = pace
        self._hints_come = hints_come
        self._slots = slots
        self.hinted: set[str] = set()
        self.ticks = 0
        self.late_s = 0.0

    def hinted_at(self, drones: Sequence[str]) -> None:
        """The dispatcher has written these drones' records: read them at the next tick."""
        self.hinted.update(drones)

    def fly_in(self, air: CityAirspace) -> None:
        """The zones have changed. Positions are metres about the city's middle: another middle, other metres."""
        old, new = self.air.plane, air.plane
        self.air = air
        for craft in list(self._state.crafts.values()):
            if (craft.docked or craft.queued or "") not in {"", *air.capacity}:  # its charge point is gone
                self._state.change(msgspec.structs.replace(craft, docked=None, queued=None))
        if old != new:
            self._state.fly_over(old, new)

    async def once(self, beat: Beat) -> Published:
        """One tick. A store that does not answer delays what others learn of the flight, never the flight."""
        LATE.observe(beat.late_s)
        SKIPPED.inc(beat.skipped)
        self.late_s = beat.late_s
        self._state.number += 1
        self.ticks += 1
        silent = self._faults.silent()
        with TICK.labels("read").time():
            cleared = await self._read(silent, beat.elapsed_s)
        with TICK.labels("fly").time():
            tick = self._fly(beat.elapsed_s, silent, cleared)
            news = self._news(tick, silent)
        store_ticks = self._pace.store_ticks if self._hints_come() else 1
        due = [one for one in news if self._state.is_due(one, store_ticks)]
        with TICK.labels("write").time():
            told = await self._write(due, tick.docks)
        FAILED.inc(told.failed)
        told.told += self._merely_moved(news, due, told.lost_slots)
        self._publish(tick.number, told.told, silent)
        return told

    def _merely_moved(
        self, news: Sequence[Telemetry], due: Sequence[Telemetry], lost_slots: Set[int]
    ) -> list[Telemetry]:
        """What is told without being stored: the record says the same but for the place. Of drones that are surely ours."""
        stored = {one.id for one in due}
        ours = {drone for drone, slot in self._ours().items() if slot not in lost_slots}
        return [one for one in news if one.id not in stored and one.id in ours]

    def _ours(self) -> dict[str, int]:
        """Drones of slots that are surely ours now, with their slot."""
        held = set(self._slots.held())
        return {drone: slot for drone, slot in self._state.slot_of.items() if slot in held}

    async def _read(self, silent: frozenset[str], dt_s: float) -> frozenset[str]:
        """Take new orders up; returns who may pick up: the store has just said that the parcel is theirs."""
        state = self._state
        hinted, self.hinted = self.hinted, set()
        every = self._pace.read_ticks if self._hints_come() else 1 + len(state.crafts) // READS_MAX
        asking = {
            name: parcel
            for name, craft in state.crafts.items()
            if name not in silent and (parcel := asks_for(craft, dt_s, self.air)) is not None
        }
        wanted = ({*state.turn(every), *(hinted & state.crafts.keys())} - silent) | asking.keys()
        found = await self._records.read(
            sorted(wanted), tuple(self.air.capacity), sorted(state.unsure), asking
        )
        state.learn_read(found, self.air.plane)
        self.hinted |= {drone for drone in hinted & state.crafts.keys() if drone not in found.orders}
        return frozenset(
            drone
            for drone, parcel in found.parcels.items()
            if drone in state.crafts and may_pick_up(state.crafts[drone], parcel)
        )

    def _fly(self, dt_s: float, silent: frozenset[str], cleared: frozenset[str]) -> Tick:
        state = self._state
        tick = fly_fleet(
            Fleet(state.crafts, state.docks, self.air.capacity, silent=silent, cleared=cleared),
            number=state.number,
            dt_s=dt_s,
            air=self.air,
            noise=self._noise,
            refresh_ticks=self._pace.refresh_ticks,
        )
        state.flown(tick.crafts)
        moving = sum(1 for craft in tick.crafts.values() if craft.speed_mps)
        FLYING.labels("flying").set(moving)
        FLYING.labels("standing").set(len(tick.crafts) - moving)
        FLYING.labels("silent").set(len(silent))
        return tick

    def _news(self, tick: Tick, silent: frozenset[str]) -> list[Telemetry]:
        at = stamp(self._clock.wall_s())
        changed = {*tick.changed, *(self._state.owed - silent)}
        return [
            telemetry_of(tick.crafts[drone], self.air.plane, tick=tick.number, at=at)
            for drone in tick.crafts
            if drone in changed
        ]

    async def _write(self, news: Sequence[Telemetry], docks: Mapping[str, Dock]) -> Published:
        """Store it; what lost a race against an older writer of the same slot is sent once more."""
        state = self._state
        stations = [
            DockWrite(one, docks[one], version) for one, version in state.dock_versions(docks).items()
        ]
        written = await self._records.write(self._writes(news), stations)
        again = set(state.learn_written(written, self.air.plane))
        told = self._told(written)
        if again:
            second = await self._records.write(self._writes([one for one in news if one.id in again]))
            state.learn_written(second, self.air.plane)
            more = self._told(second)
            told = Published(
                told.told + more.told, told.lost_slots | more.lost_slots, told.failed + more.failed
            )
        return told

    def _writes(self, news: Sequence[Telemetry]) -> list[TelemetryWrite]:
        """Of drones that are surely ours, and whose last write has a known outcome."""
        state = self._state
        writes = []
        for one in news:
            slot = state.slot_of.get(one.id)
            token = None if slot is None else self._slots.token(slot)
            if token is not None and one.id not in state.unsure:
                writes.append(TelemetryWrite(one, state.version(one.id), token))
        return writes

    def _told(self, written: Written) -> Published:
        ours = self._state.slot_of
        return Published(
            told=[told for told, _ in written.telemetry.values() if told.id in ours],
            lost_slots={ours[drone] for drone in written.fenced if drone in ours},
            failed=len(written.failed & ours.keys()),
        )

    def _publish(self, number: int, told: Sequence[Telemetry], silent: frozenset[str]) -> None:
        """What others act on is told once it is stored; of drones that tell nothing it is said that they fly."""
        names = {one.id for one in told}
        slots, ours = self._slots.held(), self._ours()
        alive = tuple(drone for drone in ours if drone not in names and drone not in silent)
        quiet = tuple(drone for drone in ours if drone in silent)
        starts = range(0, max(len(told), 1), PART_DRONES_MAX)
        at = stamp(self._clock.wall_s())
        for part, start in enumerate(starts):
            event = DroneUpdates(
                id=str(ULID()),
                at=at,
                request_id=f"tick-{self._source}-{number}"[:64],
                source=self._source,
                tick=number,
                slots=slots,
                drones=tuple(told[start : start + PART_DRONES_MAX]),
                alive=alive if part == 0 else (),
                quiet=quiet if part == 0 else (),
                part=part,
                parts=len(starts),
            )
            self._bus.to_fanout(DRONE_UPDATES, encode(event), message_id=event.id)
