"""Slots that become ours: their drones are where they were seen last, whatever happens while they are read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from dronedispatch.drone_sim.core.placement import drone_id
from dronedispatch.fleet.documents import ZONES_KEY, drone_key, encode
from dronedispatch.fleet.drones import Drone, drone_tags
from dronedispatch.kv.client import Get, Op, OpResult, Page
from dronedispatch.testing.fleet import a_drone
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.town import Town
from dronedispatch.testing.views import OPEN_SKY
from support.generated_cities import moved_by
from support.towns import a_fleet, beats


class InBetween(MemoryKV):
    """`then` happens once, between the answer to a read and the one who has asked."""

    then: Callable[[], Awaitable[object]] | None = None

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        results = await super().batch(ops)
        if self.then is not None and any(isinstance(op, Get) for op in ops):
            then, self.then = self.then, None
            await then()
        return results


async def test_zones_that_change_while_a_slot_is_taken_over_move_no_drone(town: Town) -> None:
    town.kv = kv = InBetween(town.clock)
    one = await a_fleet(town, 3)
    before = {name: told.pos for name, told in (await town.telemetry()).items()}
    town.lose(one)
    await one.claims.release_all()
    two = town.add_fleet(3, "sim-2")
    await two.zones.once()
    await kv.put(ZONES_KEY, encode(moved_by(OPEN_SKY, 0.05, 0.05)))
    kv.then = two.zones.once
    await two.claims.once()
    await beats(two)
    after = {name: told.pos for name, told in (await town.telemetry()).items()}
    assert before.keys() == after.keys()
    for name, pos in after.items():
        assert (pos.lat, pos.lon) == pytest.approx((before[name].lat, before[name].lon), abs=1e-6)


async def test_a_fleet_that_is_taken_over_far_from_the_city_is_shipped_there(town: Town) -> None:
    one = await a_fleet(town, 3)
    town.lose(one)
    await one.claims.release_all()
    await town.kv.put(ZONES_KEY, encode(moved_by(OPEN_SKY, -7.6, 10.5)))
    city = (await a_fleet(town, 3, "sim-2")).simulation.air.city
    told = await town.telemetry()
    assert len(told) == 3
    for one_told in told.values():
        assert city.why_not_here(one_told.pos) is None
        assert one_told.battery_pct == 100.0


class FormerHolder(MemoryKV):
    """It paused while it registered the fleet, and goes on between its successor's scan and what that one makes of it."""

    late: Drone | None = None

    async def scan(self, **asked: Any) -> Page:
        page = await super().scan(**asked)
        if self.late is not None:
            late, self.late = self.late, None
            await self.put(drone_key(late.id), encode(late), tags=drone_tags(late))
        return page


async def test_a_drone_that_a_former_holder_registers_late_is_flown(town: Town) -> None:
    town.kv = kv = FormerHolder(town.clock)
    kv.late = a_drone(drone_id(1), cause="registered late")
    fleet = await a_fleet(town, 3)
    assert sorted(fleet.state.crafts) == [drone_id(number) for number in range(3)]
    assert (await town.drones())[drone_id(1)].cause == "registered late"
