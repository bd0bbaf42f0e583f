"""Kill -9 again and again under writes: does any write that was acknowledged come back older, or not at all?

Every key has one writer, which counts up and writes its count. So a stored count below the last acknowledged one is a lost
write, and one above the last that was sent was never written by anybody. Replicas are killed in turn, every fourth time all
of them at once; a cycle is over when every replica is in sync again, and ends with a look at every key.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from loadtests.bench.kv_events import Counts, Writers, whole
from loadtests.bench.kv_peers import Peers

from dronedispatch.kv.errors import KVError
from dronedispatch.kv.http_client import HttpKV

ALL_EVERY = 4
NOTICED_WITHIN_S = 10.0
READ_WITHIN_S = 30.0


@dataclass
class Verdict:
    """What is left after all cycles."""

    counts: Counts
    lost: list[str] = field(default_factory=list)
    checked: int = 0


async def look(writers: Writers, verdict: Verdict) -> None:
    """Compare every key with what was acknowledged."""
    for key in list(verdict.counts.sent):
        stored = await _stored(writers.kvs[0], key)
        verdict.checked += 1
        if verdict.counts.wrong(key, stored):
            last = verdict.counts.acknowledged.get(key, 0)
            verdict.lost.append(f"{key}: {last} was acknowledged, {stored} is stored")


async def _stored(kv: HttpKV, key: str) -> int:
    deadline_s = time.monotonic() + READ_WITHIN_S
    while True:
        try:
            item = await kv.get(key)
        except KVError:
            if time.monotonic() > deadline_s:
                raise
            continue
        return 0 if item is None else int(item.value)


async def kill_cycles(peers: Peers, cycles: int, say: Callable[[str], None]) -> Verdict:
    """`cycles` times kill -9 under writes, back, in sync, compared. Raises RuntimeError when a kill went unnoticed."""
    replicas = list(peers.replicas.values())
    began_s = time.monotonic()
    async with Writers(peers) as writers:
        verdict = Verdict(writers.counts)
        for cycle in range(cycles):
            victims = replicas if cycle % ALL_EVERY == ALL_EVERY - 1 else [replicas[cycle % len(replicas)]]
            await writers.start()
            await asyncio.gather(*(asyncio.to_thread(one.kill) for one in victims))
            if len(victims) == 1:
                await _noticed(peers)
            await asyncio.gather(*(asyncio.to_thread(one.start) for one in victims))
            await whole(peers)
            await writers.pause()
            await look(writers, verdict)
            if (cycle + 1) % 10 == 0 or cycle + 1 == cycles:
                say(
                    f"kill -9: {cycle + 1} of {cycles} cycles, {verdict.counts.successes:,} writes acknowledged,"
                    f" {len(verdict.lost)} lost, {time.monotonic() - began_s:.0f} s"
                )
    return verdict


async def _noticed(peers: Peers) -> None:
    """Wait until the view has changed: a kill that nobody met would prove nothing."""
    deadline_s = time.monotonic() + NOTICED_WITHIN_S
    while not await asyncio.to_thread(peers.lacking):
        if time.monotonic() > deadline_s:
            raise RuntimeError(f"nobody noticed the kill within {NOTICED_WITHIN_S:.0f} s")
        await asyncio.sleep(0.01)
