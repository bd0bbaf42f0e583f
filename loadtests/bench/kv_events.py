"""What clients of our store notice of a dying, pausing or returning replica, and what a replica's memory holds."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from pathlib import Path

from loadtests.bench.kv_peers import Peers

from dronedispatch.kv.client import Put
from dronedispatch.kv.errors import KVError
from dronedispatch.kv.http_client import HttpKV
from dronedispatch.runtime.http.client import HttpClient

WRITERS = 16
VALUE = b"v" * 300
PAUSE_S = 0.002
FILL_TRIES = 20


class Writers:
    """Clients that write all the time and note when they succeed. Use as an asynchronous context."""

    def __init__(self, peers: Peers) -> None:
        self.http = HttpClient(resend_on_reuse_reset=False)
        self.clients = [peers.client(self.http) for _ in range(WRITERS)]
        self.succeeded_s: list[float] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Writers:
        self._tasks = [asyncio.create_task(self._write(n, kv)) for n, kv in enumerate(self.clients)]
        await asyncio.sleep(0.5)
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for kv in self.clients:
            await kv.close()
        await self.http.close()

    async def _write(self, number: int, kv: HttpKV) -> None:
        for count in itertools.count():
            with contextlib.suppress(KVError):
                await kv.put(f"w{number}-{count % 50}", VALUE)
                self.succeeded_s.append(time.monotonic())
            await asyncio.sleep(PAUSE_S)

    def longest_gap_s(self, since_s: float, until_s: float) -> float:
        """The longest time without any successful write."""
        times = [since_s, *(at for at in self.succeeded_s if since_s < at < until_s), until_s]
        return max(after - before for before, after in itertools.pairwise(times))


async def gap_after(peers: Peers, what: str) -> float:
    """Kill -9 (or pause for 3 s) replica 1 under writes; the longest gap in seconds. It is whole again afterwards."""
    process = peers.replicas[1]
    async with Writers(peers) as writers:
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
    async with Writers(peers) as writers:
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
