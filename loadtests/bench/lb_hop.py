"""What an internal call costs: runtime/http against aiohttp, same requests, same back end, CPU of the caller alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import aiohttp
from loadtests.bench.lb_throughput import backends

from dronedispatch.runtime.http.client import HttpClient

TARGET = "/kv/delivery:01ARZ3NDEKTSV4RRFFQ69G5FAV"
TOKEN = ("authorization", "Bearer 0123456789abcdef0123456789abcdef")

Call = Callable[[], Awaitable[None]]


async def _cpu_us(call: Call, calls: int, at_a_time: int) -> float:
    async def worker() -> None:
        for _ in range(calls // at_a_time):
            await call()

    await worker()
    before_s = time.process_time()
    await asyncio.gather(*(worker() for _ in range(at_a_time)))
    return (time.process_time() - before_s) / calls * 1e6


async def hop(calls: int = 20_000, rounds: int = 3) -> dict[int, tuple[float, float]]:
    """{calls at a time: (ours, aiohttp)}: CPU microseconds of the caller for each call, the best of `rounds`."""
    found: dict[int, tuple[float, float]] = {}
    with backends(count=1) as (port,):
        http = HttpClient(resend_on_reuse_reset=False)
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:

            async def ours() -> None:
                answer = await http.request("GET", "127.0.0.1", port, TARGET, headers=(TOKEN,), timeout_s=2.0)
                assert answer.status == 200

            async def theirs() -> None:
                async with session.get(
                    f"http://127.0.0.1:{port}{TARGET}", headers=[TOKEN], timeout=aiohttp.ClientTimeout(2.0)
                ) as answer:
                    assert answer.status == 200
                    await answer.read()

            for at_a_time in (1, 16, 64):
                pairs = [
                    (await _cpu_us(ours, calls, at_a_time), await _cpu_us(theirs, calls, at_a_time))
                    for _ in range(rounds)
                ]
                found[at_a_time] = (min(pair[0] for pair in pairs), min(pair[1] for pair in pairs))
        await http.close()
    return found
