"""A store on which others get in between: each single-key operation lets other tasks run first, a random number of times."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from random import Random

from dronedispatch.kv.client import Lease, Op, OpResult, Page
from dronedispatch.kv.single_key_ops import SingleKeyOps
from dronedispatch.testing.kv import MemoryKV


class SlowKV(SingleKeyOps):
    """One caller's view of a shared MemoryKV. A batch is what it is: independent operations, others in between."""

    def __init__(self, kv: MemoryKV, rng: Random, turns_max: int) -> None:
        self._kv = kv
        self._rng = rng
        self._turns_max = turns_max

    async def _wait(self) -> None:
        for _ in range(self._rng.randrange(self._turns_max + 1)):
            await asyncio.sleep(0)

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        """See KVClient."""
        results: list[OpResult] = []
        for op in ops:
            await self._wait()
            results += await self._kv.batch([op])
        return results

    async def scan(
        self,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        after: str | None = None,
        limit: int = 500,
        reverse: bool = False,
    ) -> Page:
        """See KVClient."""
        await self._wait()
        return await self._kv.scan(prefix=prefix, tag=tag, after=after, limit=limit, reverse=reverse)

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> Lease:
        """See KVClient."""
        await self._wait()
        return await self._kv.acquire(name, owner, ttl_ms)

    async def renew(self, lease: Lease) -> Lease:
        """See KVClient."""
        await self._wait()
        return await self._kv.renew(lease)

    async def release(self, lease: Lease) -> None:
        """See KVClient."""
        await self._wait()
        await self._kv.release(lease)
