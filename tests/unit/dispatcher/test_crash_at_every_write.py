"""A dispatcher that dies after any of its writes: the next one heals what it left, and nothing is flown twice."""

from __future__ import annotations

import pytest

from dronedispatch.kv.client import Get, Op
from dronedispatch.testing.fleet import a_delivery, at_km
from dronedispatch.testing.flow_checker import FlowChecker
from dronedispatch.testing.town import Desk, Town
from support.towns import OpenTown, verdict, watch

# three drones activated; intent, assigned, picked up, delivered, freed for each order
WRITES_OF_THREE_ORDERS = 18


class Killed(BaseException):
    """As kill -9: nothing in the process catches it."""


class Executioner:
    """Kills the dispatcher after so many of its writes."""

    def __init__(self, town: Town, writes_left: int) -> None:
        self.town = town
        self.writes_left = writes_left
        self.writes = 0
        town.kv.after = self._count
        self.at_work = False

    def _count(self, op: Op) -> None:
        if self.at_work and not isinstance(op, Get):
            self.writes += 1
            if self.writes > self.writes_left:
                raise Killed

    async def round(self, desk: Desk) -> bool:
        """Whether the dispatcher is still alive after its round."""
        self.at_work = True
        try:
            await desk.rounds.once()
        except Killed:
            await desk.hang_up()
            return False
        finally:
            self.at_work = False
        return True


@pytest.fixture(params=[True, False], ids=["locks", "no locks"])
async def town(open_town: OpenTown, request: pytest.FixtureRequest) -> Town:
    return await open_town(3, desk=False, ticks=0, locks=request.param, speed=200.0)


async def live(town: Town, checker: FlowChecker, writes_left: int) -> Executioner:
    """Three orders; the first dispatcher lives until its executioner comes, the second one takes over 4 s later."""
    executioner = Executioner(town, writes_left)
    first = town.open_desk("first", term=1)
    town.desks.remove(first)  # its rounds are the executioner's
    for number in range(3):
        order = await town.order(a_delivery(origin=at_km(1.0, -2.0 - number), weight_kg=1.0 + 2.5 * number))
        checker.accept(order.id)
    alive, died_at = True, 0
    for second in range(80):
        await town.tick()
        await watch(town, checker)
        if alive:
            alive = await executioner.round(first)
            await watch(town, checker)
            died_at = second
        elif second == died_at + 4:
            town.open_desk("second", term=2)
    await first.hang_up()
    return executioner


async def test_the_writes_that_are_cut_are_all_writes_of_the_orders_lives(town: Town) -> None:
    checker = FlowChecker()
    executioner = await live(town, checker, writes_left=10_000)
    judged = await verdict(town, checker)
    assert (judged.delivered, judged.violations) == (3, {})
    assert executioner.writes >= WRITES_OF_THREE_ORDERS


@pytest.mark.parametrize("writes_before_crash", range(WRITES_OF_THREE_ORDERS))
async def test_a_crash_after_any_write_is_healed_by_the_next_dispatcher(
    town: Town, writes_before_crash: int
) -> None:
    checker = FlowChecker()
    executioner = await live(town, checker, writes_before_crash)
    judged = await verdict(town, checker)
    assert executioner.writes == writes_before_crash + 1
    assert (judged.delivered, judged.violations) == (3, {})
