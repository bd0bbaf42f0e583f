"""The leases of a fleet's slots: they are renewed whatever else takes its time."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from dronedispatch.drone_sim.app import DroneSim
from dronedispatch.drone_sim.claims import Claims
from dronedispatch.drone_sim.settings import Settings
from dronedispatch.kv.client import Lease
from dronedispatch.kv.errors import KVError, OutcomeUnknown, Unavailable
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.health import CUT_OFF_S
from dronedispatch.runtime.web import create_web
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.kv import MemoryKV
from support.virtual_time import LoopClock, pass_time

pytestmark = pytest.mark.virtual_time


async def adopt_at_once(_slots: Sequence[int]) -> None: ...


def claims_of(kv: MemoryKV, clock: Clock, ttl_ms: int = 6_000, **parts: Any) -> Claims:
    """Of four slots, which nobody else claims."""
    given = {"adopt": adopt_at_once, "drop": lambda _slots: None} | parts
    names = ("sim-1", ["sim-1"])
    return Claims(kv, clock, owner="sim-1", names=lambda: names, slots=4, ttl_ms=ttl_ms, **given)


async def test_leases_do_not_run_out_while_a_large_fleet_is_read() -> None:
    dropped: list[int] = []

    async def adopt(_slots: Sequence[int]) -> None:
        await pass_time(20.0)

    clock = LoopClock()
    claims = claims_of(MemoryKV(clock), clock, adopt=adopt, drop=dropped.extend)
    await claims.once()
    assert claims.held() == (0, 1, 2, 3)
    assert dropped == []


async def test_a_slot_that_is_lost_while_its_drones_are_read_is_not_flown() -> None:
    clock = LoopClock()
    kv = MemoryKV(clock)
    flown: set[int] = set()

    async def adopt(slots: Sequence[int]) -> None:
        await kv.release(await kv.acquire("fleet/slot/2", "sim-1", 6_000))  # the lease that was shown is void
        await kv.acquire("fleet/slot/2", "sim-2", 60_000)
        await pass_time(20.0)
        flown.update(slots)

    claims = claims_of(kv, clock, adopt=adopt, drop=flown.difference_update)
    await claims.once()
    assert claims.held() == (0, 1, 3)
    assert flown == {0, 1, 3}


class CutOffKV(MemoryKV):
    """A store that can be cut off from who uses it."""

    cut: Exception | None = None

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> Lease:
        if self.cut is not None:
            raise self.cut
        return await super().acquire(name, owner, ttl_ms)

    async def renew(self, lease: Lease) -> Lease:
        if self.cut is not None:
            raise self.cut
        return await super().renew(lease)


def cut_off_claims(ttl_ms: int = 6_000) -> tuple[Claims, CutOffKV, FakeClock]:
    clock = FakeClock()
    kv = CutOffKV(clock)
    return claims_of(kv, clock, ttl_ms), kv, clock


async def go_on(claims: Claims, clock: FakeClock, seconds: float) -> None:
    for _ in range(round(seconds)):
        with contextlib.suppress(KVError):
            await claims.once()
        clock.advance(1.0)


@pytest.mark.parametrize("cut", [Unavailable("no coordinator"), OutcomeUnknown("no answer")])
async def test_who_is_cut_off_from_the_store_says_so_after_a_while_and_not_at_a_pause(cut: KVError) -> None:
    claims, kv, clock = cut_off_claims()
    await go_on(claims, clock, 2)
    for _ in range(3):
        kv.cut = cut
        await go_on(claims, clock, CUT_OFF_S - 2)
        assert claims.why_cut_off() is None
        kv.cut = None
        await go_on(claims, clock, 1)
    kv.cut = cut
    await go_on(claims, clock, CUT_OFF_S + 2)
    assert "the store has not answered" in (claims.why_cut_off() or "")
    assert claims.held() == ()


async def test_who_was_cut_off_is_back_with_the_first_answer_whoever_holds_the_slots_by_then() -> None:
    claims, kv, clock = cut_off_claims()
    kv.cut = Unavailable("no coordinator")
    await go_on(claims, clock, CUT_OFF_S + 2)
    kv.cut = None
    for slot in range(4):
        await kv.acquire(f"fleet/slot/{slot}", "sim-2", 60_000)
    await go_on(claims, clock, 1)
    assert claims.why_cut_off() is None


async def test_nobody_is_cut_off_while_a_lease_may_last() -> None:
    claims, kv, clock = cut_off_claims(ttl_ms=60_000)
    await go_on(claims, clock, 1)
    kv.cut = Unavailable("no coordinator")
    await go_on(claims, clock, 58)
    assert (claims.held(), claims.why_cut_off()) == ((0, 1, 2, 3), None)
    await go_on(claims, clock, 4)
    assert claims.held() == ()
    assert claims.why_cut_off() is not None


async def test_who_stands_by_is_not_cut_off() -> None:
    clock = FakeClock()
    kv = MemoryKV(clock)
    for slot in range(4):
        await kv.acquire(f"fleet/slot/{slot}", "sim-2", 600_000)
    claims = claims_of(kv, clock)
    await go_on(claims, clock, 3 * CUT_OFF_S)
    assert claims.why_cut_off() is None


async def test_a_process_that_is_cut_off_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    process = create_web("drone-sim", Settings().process, ready=lambda: None).ctx.process
    sim = DroneSim(Settings(), process)
    assert sim.why_not_ready() is None
    monkeypatch.setattr(sim.fleet.claims, "why_cut_off", lambda: "cut off")
    assert sim.why_not_ready() == "cut off"
    await sim.stop()
    await process.consul.close()
