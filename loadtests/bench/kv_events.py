"""What clients of our store notice of a dying, pausing or returning replica, and what a replica's memory holds."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path

from loadtests.bench.kv_peers import Peers

from dronedispatch.kv.client import Put
from dronedispatch.kv.errors import KVError, OutcomeUnknown
from dronedispatch.kv.http_client import HttpKV
from dronedispatch.runtime.http.client import HttpClient

WRITERS = 16  # each key has one, which counts up and writes its count
KEYS_EACH = 25
STARTED_WITHIN_S = 30.0
VALUE = b"v" * 300
PAUSE_S = 0.002
FILL_TRIES = 20


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


class Writers:
    """They write within the block, with `pause_s` after each write, unless they were told to `pause`.

    `succeeded_s`: when a write was acknowledged (monotonic).
    """

    def __init__(self, peers: Peers, pause_s: float = 0.0) -> None:
        self.counts = Counts()
        self.succeeded_s: list[float] = []
        self._pause_s = pause_s
        self._http = HttpClient(resend_on_reuse_reset=False)
        self.kvs = [peers.client(self._http) for _ in range(WRITERS)]
        self._writing = False
        self._enough = asyncio.Event()
        self._wanted = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Writers:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.pause()
        for kv in self.kvs:
            await kv.close()
        await self._http.close()

    async def start(self) -> None:
        """Write until `pause`. Returns when as many writes as there are keys have ended, and more are under way."""
        if self._writing:
            return
        self._writing = True
        self._enough.clear()
        self._wanted = self.counts.successes + WRITERS * KEYS_EACH
        self._tasks = [asyncio.create_task(self._write(n, kv)) for n, kv in enumerate(self.kvs)]
        async with asyncio.timeout(STARTED_WITHIN_S):
            await self._enough.wait()

    async def pause(self) -> None:
        """Every write under way has ended, and none begins."""
        self._writing = False
        await asyncio.gather(*self._tasks)

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
                self.succeeded_s.append(time.monotonic())
            except OutcomeUnknown:
                counts.unknown += 1
            except KVError:
                counts.refused += 1
            counts.writes += 1
            if counts.successes >= self._wanted:
                self._enough.set()
            if self._pause_s:
                await asyncio.sleep(self._pause_s)

    def longest_gap_s(self, since_s: float, until_s: float) -> float:
        """The longest time without any successful write."""
        times = [since_s, *(at for at in self.succeeded_s if since_s < at < until_s), until_s]
        return max(after - before for before, after in itertools.pairwise(times))


async def gap_after(peers: Peers, what: str) -> float:
    """Kill -9 (or pause for 3 s) replica 1 under writes; the longest gap in seconds. It is whole again afterwards."""
    process = peers.replicas[1]
    async with Writers(peers, PAUSE_S) as writers:
        began_s = time.monotonic()
        if what == "kill":
            await asyncio.to_thread(process.kill)
        else:
            os.kill(process.pid, signal.SIGSTOP)
        await asyncio.sleep(3.0)
        gap_s = writers.longest_gap_s(began_s, time.monotonic())
        if what == "kill":
            await asyncio.to_thread(peers.replicas[1].start)
        else:
            os.kill(process.pid, signal.SIGCONT)
        await whole(peers)
    return gap_s


async def whole(peers: Peers, within_s: float = 60.0) -> float:
    """Wait until every replica is in sync for all that it is assigned; the seconds it took."""
    began_s = time.monotonic()
    while await asyncio.to_thread(peers.lacking):
        if time.monotonic() - began_s > within_s:
            raise RuntimeError(f"not whole after {within_s} s")
        await asyncio.sleep(0.02)
    return time.monotonic() - began_s


async def fill(peers: Peers, keys: int) -> float:
    """Write `key0`.. by batches; the seconds it took."""
    http = HttpClient(resend_on_reuse_reset=False)
    kv = peers.client(http, timeout_s=30.0)
    began_s = time.monotonic()
    try:
        for at in range(0, keys, 2_000):
            await _put_all(kv, [f"key{n}" for n in range(at, min(keys, at + 2_000))])
    finally:
        await kv.close()
        await http.close()
    return time.monotonic() - began_s


async def _put_all(kv: HttpKV, keys: list[str]) -> None:
    """Write all of `keys`; what failed, or may have, is written again (a replica has just died)."""
    for _ in range(FILL_TRIES):
        results = await kv.batch([Put(key, VALUE) for key in keys])
        keys = [key for key, result in zip(keys, results, strict=True) if isinstance(result, KVError)]
        if not keys:
            return
    raise RuntimeError(f"{len(keys)} writes failed {FILL_TRIES} times")


async def rejoin(peers: Peers, keys: int) -> tuple[float, float]:
    """Replica 1 is away while all `keys` are written again: (seconds until it is in sync, longest write gap meanwhile)."""
    await asyncio.to_thread(peers.replicas[1].kill)
    await fill(peers, keys)
    async with Writers(peers, PAUSE_S) as writers:
        await asyncio.to_thread(peers.replicas[1].start)
        began_s = time.monotonic()
        seconds = await whole(peers)
        return seconds, writers.longest_gap_s(began_s, time.monotonic())


def anonymous_bytes(pid: int) -> int:
    """RssAnon of a process: its own memory, without the map of its data file."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon in /proc")
