"""Locks are taken while somebody else may be at the same pairs, and cost nothing when nobody is."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from dronedispatch.dispatcher.app import Dispatcher
from dronedispatch.dispatcher.core.plan import Assign
from dronedispatch.dispatcher.locks import DISPUTED_S, Locks
from dronedispatch.dispatcher.settings import Settings
from dronedispatch.kv.client import Cas, Lease, Op
from dronedispatch.kv.errors import LockHeld, Unavailable
from dronedispatch.kv.version import Version
from dronedispatch.runtime.consul import ConsulClient
from dronedispatch.runtime.web import ServiceProcess
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import a_delivery
from dronedispatch.testing.kv import MemoryKV
from support.towns import OpenTown

PAIR = Assign("drone-00001", Version(1, 1), "d", Version(1, 1), 0.0, 0.0, 0.0)


async def is_locked(kv: MemoryKV) -> bool:
    try:
        lease = await kv.acquire("drone/drone-00001", "somebody else", 1_000)
    except LockHeld:
        return True
    await kv.release(lease)
    return False


async def test_a_new_term_is_disputed_for_a_while_and_then_takes_no_locks() -> None:
    clock = FakeClock()
    kv = MemoryKV(clock)
    locks = Locks(kv, clock, "one/1", 3_000)
    [held] = await locks.take([PAIR])
    assert held.drone_token is not None
    assert await is_locked(kv)
    locks.give_back()
    await locks.settled()
    clock.advance(DISPUTED_S)
    [held] = await locks.take([PAIR])
    assert (held.drone_token, held.delivery_token) == (None, None)
    assert not await is_locked(kv)


async def test_a_dispute_brings_the_locks_back() -> None:
    clock = FakeClock()
    locks = Locks(MemoryKV(clock), clock, "one/1", 3_000)
    clock.advance(DISPUTED_S)
    locks.dispute()
    [held] = await locks.take([PAIR])
    assert held.drone_token is not None


async def test_a_lock_that_cannot_be_given_back_holds_no_stop_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    kv = MemoryKV(clock)
    locks = Locks(kv, clock, "one/1", 3_000)
    given_up: list[str] = []

    async def never(lease: Lease) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            given_up.append(lease.name)

    await locks.take([PAIR])
    monkeypatch.setattr(kv, "release", never)
    locks.give_back()
    await asyncio.sleep(0)  # both are on their way
    await locks.settled(within_s=0.0)
    assert sorted(given_up) == ["delivery/d", "drone/drone-00001"]


async def test_a_dispatcher_that_stops_waits_for_the_locks_of_its_last_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = SimpleNamespace(
        consul=ConsulClient("http://127.0.0.1:1"), instance="one", address="127.0.0.1", port=1
    )
    dispatcher = Dispatcher(Settings(), cast(ServiceProcess, process))
    order: list[str] = []
    for part, name in ((dispatcher.rounds, "settled"), (dispatcher.kv, "close"), (dispatcher.http, "close")):

        async def noted(said: str = f"{type(part).__name__}.{name}") -> None:
            order.append(said)

        monkeypatch.setattr(part, name, noted)
    await dispatcher.stop()
    await process.consul.close()
    assert order == ["Rounds.settled", "HttpKV.close", "HttpClient.close"]


@pytest.mark.parametrize("fails", [True, False])
async def test_a_write_that_is_lost_is_a_dispute(
    open_town: OpenTown, fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = await open_town(3, ticks=int(DISPUTED_S) + 2)
    locked: list[str] = []
    acquire = town.kv.acquire

    async def noted(name: str, owner: str, ttl_ms: int) -> Lease:
        locked.append(name)
        return await acquire(name, owner, ttl_ms)

    def fail_once(op: Op) -> None:
        if fails and isinstance(op, Cas) and op.key.startswith("drone:"):
            town.kv.before = lambda _op: None
            raise Unavailable("for this once")

    monkeypatch.setattr(town.kv, "acquire", noted)
    town.kv.before = fail_once
    order = await town.order(a_delivery(weight_kg=1.0))
    await town.ticks(3)
    assert (await town.delivery(order.id)).drone_id is not None
    assert (f"delivery/{order.id}" in locked) == fails
