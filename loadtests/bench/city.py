"""`scripts/bench city`: what the largest legal city costs: memory and CPU of each process, and orders while it is put.

The city has 5,000 corners of boundary and some 2,000 of no-fly areas. It is put once into an idle system: what each process
uses until it flies in it, and keeps. Then orders arrive, first alone, then while the city is put again and again, each time
changed. Every order has its key; its time is that of the first answer. Figures of processes are read from the outside.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import numpy as np
import psutil
import uvloop
from loadtests.bench.arrivals import order, share
from loadtests.bench.running import Running, command_line, opened, say, started
from rich.console import Console
from rich.table import Table
from scripts.local.words import positive
from ulid import ULID

from dronedispatch.fleet.city import City, default_city, parse_city
from dronedispatch.fleet.positions import Plane, Point
from dronedispatch.runtime import logs
from dronedispatch.runtime.http.errors import HttpError

RIM, AREAS, AREA_CORNERS = 5_000, 31, 64
SETTLE_S = 20.0  # from the answer of a PUT until every process flies in the new city
WORSE_MAX = 2.0  # of the p99 while it is put, to that without

Document = dict[str, Any]


def document(number: int) -> Document:
    """A blob about the middle of the default city with circles in it; another `number`, another city of the same size."""
    plane = default_city().plane
    turn = np.linspace(0.0, 2 * np.pi, RIM, endpoint=False)
    away = 9_000.0 + 400.0 * np.sin(5 * turn) + 150.0 * np.sin(17 * turn) + float(number % 50)
    features = [_feature("boundary", "rim", [_ring(plane, 0.0, 0.0, turn, away)])]
    features.append(_feature("zone", "all", [_ring(plane, 0.0, 0.0, turn, away)]))
    rest = np.linspace(0.0, 2 * np.pi, AREA_CORNERS, endpoint=False)
    for area in range(AREAS):
        x_m, y_m = 2_000.0 * (area % 6 - 2.5), 2_000.0 * (area // 6 - 2.5)
        ring = _ring(plane, x_m, y_m, rest, np.full(AREA_CORNERS, 400.0))
        features.append(_feature("no_fly", f"area-{area}", [ring]))
    for charger in range(4):
        spot = plane.to_latlon(Point(2_000.0 * (charger % 2), 2_000.0 * (charger // 2)))
        at = {"type": "Point", "coordinates": [spot.lon, spot.lat]}
        own = {"kind": "charge_point", "id": f"charger-{charger}", "zone": "all", "capacity": 40}
        features.append({"type": "Feature", "properties": own, "geometry": at})
    return {"type": "FeatureCollection", "features": features}


def _ring(plane: Plane, x_m: float, y_m: float, turn: Any, away: Any) -> list[list[float]]:
    spots = [
        plane.to_latlon(Point(x_m + float(r * np.cos(t)), y_m + float(r * np.sin(t))))
        for t, r in zip(turn, away, strict=True)
    ]
    return [[spot.lon, spot.lat] for spot in (*spots, spots[0])]


def _feature(kind: str, name: str, rings: list[list[list[float]]]) -> Document:
    geometry = {"type": "Polygon", "coordinates": rings}
    return {"type": "Feature", "properties": {"kind": kind, "id": name}, "geometry": geometry}


async def put(running: Running, number: int) -> float:
    """Seconds until the answer. Raises SystemExit for a refusal."""
    began_s = time.monotonic()
    while True:
        headers = (("content-type", "application/geo+json"), running.operator)
        body = msgspec.json.encode(document(number))
        answer = await running.http.request(
            "PUT", "127.0.0.1", running.options.ports.lb, "/zones", headers=headers, body=body, timeout_s=60.0
        )
        if answer.status < 300:
            return time.monotonic() - began_s
        if answer.status < 500 or time.monotonic() - began_s > 120.0:
            raise SystemExit(f"the city was answered {answer.status}: {answer.body[:300]!r}")
        await asyncio.sleep(1.0)


async def orders(
    running: Running, city: City, rng: Random, per_s: float, seconds: float
) -> tuple[list[float], int]:
    """(seconds of each 201, how many had another answer or none)."""
    waits: list[float] = []
    others = 0

    async def place(body: bytes) -> None:
        nonlocal others
        headers = (("content-type", "application/json"), ("idempotency-key", str(ULID())))
        began_s = time.monotonic()
        try:
            answer = await running.http.request(
                "POST", "127.0.0.1", running.options.ports.lb, "/deliveries",
                headers=headers, body=body, timeout_s=30.0,
            )  # fmt: skip
        except HttpError:
            others += 1
            return
        if answer.status == 201:
            waits.append(time.monotonic() - began_s)
        else:
            others += 1

    end_s = due_s = time.monotonic()
    end_s += seconds
    async with asyncio.TaskGroup() as group:
        while (due_s := due_s + rng.expovariate(per_s)) < end_s:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            group.create_task(place(order(rng, city)))
    return waits, others


async def put_now_and_then(running: Running, every_s: float) -> None:
    """Another city of the same size each time, until cancelled."""
    for number in range(2, 1_000):
        await asyncio.sleep(every_s / 2)
        say(f"  put in {await put(running, number):.1f} s")
        await asyncio.sleep(every_s / 2)


def memory_mb(running: Running) -> dict[str, float]:
    """Resident memory of each process."""
    return {name: psutil.Process(pid).memory_info().rss / 2**20 for name, pid in running.pids().items()}


async def measured(running: Running, arguments: argparse.Namespace) -> bool:
    """Whether the p99 while the city is put is within WORSE_MAX of that without."""
    before_mb, before_s, began_s = memory_mb(running), running.cpu_s(), time.monotonic()
    await asyncio.sleep(SETTLE_S)
    idle = {name: used - before_s.get(name, used) for name, used in running.cpu_s().items()}
    idle_s, before_s = time.monotonic() - began_s, running.cpu_s()
    began_s = time.monotonic()
    answered_s = await put(running, 1)
    await asyncio.sleep(SETTLE_S)
    took_s = time.monotonic() - began_s
    table = Table(title=f"The largest city, put in {answered_s:.1f} s")
    for column in ("process", "CPU ms for it", "MB before", "MB after"):
        table.add_column(column, justify="left" if column == "process" else "right")
    after_s, after_mb = running.cpu_s(), memory_mb(running)
    for name in sorted(after_mb):
        used_s = after_s.get(name, 0.0) - before_s.get(name, 0.0) - idle.get(name, 0.0) * took_s / idle_s
        table.add_row(
            name, f"{1000 * used_s:.0f}", f"{before_mb.get(name, 0.0):.0f}", f"{after_mb[name]:.0f}"
        )
    Console(width=100).print(table)
    city, rng = parse_city(document(1), "bench"), Random(arguments.seed)
    calm, calm_others = await orders(running, city, rng, arguments.orders_per_s, arguments.seconds)
    putting = asyncio.create_task(put_now_and_then(running, arguments.every_s))
    busy, busy_others = await orders(running, city, rng, arguments.orders_per_s, arguments.seconds)
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    for what, waits, others in (("alone", calm, calm_others), ("while it is put", busy, busy_others)):
        say(
            f"{what}: {len(waits)} x 201, other answers {others}, POST p50 {1000 * share(waits, 0.5):.0f} ms, "
            f"p99 {1000 * share(waits, 0.99):.0f} ms, longest {1000 * max(waits, default=float('nan')):.0f} ms"
        )
    if min(len(calm), len(busy)) < 10 * max(calm_others, busy_others, 1):
        say("too few orders were answered 201 for a verdict: this run proves nothing")
        return False
    worse = share(busy, 0.99) / share(calm, 0.99)
    say(f"p99 {worse:.2f} times that without (bound {WORSE_MAX:g})")
    return worse <= WORSE_MAX


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    command = command_line("city", __doc__)
    command.add_argument("--seconds", type=positive(float), default=120.0, help="of each of the two parts")
    command.add_argument(
        "--every-s", type=positive(float), default=30.0, help="between two PUTs of the second part"
    )
    command.add_argument("--orders-per-s", type=positive(float), default=20.0)
    command.add_argument("--drones", type=positive(int), default=400)
    return command.parse_args(words)


async def run(arguments: argparse.Namespace, home: Path) -> bool:
    """Against the system of `home`."""
    async with opened(home) as running:
        return await measured(running, arguments)


def main(arguments: argparse.Namespace) -> int:
    """Exit code 0 when orders wait no more than WORSE_MAX times as long while the city is put."""
    logs.configure("city", "city", "error")
    system = [f"--drones={arguments.drones}", "--speed=15", f"--port-base={arguments.port_base}"]
    with started("city", system) as home:
        return 0 if uvloop.run(run(arguments, home)) else 1
