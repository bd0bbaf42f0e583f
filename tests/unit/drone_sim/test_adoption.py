"""Slots that become ours: their drones are where they were seen last, whatever happens while they are read."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from dronedispatch.drone_sim.core.placement import drone_id
from dronedispatch.drone_sim.core.schedule import Beat
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.documents import ZONES_KEY, drone_key, encode
from dronedispatch.fleet.drones import Drone, drone_tags
from dronedispatch.kv.client import Get, Op, OpResult, Page
from dronedispatch.testing.fleet import a_drone
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.town import Town

BEAT = Beat(late_s=0.0, elapsed_s=1.0, skipped=0, next_due_s=0.0)


class InBetween(MemoryKV):
    """`then` happens once, between the answer to a read and the one who has asked."""

    then: Callable[[], Awaitable[object]] | None = None

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        results = await super().batch(ops)
        if self.then is not None and any(isinstance(op, Get) for op in ops):
            then, self.then = self.then, None
            await then()
        return results


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    town = Town(speed=10.0)
    town.kv = InBetween(town.clock)
    yield town
    await town.close()


def city_moved_by(lon_deg: float, lat_deg: float) -> bytes:
    document = json.loads(json.dumps(default_city().open_sky().document))

    def moved(part: object) -> object:
        if isinstance(part, list) and part and isinstance(part[0], float):
            return [part[0] + lon_deg, part[1] + lat_deg]
        return [moved(one) for one in part] if isinstance(part, list) else part

    for feature in document["features"]:
        feature["geometry"]["coordinates"] = moved(feature["geometry"]["coordinates"])
    return encode(document)


async def test_zones_that_change_while_a_slot_is_taken_over_move_no_drone(town: Town) -> None:
    one = town.add_fleet(3, "sim-1")
    await town.ticks(2)
    before = {name: told.pos for name, told in (await town.telemetry()).items()}
    town.lose(one)
    await one.claims.release_all()
    two = town.add_fleet(3, "sim-2")
    await two.zones.once()
    await town.kv.put(ZONES_KEY, city_moved_by(0.05, 0.05))
    assert isinstance(town.kv, InBetween)
    town.kv.then = two.zones.once
    await two.claims.once()
    await two.tick(BEAT)
    after = {name: told.pos for name, told in (await town.telemetry()).items()}
    assert before.keys() == after.keys()
    for name, pos in after.items():
        assert (pos.lat, pos.lon) == pytest.approx((before[name].lat, before[name].lon), abs=1e-6)


async def test_a_fleet_that_is_taken_over_far_from_the_city_is_shipped_there(town: Town) -> None:
    one = town.add_fleet(3, "sim-1")
    await town.ticks(2)
    town.lose(one)
    await one.claims.release_all()
    await town.kv.put(ZONES_KEY, city_moved_by(-7.6, 10.5))
    two = town.add_fleet(3, "sim-2")
    await town.ticks(2)
    city = two.simulation.air.city
    told = await town.telemetry()
    assert len(told) == 3
    for one_told in told.values():
        assert city.why_not_here(one_told.pos) is None
        assert one_told.battery_pct == 100.0


class FormerHolder(MemoryKV):
    """It paused while it registered the fleet, and goes on between its successor's scan and what that one makes of it."""

    late: Drone | None = None

    async def scan(
        self,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        after: str | None = None,
        limit: int = 500,
        reverse: bool = False,
    ) -> Page:
        page = await super().scan(prefix=prefix, tag=tag, after=after, limit=limit, reverse=reverse)
        if self.late is not None:
            late, self.late = self.late, None
            await self.put(drone_key(late.id), encode(late), tags=drone_tags(late))
        return page


async def test_a_drone_that_a_former_holder_registers_late_is_flown(town: Town) -> None:
    town.kv = kv = FormerHolder(town.clock)
    kv.late = a_drone(drone_id(1), cause="registered late")
    fleet = town.add_fleet(3)
    await town.ticks(2)
    assert sorted(fleet.state.crafts) == [drone_id(number) for number in range(3)]
    assert (await town.drones())[drone_id(1)].cause == "registered late"
