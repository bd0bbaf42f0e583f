"""Kill -9 again and again under writes: does any write that was acknowledged come back older, or not at all?

Every key has one writer, which counts up and writes its count. So a stored count below the last acknowledged one is a lost
write, and one above the last that was sent was never written by anybody. Replicas are killed in turn, every fourth time all
of them at once; a cycle is over when every replica is in sync again, and ends with a look at every key.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from loadtests.bench.kv_events import whole
from loadtests.bench.kv_peers import Peers

from dronedispatch.kv.errors import KVError, OutcomeUnknown
from dronedispatch.kv.http_client import HttpKV
from dronedispatch.runtime.http.client import HttpClient

WRITERS = 16
KEYS_EACH = 25
ALL_EVERY = 4
NOTICED_WITHIN_S = 10.0
READ_WITHIN_S = 30.0


@dataclass
class Counts:
    """Of each key the last count that was sent and the last that was acknowledged; how the ended writes ended."""

    sent: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)
    writes: int = 0
    unknown: int = 0
    refused: int = 0

    @property
    def successes(self) -> int:
        """How many writes were acknowledged."""
        return self.writes - self.unknown - self.refused

    def wrong(self, key: str, stored: int) -> bool:
        """Whether `stored` (0: absent) says that an acknowledged write was lost, or one invented."""
        return not self.acknowledged.get(key, 0) <= stored <= self.sent.get(key, 0)


@dataclass
class Verdict:
    """What is left after all cycles."""

    counts: Counts
    lost: list[str] = field(default_factory=list)
    checked: int = 0


class _Clients:
    """The writers, and a client to look with."""

    def __init__(self, peers: Peers, counts: Counts) -> None:
        self.http = HttpClient(resend_on_reuse_reset=False)
        self.counts = counts
        self.kvs = [peers.client(self.http) for _ in range(WRITERS)]
        self._writing = False
        self._enough = asyncio.Event()
        self._wanted = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Write until `pause`. Returns when as many writes as there are keys have ended, and more are under way."""
        self._writing = True
        self._enough.clear()
        self._wanted = self.counts.successes + WRITERS * KEYS_EACH
        self._tasks = [asyncio.create_task(self._write(n, kv)) for n, kv in enumerate(self.kvs)]
        async with asyncio.timeout(READ_WITHIN_S):
            await self._enough.wait()

    async def pause(self) -> None:
        """Every write under way has ended, and none begins."""
        self._writing = False
        await asyncio.gather(*self._tasks)

    async def close(self) -> None:
        await self.pause()
        for kv in self.kvs:
            await kv.close()
        await self.http.close()

    async def _write(self, number: int, kv: HttpKV) -> None:
        counts = self.counts
        for turn in itertools.count():
            if not self._writing:
                return
            key = f"kill{number}-{turn % KEYS_EACH}"
            count = counts.sent[key] = counts.sent.get(key, 0) + 1
            try:
                await kv.put(key, str(count).encode())
                counts.acknowledged[key] = count
            except OutcomeUnknown:
                counts.unknown += 1
            except KVError:
                counts.refused += 1
            counts.writes += 1
            if counts.successes >= self._wanted:
                self._enough.set()

    async def look(self, verdict: Verdict) -> None:
        """Compare every key with what was acknowledged."""
        for key in list(self.counts.sent):
            stored = await self._stored(key)
            verdict.checked += 1
            if self.counts.wrong(key, stored):
                last = self.counts.acknowledged.get(key, 0)
                verdict.lost.append(f"{key}: {last} was acknowledged, {stored} is stored")

    async def _stored(self, key: str) -> int:
        deadline_s = time.monotonic() + READ_WITHIN_S
        while True:
            try:
                item = await self.kvs[0].get(key)
            except KVError:
                if time.monotonic() > deadline_s:
                    raise
                continue
            return 0 if item is None else int(item.value)


async def kill_cycles(peers: Peers, cycles: int, say: Callable[[str], None]) -> Verdict:
    """`cycles` times kill -9 under writes, back, in sync, compared. Raises RuntimeError when a kill went unnoticed."""
    verdict = Verdict(Counts())
    clients = _Clients(peers, verdict.counts)
    replicas = list(peers.replicas.values())
    began_s = time.monotonic()
    try:
        for cycle in range(cycles):
            victims = replicas if cycle % ALL_EVERY == ALL_EVERY - 1 else [replicas[cycle % len(replicas)]]
            await clients.start()
            await asyncio.gather(*(asyncio.to_thread(one.kill) for one in victims))
            if len(victims) == 1:
                await _noticed(peers)
            await asyncio.gather(*(asyncio.to_thread(one.start) for one in victims))
            await whole(peers)
            await clients.pause()
            await clients.look(verdict)
            if (cycle + 1) % 10 == 0 or cycle + 1 == cycles:
                say(
                    f"kill -9: {cycle + 1} of {cycles} cycles, {verdict.counts.successes:,} writes acknowledged,"
                    f" {len(verdict.lost)} lost, {time.monotonic() - began_s:.0f} s"
                )
    finally:
        await clients.close()
    return verdict


async def _noticed(peers: Peers) -> None:
    """Wait until the view has changed: a kill that nobody met would prove nothing."""
    deadline_s = time.monotonic() + NOTICED_WITHIN_S
    while not await asyncio.to_thread(peers.lacking):
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"nobody noticed the kill within {NOTICED_WITHIN_S:.0f} s")
        await asyncio.sleep(0.01)
