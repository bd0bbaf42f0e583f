"""Two dispatchers: a standby keeps still, a paused old leader and even two leaders at once do no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

import pytest

from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.kv.client import Op, OpResult
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import a_delivery, at_km
from dronedispatch.testing.flow_checker import FlowChecker
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.town import Town
from support.towns import OpenTown, verdict, watch


class InterleavedKV(MemoryKV):
    """Lets others in before and between its operations, as a network does; `rng` decides how often."""

    def __init__(self, clock: FakeClock, rng: Random) -> None:
        super().__init__(clock)
        self._rng = rng

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        results: list[OpResult] = []
        for op in ops:
            for _ in range(self._rng.randrange(3)):
                await asyncio.sleep(0)
            results += await super().batch([op])
        return results


@pytest.fixture(params=[True, False], ids=["locks", "no locks"])
async def town(open_town: OpenTown, request: pytest.FixtureRequest) -> Town:
    harm = Tuning(swaps_max=0)  # whatever is undone
    return await open_town(6, desk=False, ticks=0, locks=request.param, speed=200.0, tuning=harm)


async def place_orders(town: Town, checker: FlowChecker, count: int) -> None:
    for number in range(count):
        order = await town.order(a_delivery(origin=at_km(1.0 + number % 3, -2.0), weight_kg=1.0))
        checker.accept(order.id)


async def test_a_standby_writes_and_consumes_nothing(town: Town) -> None:
    standby = town.open_desk("standby")
    await standby.hang_up()
    standby.lead.leader = False
    await place_orders(town, FlowChecker(), 2)
    versions = dict(town.kv.records)
    assert await standby.rounds.once() == "standing by"
    assert town.kv.records == versions


@pytest.mark.parametrize("paused_for", [2, 5, 70])
async def test_an_old_leader_that_wakes_from_a_pause_does_no_harm(town: Town, paused_for: int) -> None:
    checker = FlowChecker()
    old = town.open_desk("old", term=1)
    await place_orders(town, checker, 2)
    await town.ticks(2)
    await old.hang_up()
    town.desks.remove(old)
    town.open_desk("new", term=2)
    for second in range(paused_for):
        await place_orders(town, checker, 1 if second % 7 == 0 else 0)
        await town.tick()
        await watch(town, checker)
    await place_orders(town, checker, 4)
    await town.tick()
    old.pick_up(town.bus)
    for order in sorted(checker.accepted):  # events that it has slept over: it gets half of them
        town.ask_for(order)
    for _ in range(3):  # it still believes that it leads, and decides on what it saw before its pause
        await town.bus.settled()
        await old.rounds.once()
        await town.tick()
        await watch(town, checker)
    await old.hang_up()
    for _ in range(100):
        await town.tick()
        await watch(town, checker)
    judged = await verdict(town, checker)
    assert (judged.delivered, judged.violations) == (len(checker.accepted), {})
    moves = {tuple(line.to for line in delivery.history) for delivery in await town.deliveries()}
    assert moves == {("pending", "assigned", "in-progress", "delivered")}


@pytest.mark.parametrize("seed", range(4))
async def test_two_leaders_at_once_lose_and_double_nothing(seed: int, town: Town) -> None:
    checker = FlowChecker()
    records = town.kv.records
    town.kv = InterleavedKV(town.clock, Random(seed))
    town.kv.records = records
    town.fleets.clear()
    town.add_fleet(6)
    desks = [town.open_desk("one", term=1), town.open_desk("two", term=2)]
    town.desks.clear()
    for second in range(150):
        if second % 5 == 0 and second < 50:
            await place_orders(town, checker, 2)
        await town.tick()
        await asyncio.gather(*(desk.rounds.once() for desk in desks))
        for desk in desks:
            if second % 5 == 4:
                await desk.scan()
        await watch(town, checker)
    for desk in desks:
        await desk.hang_up()
    judged = await verdict(town, checker)
    assert (judged.delivered, judged.violations) == (20, {})
