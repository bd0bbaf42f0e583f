"""A tick of the fleet against the store and the broker: read, fly, write, publish."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import structlog
from prometheus_client import Counter, Gauge, Histogram
from ulid import ULID

from dronedispatch.drone_sim.core.airspace import CityAirspace
from dronedispatch.drone_sim.core.craft import telemetry_of, with_orders
from dronedispatch.drone_sim.core.flight import Noise
from dronedispatch.drone_sim.core.schedule import Beat
from dronedispatch.drone_sim.core.tick import Fleet, Tick, asks_first, fly_fleet
from dronedispatch.drone_sim.faults import Faults
from dronedispatch.drone_sim.flown import Flown
from dronedispatch.drone_sim.records import Records, Written
from dronedispatch.fleet.documents import encode, stamp
from dronedispatch.fleet.drones import Telemetry
from dronedispatch.fleet.messages import DRONE_UPDATES, DroneUpdates
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
    (of a large fleet, READS_MAX at most).
    """

    refresh_ticks: int
    read_ticks: int


class Simulation:
    """`hinted` collects the drones whose orders have changed."""

    def __init__(
        self,
        *,
        flown: Flown,
        records: Records,
        faults: Faults,
        bus: Publisher,
        clock: Clock,
        source: str,
        air: CityAirspace,
        noise: Noise,
        pace: Pace,
        hints_come: Callable[[], bool],
        held: Callable[[], tuple[int, ...]],
    ) -> None:
        self._flown = flown
        self._records = records
        self._faults = faults
        self._bus = bus
        self._clock = clock
        self._source = source
        self.air = air
        self._noise = noise
        self._pace = pace
        self._hints_come = hints_come
        self._held = held
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
        for drone, craft in self._flown.crafts.items():
            if (craft.docked or craft.queued or "") not in {"", *air.capacity}:  # its charge point is gone
                self._flown.crafts[drone] = msgspec.structs.replace(craft, docked=None, queued=None)
                self._flown.owed.add(drone)
        if old != new:
            for drone, craft in self._flown.crafts.items():
                self._flown.crafts[drone] = msgspec.structs.replace(
                    craft, at=new.to_point(old.to_latlon(craft.at)), path=(), path_revision=None
                )

    async def once(self, beat: Beat) -> Written:
        """One tick. A store that does not answer delays what others learn of the flight, never the flight."""
        LATE.observe(beat.late_s)
        SKIPPED.inc(beat.skipped)
        self.late_s = beat.late_s
        self._flown.number += 1
        self.ticks += 1
        silent = self._faults.silent()
        with TICK.labels("read").time():
            unsure = await self._read(silent, beat.elapsed_s)
        with TICK.labels("fly").time():
            tick = self._fly(beat.elapsed_s, silent, unsure)
            told = self._tell(tick, silent)
        with TICK.labels("write").time():
            written = await self._records.write(told, tick.docks)
        FAILED.inc(written.failed)
        self._publish(tick.number, written.told, silent)
        return written

    async def _read(self, silent: frozenset[str], dt_s: float) -> frozenset[str]:
        """Take new orders up; returns who was about to pick up and could not be told whether he still should."""
        flown = self._flown
        hinted, self.hinted = self.hinted, set()
        every = self._pace.read_ticks if self._hints_come() else 1 + len(flown.crafts) // READS_MAX
        asking = {name for name, craft in flown.crafts.items() if asks_first(craft, dt_s, self.air)} - silent
        wanted = ({*flown.turn(flown.number, every), *(hinted & flown.crafts.keys())} - silent) | asking
        orders = await self._records.read(sorted(wanted), tuple(self.air.capacity))
        self.hinted |= {drone for drone in hinted & flown.crafts.keys() if drone not in orders}
        for drone, new in orders.items():
            craft = flown.crafts.get(drone)
            if craft is not None:
                flown.crafts[drone] = with_orders(craft, new)
                if flown.crafts[drone] is not craft:
                    flown.owed.add(drone)
        return frozenset(asking - orders.keys())

    def _fly(self, dt_s: float, silent: frozenset[str], unsure: frozenset[str]) -> Tick:
        flown = self._flown
        tick = fly_fleet(
            Fleet(flown.crafts, flown.docks, self.air.capacity, silent=silent, unsure=unsure),
            number=flown.number,
            dt_s=dt_s,
            air=self.air,
            noise=self._noise,
            refresh_ticks=self._pace.refresh_ticks,
        )
        flown.crafts = tick.crafts
        moving = sum(1 for craft in tick.crafts.values() if craft.speed_mps)
        FLYING.labels("flying").set(moving)
        FLYING.labels("standing").set(len(tick.crafts) - moving)
        FLYING.labels("silent").set(len(silent))
        return tick

    def _tell(self, tick: Tick, silent: frozenset[str]) -> list[Telemetry]:
        at = stamp(self._clock.wall_s())
        changed = {*tick.changed, *(self._flown.owed - silent)}
        return [
            telemetry_of(tick.crafts[drone], self.air.plane, tick=tick.number, at=at)
            for drone in tick.crafts
            if drone in changed
        ]

    def _publish(self, number: int, told: Sequence[Telemetry], silent: frozenset[str]) -> None:
        """Only what is stored is told; the other drones are merely said to fly."""
        names = {one.id for one in told}
        slots = self._held()
        held = set(slots)
        ours = [drone for drone, slot in self._flown.slot_of.items() if slot in held]
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
