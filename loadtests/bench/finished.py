"""`scripts/bench finished`: what deliveries that have long ended cost a round, a POST and a list.

Measures the CPU of the whole system (all its processes, the idle share taken off) with an empty store, writes finished
deliveries straight into the store, and measures again. A core that is shared does less in a second of CPU time: a fixed
piece of work is timed all the while, and what it takes longer is taken off. Starts a system of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from random import Random

import msgspec
from loadtests.bench.arrivals import order
from loadtests.bench.running import Running, command_line, on_a_system, print_table, say
from loadtests.city import place
from scripts.local.words import positive
from ulid import ULID

from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, delivery_tags, move_delivery
from dronedispatch.fleet.documents import delivery_key, encode, stamp
from dronedispatch.fleet.drones import DroneStatus
from dronedispatch.kv.client import Cas
from dronedispatch.kv.errors import KVError

DRONES = 72
GROWTH_MAX = 0.10
OLDER_S = 86_400.0  # the first of the finished ones was made so long before now
PART = 1_000  # deliveries written at once


@dataclass(frozen=True)
class Figures:
    """CPU milliseconds of all processes: of a second without orders (rounds, scans, ticks), of a POST, of a list.

    `yard_ms`: of the fixed piece of work meanwhile.
    """

    round_ms: float
    post_ms: float
    list_ms: float
    yard_ms: float


class Yardstick:
    """Times the same work again and again, in the background."""

    def __init__(self) -> None:
        self._spent_ms: list[float] = []

    @property
    def ms(self) -> float:
        return sum(self._spent_ms) / len(self._spent_ms)

    async def run(self) -> None:
        """Until cancelled."""
        document = {f"key-{n}": [n, str(n), {"n": n * 0.5}] for n in range(2_000)}
        while True:
            began = time.thread_time()
            for _ in range(3):
                json.loads(json.dumps(document))
            self._spent_ms.append((time.thread_time() - began) * 1000.0)
            await asyncio.sleep(0.25)


def finished(number: int, of: int, rng: Random, now_s: float) -> Delivery:
    """One of `of` deliveries that were flown in the last day."""
    city = default_city()
    made_s = now_s - OLDER_S * (1.0 - number / of)
    delivery = Delivery(
        id=str(ULID.from_timestamp(made_s)),
        status=DeliveryStatus.PENDING,
        origin=place(city, rng),
        destination=place(city, rng),
        weight_kg=round(rng.uniform(0.2, 10.0), 2),
        created_at=stamp(made_s),
    )
    drone_id = f"drone-{1 + number % DRONES:05d}"
    for to, after_s in (
        (DeliveryStatus.ASSIGNED, 1.0),
        (DeliveryStatus.IN_PROGRESS, 300.0),
        (DeliveryStatus.DELIVERED, 900.0),
    ):
        assigned = {"drone_id": drone_id, "orders_seq": 1} if to is DeliveryStatus.ASSIGNED else {}
        delivery = move_delivery(delivery, to, at=stamp(made_s + after_s), cause="flown", **assigned)  # type: ignore[arg-type]
    return delivery


async def fill(running: Running, count: int, seed: int) -> None:
    """Write `count` finished deliveries. Raises the first KVError."""
    rng, now_s = Random(seed), time.time() - 3600.0
    for first in range(0, count, PART):
        part = [finished(number, count, rng, now_s) for number in range(first, min(count, first + PART))]
        ops = [Cas(delivery_key(one.id), None, encode(one), tags=delivery_tags(one)) for one in part]
        for result in await running.kv.batch(ops):
            if isinstance(result, KVError):
                raise result


async def measure(running: Running, requests: int, idle_s: float, rng: Random) -> Figures:
    """The orders that it places are cancelled at its end, so that both measurements see the same backlog."""
    await _all_rest(running)
    yardstick = Yardstick()
    measuring = asyncio.create_task(yardstick.run())
    idle = await _cpu_a_s(running, idle_s)
    bodies = [order(rng, default_city()) for _ in range(requests)]
    placed: list[str] = []

    async def post(number: int) -> None:
        headers = (("content-type", "application/json"), ("idempotency-key", str(ULID())))
        body = await running.told("POST", "/deliveries", 201, headers=headers, body=bodies[number])
        placed.append(msgspec.json.decode(body)["id"])

    async def look(_number: int) -> None:
        await running.told("GET", "/deliveries?limit=50")

    post_ms = await _cpu_each_ms(running, post, requests, idle)
    await _all_ended(running, placed)
    list_ms = await _cpu_each_ms(running, look, requests, idle)
    measuring.cancel()
    await asyncio.gather(measuring, return_exceptions=True)
    return Figures(idle * 1000.0, post_ms, list_ms, yardstick.ms)


async def _cpu_a_s(running: Running, seconds: float) -> float:
    before, began_s = sum(running.cpu_s().values()), time.monotonic()
    await asyncio.sleep(seconds)
    return (sum(running.cpu_s().values()) - before) / (time.monotonic() - began_s)


async def _cpu_each_ms(
    running: Running, ask: Callable[[int], Awaitable[None]], count: int, idle: float
) -> float:
    before, began_s = sum(running.cpu_s().values()), time.monotonic()
    for number in range(count):
        await ask(number)
    used = sum(running.cpu_s().values()) - before - idle * (time.monotonic() - began_s)
    return used / count * 1000.0


async def _all_rest(running: Running) -> None:
    """Until no drone flies or charges: who charges tells of itself in every tick."""
    async with asyncio.timeout(300):
        for status in (DroneStatus.BUSY, DroneStatus.CHARGING):
            while (await running.kv.scan(tag=f"drone_status={status}", limit=1)).items:  # noqa: ASYNC110
                await asyncio.sleep(1.0)


async def _all_ended(running: Running, placed: list[str]) -> None:
    """Cancel what can still be cancelled, and wait for the rest to be flown."""
    for name in placed:
        await running.ask("POST", f"/deliveries/{name}/cancel", headers=(running.operator,))
    async with asyncio.timeout(300):
        while (await running.kv.scan(tag="open=1", limit=1)).items:  # noqa: ASYNC110
            await asyncio.sleep(1.0)


def report(before: Figures, after: Figures, count: int) -> bool:
    """A table; whether nothing grew by more than GROWTH_MAX."""
    rows = []
    slower = after.yard_ms / before.yard_ms
    met = True
    for name, one, two in (
        ("a second of rounds, scans and ticks", before.round_ms, after.round_ms),
        ("a POST", before.post_ms, after.post_ms),
        ("a list of 50", before.list_ms, after.list_ms),
        ("the yardstick", before.yard_ms, after.yard_ms),
    ):
        grown = two / one / slower - 1.0
        met = met and grown <= GROWTH_MAX
        figures = f"{one:.2f}", f"{two:.2f}", f"{100 * (two / one - 1.0):+.1f} %", f"{100 * grown:+.1f} %"
        rows.append((name, *figures))
    columns = ("of", "before", "after", "grown", "grown beside the yardstick")
    print_table(columns, rows, f"CPU of the whole system, ms; with {count} finished deliveries")
    say(f"none may grow by more than {100 * GROWTH_MAX:.0f} %: {'met' if met else 'MISSED'}")
    return met


async def run(running: Running, arguments: argparse.Namespace) -> bool:
    """Measure, fill, measure."""
    rng = Random(arguments.seed)
    await measure(running, arguments.requests // 4, 2.0, rng)  # caches, connections, a first 50 for the list
    before = await measure(running, arguments.requests, arguments.idle_s, rng)
    began_s = time.monotonic()
    await fill(running, arguments.deliveries, arguments.seed)
    say(f"{arguments.deliveries} finished deliveries written in {time.monotonic() - began_s:.0f} s")
    await measure(running, arguments.requests // 4, 2.0, rng)
    after = await measure(running, arguments.requests, arguments.idle_s, rng)
    return report(before, after, arguments.deliveries)


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    command = command_line("finished", __doc__)
    add = command.add_argument
    add("--deliveries", type=positive(int), default=100_000)
    add("--requests", type=positive(int), default=200, help="POSTs, and lists, of each measurement")
    add("--idle-s", type=positive(float), default=20.0, help="how long rounds alone are measured")
    return command.parse_args(words)


def main(arguments: argparse.Namespace) -> int:
    """Exit code 0 when nothing grew by more than GROWTH_MAX."""
    met = on_a_system("finished", arguments, lambda it: run(it, arguments), drones=DRONES, speed=60)
    return 0 if met else 1
