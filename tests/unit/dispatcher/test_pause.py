"""How long a round waits for orders that share it: a fifth of a second, or until they are many."""

from __future__ import annotations

import asyncio

import pytest

from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.locks import NoLocks
from dronedispatch.dispatcher.pause import MANY, Pause
from dronedispatch.dispatcher.rounds import Rounds
from dronedispatch.fleet.deliveries import delivery_tags
from dronedispatch.fleet.documents import delivery_key, encode
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.testing.broker import MemoryBus
from dronedispatch.testing.fleet import a_delivery
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.town import FixedLead
from support.virtual_time import LoopClock, now_s, pass_time

pytestmark = pytest.mark.virtual_time

GATHER_S = 0.2


async def _waited_s(orders: int, *, after_s: float = 0.0, planned_s: float = 0.01) -> float:
    """How long the pause lasts when so many orders come so long after the round."""
    pause = Pause(LoopClock(), GATHER_S)
    pause.begin(planned_s)
    began_s = now_s()

    async def come() -> None:
        await pass_time(after_s)
        pause.wait_for(orders)

    coming = asyncio.create_task(come())
    await pause.over()
    waited_s = now_s() - began_s
    await coming
    return waited_s


@pytest.mark.parametrize(
    ("orders", "after_s", "planned_s", "waits_s"),
    [
        pytest.param(MANY - 1, 0.0, 0.01, 0.2, id="few"),
        pytest.param(MANY, 0.1, 0.01, 0.1, id="many"),
        pytest.param(MANY, 0.0, 0.01, 0.05, id="many-at-once"),
        pytest.param(MANY - 1, 0.0, 0.1, 0.3, id="few-after-long-planning"),
        pytest.param(MANY, 0.0, 0.1, 0.1, id="many-after-long-planning"),
        pytest.param(MANY - 1, 0.0, 10.0, 0.5, id="never-longer"),
    ],
)
async def test_many_orders_end_the_pause_once_planning_has_rested(
    orders: int, after_s: float, planned_s: float, waits_s: float
) -> None:
    assert await _waited_s(orders, after_s=after_s, planned_s=planned_s) == pytest.approx(waits_s)


async def test_what_a_round_has_looked_at_does_not_end_the_pause_after_it() -> None:
    # given
    kv, clock = MemoryKV(LoopClock()), LoopClock()
    rounds = Rounds(
        kv=kv,
        bus=MemoryBus(),
        clock=clock,
        leadership=FixedLead(),
        new_cache=lambda: StateCache(FlightModel(), Tuning()),
        new_locks=lambda _: NoLocks(),
        gather_s=GATHER_S,
    )
    await rounds.once()
    began_s = now_s()

    # when
    orders = [a_delivery() for _ in range(MANY)]
    for order in orders:
        await kv.cas(delivery_key(order.id), None, encode(order), tags=delivery_tags(order))
    rounds.point_at(*(delivery_key(order.id) for order in orders))
    await rounds.once()
    many_s = now_s() - began_s
    await rounds.once()

    # then
    assert many_s == pytest.approx(GATHER_S / 4)
    assert now_s() - began_s - many_s == pytest.approx(GATHER_S)
