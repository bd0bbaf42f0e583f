"""The slots of the fleet that this process flies, held by locks in the store.

A process that dies loses its slots after `ttl_ms`, and whoever lives takes them over. Every write of a drone's telemetry
carries the token of its slot's lock: an old holder that wakes up is fenced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog
from prometheus_client import Gauge

from dronedispatch.drone_sim.core.slots import share_of
from dronedispatch.kv.client import KVClient, Lease
from dronedispatch.kv.errors import KVError, LockHeld
from dronedispatch.kv.version import Version
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.health import CUT_OFF_S
from dronedispatch.runtime.loops import end

RENEW_SHARE = 0.3  # of the time to live: three tries before it runs out
HELD = Gauge("dd_sim_slots", "Slots of the fleet that this process flies")


log = structlog.get_logger()


class Claims:
    """`adopt` is called with slots that have become ours, `drop` with slots that are ours no longer.

    `names` gives (our own name, the names of all processes) as discovery knows them.
    """

    def __init__(
        self,
        kv: KVClient,
        clock: Clock,
        *,
        owner: str,
        names: Callable[[], tuple[str, Sequence[str]]],
        slots: int,
        ttl_ms: int,
        adopt: Callable[[Sequence[int]], Coroutine[Any, Any, None]],
        drop: Callable[[Sequence[int]], None],
    ) -> None:
        self._kv = kv
        self._clock = clock
        self._owner = owner
        self._names = names
        self._slots = slots
        self._ttl_ms = ttl_ms
        self._adopt = adopt
        self._drop = drop
        self._leases: dict[int, Lease] = {}
        self._adopted: set[int] = set()
        self._answered_s = clock.monotonic_s()

    @property
    def renew_s(self) -> float:
        """How often `once` is to run."""
        return self._ttl_ms / 1000 * RENEW_SHARE

    def held(self) -> tuple[int, ...]:
        """The slots that are loaded and surely still ours, sorted."""
        return tuple(slot for slot in sorted(self._adopted) if self.token(slot) is not None)

    def token(self, slot: int) -> Version | None:
        """The fencing token of a slot that is surely still ours; None: do not write."""
        lease = self._leases.get(slot)
        if lease is None:
            return None
        ends_s = lease.sent_monotonic_s + lease.ttl_ms / 1000
        return lease.token if self._clock.monotonic_s() < ends_s else None

    def why_cut_off(self) -> str | None:
        """Why nothing can be flown here, and no share should be kept for it; None while the store has answered lately, or a
        lease may last.
        """
        silent_s = self._clock.monotonic_s() - self._answered_s
        if silent_s <= max(CUT_OFF_S, self._ttl_ms / 1000):
            return None
        return f"the store has not answered for {silent_s:.0f} s: no drone is flown here, others fly them if they can"

    async def once(self) -> str:
        """Renew, give back what is too much, claim what is free. Raises KVError when nothing could be asked."""
        await self._renew()
        own, names = self._names()
        share = share_of(own, names, self._leases.keys(), self._slots)
        await self._release(share.release)
        claimed = await self._claim(share.claim, share.wanted - len(self._leases))
        new = [slot for slot in self._leases if slot not in self._adopted]
        if new:
            await self._take_over(new)
        HELD.set(len(self._adopted))
        return f"{len(self._leases)} slots of {self._slots}, {claimed} new"

    async def _take_over(self, new: Sequence[int]) -> None:
        """Leases are renewed meanwhile: to read a large fleet may take longer than they last."""
        adopting = asyncio.create_task(self._adopt(new), name="adopt")
        try:
            while not (await asyncio.wait([adopting], timeout=self.renew_s))[0]:
                await self._renew()
        finally:
            await end([adopting])
        adopting.result()
        self._adopted.update(slot for slot in new if slot in self._leases)
        if lost := [slot for slot in new if slot not in self._leases]:
            self._drop(lost)

    async def lose(self, slots: Sequence[int]) -> None:
        """Fenced: another process has them."""
        self._forget(slots)

    async def release_all(self) -> None:
        """On a graceful stop: others need not wait until the leases run out."""
        await self._release(tuple(self._leases))

    async def _renew(self) -> None:
        leases = list(self._leases.items())
        results = await asyncio.gather(
            *(self._kv.renew(lease) for _, lease in leases), return_exceptions=True
        )
        lost: list[int] = []
        for (slot, _), result in zip(leases, results, strict=True):
            if isinstance(result, Lease | LockHeld):
                self._answered_s = self._clock.monotonic_s()
            if isinstance(result, Lease):
                self._leases[slot] = result
            elif isinstance(result, LockHeld) or (isinstance(result, KVError) and self.token(slot) is None):
                lost.append(slot)
            elif not isinstance(result, KVError):
                raise result
        self._forget(lost)

    async def _claim(self, order: Sequence[int], count: int) -> int:
        taken = 0
        for slot in order:
            if taken >= count:
                break
            try:
                self._leases[slot] = await self._kv.acquire(f"fleet/slot/{slot}", self._owner, self._ttl_ms)
                taken += 1
            except LockHeld:
                pass
            self._answered_s = self._clock.monotonic_s()
        return taken

    async def _release(self, slots: Sequence[int]) -> None:
        leases = [self._leases[slot] for slot in slots if slot in self._leases]
        self._forget(slots)
        await asyncio.gather(*map(self._give_back, leases))

    async def _give_back(self, lease: Lease) -> None:
        try:
            await self._kv.release(lease)
        except KVError as exc:  # it runs out by itself
            log.info("slot not given back", slot=lease.name, error=str(exc))

    def _forget(self, slots: Sequence[int]) -> None:
        gone = [slot for slot in slots if self._leases.pop(slot, None) is not None]
        if gone:
            log.info("slots gone", slots=gone)
            self._adopted.difference_update(gone)
            self._drop(gone)
