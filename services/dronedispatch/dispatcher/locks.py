"""Locks on the deliveries and drones of a round's assignments: they save work; correctness rests on the versions alone.

They save work only while somebody else may be at the same pairs: after a change of the leader, and after a write that met
another version. At all other times a lock would be a third write of an assignment that nobody disputes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from dronedispatch.dispatcher.core.plan import Assign
from dronedispatch.kv.client import KVClient, Lease
from dronedispatch.kv.errors import KVError, LockHeld
from dronedispatch.kv.version import Version
from dronedispatch.runtime.clock import Clock

DISPUTED_S = (
    10.0  # longer than a session, its check and the lock-delay together: the old leader knows it by then
)
SETTLE_S = 2.0  # the longest that a stop waits for what is given back


@dataclass(frozen=True, slots=True)
class Held:
    """An assignment that may go on. The tokens fence its writes; None: locks are switched off."""

    assign: Assign
    delivery_token: Version | None = None
    drone_token: Version | None = None


class Locks:
    """Takes and gives back; `ttl_ms` bounds how long a dead dispatcher keeps others from the same pair. New: disputed.

    Giving back goes on behind the caller's back: no round waits for it, and a lock that is taken again meanwhile is not
    lost, because a release names its token.
    """

    def __init__(self, kv: KVClient, clock: Clock, owner: str, ttl_ms: int) -> None:
        self._kv = kv
        self._clock = clock
        self._owner = owner
        self._ttl_ms = ttl_ms
        self._leases: list[Lease] = []
        self._releasing: set[asyncio.Task[None]] = set()
        self.dispute()

    def dispute(self) -> None:
        """Somebody else may be at work: take locks for DISPUTED_S."""
        self._disputed_until_s = self._clock.monotonic_s() + DISPUTED_S

    async def take(self, assigns: Sequence[Assign]) -> list[Held]:
        """The assignments whose two locks are ours now (all, while nobody disputes them); the rest waits a round."""
        if self._clock.monotonic_s() >= self._disputed_until_s:
            return [Held(assign) for assign in assigns]
        names = [f"delivery/{a.delivery_id}" for a in assigns] + [f"drone/{a.drone_id}" for a in assigns]
        leases = await asyncio.gather(*map(self._acquire, names))
        self._leases.extend(lease for lease in leases if lease is not None)
        pairs = zip(assigns, leases[: len(assigns)], leases[len(assigns) :], strict=True)
        return [
            Held(assign, delivery.token, drone.token)
            for assign, delivery, drone in pairs
            if delivery is not None and drone is not None
        ]

    def give_back(self) -> None:
        """All that were taken; one that cannot be given back runs out by itself."""
        leases, self._leases = self._leases, []
        for lease in leases:
            task = asyncio.create_task(self._release(lease))
            self._releasing.add(task)
            task.add_done_callback(self._releasing.discard)

    async def settled(self, within_s: float = SETTLE_S) -> None:
        """Until nothing is being given back; what takes longer is given up, and runs out by itself."""
        end_s = asyncio.get_running_loop().time() + within_s
        while self._releasing:
            left_s = end_s - asyncio.get_running_loop().time()
            _, late = await asyncio.wait(self._releasing, timeout=max(0.0, left_s))
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _acquire(self, name: str) -> Lease | None:
        try:
            return await self._kv.acquire(name, self._owner, self._ttl_ms)
        except LockHeld:
            return None
        except KVError:  # the round goes on with the other pairs; unknown: the lease runs out
            return None

    async def _release(self, lease: Lease) -> None:
        try:
            await self._kv.release(lease)
        except KVError:  # it runs out after ttl_ms
            return


class NoLocks:
    """Locks switched off: every pair goes on, and a lost race is a lost CAS."""

    def dispute(self) -> None:
        return

    async def take(self, assigns: Sequence[Assign]) -> list[Held]:
        return [Held(assign) for assign in assigns]

    def give_back(self) -> None:
        return

    async def settled(self) -> None:
        return
