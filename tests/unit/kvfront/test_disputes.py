"""A replica that another coordinator reaches: whoever cannot reach it stands aside, whoever was merely slow does not."""

from __future__ import annotations

import asyncio

import pytest

from dronedispatch.kvfront.disputes import PAUSE_S, Disputes
from dronedispatch.replication.effects import Pulse
from support.virtual_time import LoopClock, now_s
from support.waiting import let_run

pytestmark = pytest.mark.virtual_time
LAST_S = 2.0


class Replica:
    """Answers pings from `from_s` on."""

    def __init__(self, from_s: float) -> None:
        self.from_s = from_s
        self.pings = 0

    async def ping(self, _name: str) -> Pulse:
        self.pings += 1
        await let_run(0.05)
        return Pulse.ALIVE if now_s() >= self.from_s else Pulse.SILENT


async def test_a_replica_that_answers_again_is_disputed_no_longer() -> None:
    disputes = Disputes(Replica(now_s()).ping, LoopClock(), LAST_S)
    began_s = now_s()
    disputes.begin("r1")
    assert disputes.open() == ["r1"]
    assert await disputes.once() == "answered after all: r1"
    assert not disputes.open()
    assert now_s() - began_s < 2 * PAUSE_S


async def test_a_replica_that_does_not_answer_is_disputed_for_its_time_and_not_longer() -> None:
    disputes = Disputes(Replica(now_s() + 60.0).ping, LoopClock(), LAST_S)
    began_s = now_s()
    disputes.begin("r1")
    looking = asyncio.create_task(disputes.once())
    await let_run(LAST_S - 0.2)
    assert disputes.open() == ["r1"]
    assert await looking == "answered after all: none"
    assert LAST_S <= now_s() - began_s < LAST_S + 2 * PAUSE_S
    assert not disputes.open()


async def test_one_answer_ends_only_the_dispute_about_its_replica() -> None:
    replicas = {"r1": Replica(now_s()), "r2": Replica(now_s() + 60.0)}
    disputes = Disputes(lambda name: replicas[name].ping(name), LoopClock(), LAST_S)
    for name in replicas:
        disputes.begin(name)
    looking = asyncio.create_task(disputes.once())
    await let_run(2 * PAUSE_S)
    assert disputes.open() == ["r2"]
    await looking


async def test_a_dispute_that_begins_while_another_is_looked_at_is_looked_at_too() -> None:
    replicas = {"r1": Replica(now_s() + 60.0), "r2": Replica(now_s())}
    disputes = Disputes(lambda name: replicas[name].ping(name), LoopClock(), LAST_S)
    disputes.begin("r1")
    looking = asyncio.create_task(disputes.once())
    await let_run(LAST_S / 2)
    disputes.begin("r2")
    await looking
    assert replicas["r2"].pings == 1
    assert not disputes.open()
