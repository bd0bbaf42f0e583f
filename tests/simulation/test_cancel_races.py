"""Customers cancel while the dispatcher assigns, undoes and finishes: 10,000 races, one terminal state each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from random import Random

import pytest
from ulid import ULID

from dronedispatch.fleet.deliveries import TERMINAL, Delivery, DeliveryStatus
from dronedispatch.fleet.documents import stamp
from dronedispatch.fleet.drones import DroneStatus
from dronedispatch.gateway.changes import Changes
from dronedispatch.gateway.delivery_requests import DeliveryRequests
from dronedispatch.runtime.problems import Problem
from dronedispatch.testing.fleet import a_delivery, a_place
from dronedispatch.testing.slow_kv import SlowKV
from dronedispatch.testing.town import Town

SEEDS = 10  # half of them without locks
RACES = 1000  # a seed
TICKS = 25
AHEAD = 60  # orders that are on their way when the cancelling begins
DRONES = 60
TURNS_MAX = 3  # of other tasks before each operation


@dataclass
class Customers:
    """They order, and soon after most of them think again."""

    town: Town
    changes: Changes
    rng: Random
    waiting: list[str] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)

    async def order(self, number: int) -> None:
        for _ in range(number):
            origin, destination = (a_place(self.rng) for _ in range(2))
            wall_s = self.town.clock.wall_s()
            delivery = a_delivery(
                id=str(ULID.from_timestamp(wall_s)),
                created_at=stamp(wall_s),
                origin=origin,
                destination=destination,
                weight_kg=self.rng.uniform(0.2, 9.0),
            )
            self.waiting.append((await self.town.order(delivery)).id)

    async def cancel(self, delivery_id: str) -> None:
        for _ in range(self.rng.randrange(400)):
            await asyncio.sleep(0)
        try:
            await self.changes.cancel(delivery_id, "race")
        except Problem as problem:
            if problem.status != 409:
                raise
            self.refused.add(delivery_id)
        else:
            self.cancelled.add(delivery_id)

    def choose(self, number: int) -> list[str]:
        chosen = self.rng.sample(self.waiting, min(number, len(self.waiting)))
        self.waiting = [one for one in self.waiting if one not in chosen]
        return chosen


@pytest.mark.parametrize("locks", [True, False])
@pytest.mark.parametrize("seed", range(SEEDS // 2))
async def test_every_race_of_a_cancel_ends_in_exactly_one_terminal_state(seed: int, locks: bool) -> None:
    rng = Random(seed)
    town = Town(speed=60.0, locks=locks)
    town.add_fleet(DRONES)
    town.open_desk(kv=SlowKV(town.kv, rng, TURNS_MAX))
    await town.ticks(2)
    requests = DeliveryRequests(town.bus, town.clock, lambda _delivery, _version: None)
    changes = Changes(SlowKV(town.kv, rng, TURNS_MAX), town.clock, requests)
    customers = Customers(town, changes, rng)
    await customers.order(AHEAD)
    await town.ticks(3)
    for _ in range(TICKS):
        await customers.order(RACES // TICKS)
        chosen = customers.choose(RACES // TICKS)
        await asyncio.gather(town.tick(), *(customers.cancel(one) for one in chosen))
    await settle(town)
    deliveries = await town.deliveries()
    assert len(customers.cancelled) + len(customers.refused) == RACES
    assert [one for one in deliveries if ends(one) != 1 or one.status not in TERMINAL] == []
    assert {one.id for one in deliveries if one.status is DeliveryStatus.CANCELLED} == customers.cancelled
    assert customers.refused, "no cancel came too late: nothing raced"
    assert customers.cancelled
    drones = (await town.drones()).values()
    assert [
        drone for drone in drones if drone.status is DroneStatus.BUSY or drone.delivery_id is not None
    ] == []
    await town.close()


async def settle(town: Town) -> None:
    """Until every order has ended and every drone is free; at most 200 ticks."""
    for _ in range(200):
        await town.tick()
        if all(one.status in TERMINAL for one in await town.deliveries()):
            break
    await town.ticks(3)


def ends(delivery: Delivery) -> int:
    """How many terminal states its history has come to."""
    return sum(line.to in TERMINAL for line in delivery.history)
