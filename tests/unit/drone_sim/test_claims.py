"""The leases of a fleet's slots: they are renewed whatever else takes its time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dronedispatch.drone_sim.claims import Claims
from dronedispatch.testing.kv import MemoryKV
from support.virtual_time import LoopClock, pass_time

pytestmark = pytest.mark.virtual_time


async def test_leases_do_not_run_out_while_a_large_fleet_is_read() -> None:
    dropped: list[int] = []

    async def adopt(_slots: Sequence[int]) -> None:
        await pass_time(20.0)

    clock = LoopClock()
    claims = Claims(
        MemoryKV(clock),
        clock,
        owner="sim-1",
        names=lambda: ("sim-1", ["sim-1"]),
        slots=4,
        ttl_ms=6_000,
        adopt=adopt,
        drop=dropped.extend,
    )
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

    claims = Claims(
        kv,
        clock,
        owner="sim-1",
        names=lambda: ("sim-1", ["sim-1"]),
        slots=4,
        ttl_ms=6_000,
        adopt=adopt,
        drop=flown.difference_update,
    )
    await claims.once()
    assert claims.held() == (0, 1, 3)
    assert flown == {0, 1, 3}
