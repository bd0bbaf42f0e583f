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
from typing import Any

import msgspec
import numpy as np
import psutil
from loadtests.bench.arrivals import Arrivals, share
from loadtests.bench.running import Running, command_line, on_a_system, print_table, say
from scripts.local.words import positive

from dronedispatch.fleet.city import default_city, parse_city
from dronedispatch.fleet.positions import Plane, Point

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
        answer = await running.ask("PUT", "/zones", headers=headers, body=body, timeout_s=60.0)
        if answer.status < 300:
            return time.monotonic() - began_s
        if answer.status < 500 or time.monotonic() - began_s > 120.0:
            raise SystemExit(f"the city was answered {answer.status}: {answer.body[:300]!r}")
        await asyncio.sleep(1.0)


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
    after_s, after_mb = running.cpu_s(), memory_mb(running)
    rows = []
    for name in sorted(after_mb):
        used_s = after_s.get(name, 0.0) - before_s.get(name, 0.0) - idle.get(name, 0.0) * took_s / idle_s
        rows.append(
            (name, f"{1000 * used_s:.0f}", f"{before_mb.get(name, 0.0):.0f}", f"{after_mb[name]:.0f}")
        )
    columns = ("process", "CPU ms for it", "MB before", "MB after")
    print_table(columns, rows, f"The largest city, put in {answered_s:.1f} s", width=100)
    calm, busy = (
        Arrivals(running, arguments.seed + part, parse_city(document(1), "bench"), patience_s=0.0)
        for part in (0, 1)
    )
    await calm.run(arguments.orders_per_s, arguments.seconds)
    putting = asyncio.create_task(put_now_and_then(running, arguments.every_s))
    await busy.run(arguments.orders_per_s, arguments.seconds)
    putting.cancel()
    await asyncio.gather(putting, return_exceptions=True)
    for what, one in (("alone", calm), ("while it is put", busy)):
        p50, p99, longest = (1000 * share(one.waits_s, of) for of in (0.5, 0.99, 1.0))
        say(
            f"{what}: {len(one.waits_s)} x 201, other answers {one.given_up}, POST p50 {p50:.0f} ms, "
            f"p99 {p99:.0f} ms, longest {longest:.0f} ms"
        )
    if min(len(calm.waits_s), len(busy.waits_s)) < 10 * max(calm.given_up, busy.given_up, 1):
        say("too few orders were answered 201 for a verdict: this run proves nothing")
        return False
    worse = share(busy.waits_s, 0.99) / share(calm.waits_s, 0.99)
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


def main(arguments: argparse.Namespace) -> int:
    """Exit code 0 when orders wait no more than WORSE_MAX times as long while the city is put."""
    kept = on_a_system(
        "city", arguments, lambda it: measured(it, arguments), drones=arguments.drones, speed=15
    )
    return 0 if kept else 1
