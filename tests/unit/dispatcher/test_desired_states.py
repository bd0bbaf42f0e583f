"""What an operator wants of a drone is carried out once, and a newer wish is never taken for the one before."""

from __future__ import annotations

from collections.abc import Sequence

from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.desired_states import apply_desired_states
from dronedispatch.fleet.dispatch_state import DESIRED_STATE_TAG, DesiredState, Wanted
from dronedispatch.fleet.documents import decode, desired_state_key, drone_key, encode
from dronedispatch.fleet.drones import Drone
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.kv.client import Op, OpResult
from dronedispatch.testing.fleet import AT, a_drone
from dronedispatch.testing.kv import MemoryKV
from support.towns import stored

NAME = "drone-00001"


class OperatorInBetween(MemoryKV):
    """While the first wish is carried out an operator has another one, and a scan reads it."""

    cache: StateCache
    then: Wanted | None = None

    async def wish(self, wanted: Wanted) -> None:
        desired = DesiredState(wanted=wanted, at=AT, request_id="r")
        await self.put(desired_state_key(NAME), encode(desired), tags=(DESIRED_STATE_TAG,))
        await self.scan_into_cache()

    async def scan_into_cache(self) -> None:
        for item in (await self.scan()).items:
            assert self.cache.take(item, 0.0) is None

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        results = await super().batch(ops)
        if self.then is not None and any(op.key == drone_key(NAME) for op in ops):
            wanted, self.then = self.then, None
            await self.wish(wanted)
        return results


async def test_a_wish_that_comes_while_the_one_before_is_carried_out_is_carried_out_next() -> None:
    kv = OperatorInBetween()
    kv.cache = StateCache(FlightModel(), Tuning())
    await kv.put(drone_key(NAME), encode(a_drone(NAME)))
    await kv.wish(Wanted.DECOMMISSIONED)
    kv.then = Wanted.COMMISSIONED
    seen = []
    for _ in range(3):
        await apply_desired_states(kv.cache, kv)
        seen.append(decode(Drone, (await stored(kv, drone_key(NAME))).value).decommissioned)
    assert seen == [True, False, False]
    assert await kv.get(desired_state_key(NAME)) is None
    assert kv.cache.desired_states == {}
