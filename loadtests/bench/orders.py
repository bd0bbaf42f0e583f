"""`scripts/bench orders`: orders through the whole running system, and where their time and the CPU went.

Open arrivals (Poisson) against the lb of a system that runs (`scripts/up`). Every order carries an Idempotency-Key. The
times between the states come from the stored timestamps, not from this client's clock.
"""

from __future__ import annotations

import argparse
import asyncio
import secrets
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from urllib.parse import urlsplit

import msgspec
import psutil
import uvloop
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from dronedispatch.fleet.city import City, default_city
from dronedispatch.fleet.deliveries import TERMINAL, Delivery
from dronedispatch.fleet.documents import unstamp
from dronedispatch.fleet.positions import LatLon, Point
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError

SERVICES = ("lb", "gateway", "kvfront", "kvstore", "dispatcher", "drone-sim")
POST_TIMEOUT_S = 15.0


@dataclass
class Outcome:
    """What the client saw."""

    post_ms: list[float] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the sorted `values` lie; NaN of none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def order(rng: Random, city: City) -> bytes:
    """A parcel of 0.2 to 3 kg between two points that drones may reach."""
    return msgspec.json.encode(
        {
            "origin": spot(rng, city),
            "destination": spot(rng, city),
            "weight": round(rng.uniform(0.2, 3.0), 2),
        }
    )


def spot(rng: Random, city: City) -> LatLon:
    """A uniform point of the city outside its no-fly areas."""
    corners = city.boundary.corners
    east, north = [corner.x_m for corner in corners], [corner.y_m for corner in corners]
    while True:
        point = Point(rng.uniform(min(east), max(east)), rng.uniform(min(north), max(north)))
        pos = city.plane.to_latlon(point)
        if city.why_not_here(pos) is None:
            return pos


def cpu_by_service(port: int) -> dict[str, float]:
    """CPU seconds that each service of the system behind `port` has used so far."""
    rows: list[tuple[str, str | None, float]] = []
    home: str | None = None
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or [""]
        label = label_of(line)
        if label is None:
            continue
        try:
            environ, times = process.environ(), process.cpu_times()
        except psutil.Error:
            continue  # it has just ended
        mark = environ.get("DRONEDISPATCH_HOME")
        if label == "lb" and environ.get("LB_PORT") == str(port):
            home = mark
        rows.append((label, mark, times.user + times.system))
    used: dict[str, float] = {}
    for label, mark, seconds in rows:
        if home is not None and mark == home:
            used[label] = used.get(label, 0.0) + seconds
    return used


def label_of(line: Sequence[str]) -> str | None:
    """The service that a command line is; None: none of ours."""
    if len(line) >= 2 and line[-2].endswith("/dronedispatch") and line[-1] in SERVICES:
        return line[-1]
    return {"beam.smp": "rabbitmq", "consul": "consul"}.get(line[0].rpartition("/")[2])


async def place(client: HttpClient, host: str, port: int, body: bytes, key: str, outcome: Outcome) -> None:
    """One order; its latency as the client sees it."""
    began = time.perf_counter()
    headers = (("content-type", "application/json"), ("idempotency-key", key))
    try:
        answer = await client.request(
            "POST", host, port, "/deliveries", headers=headers, body=body, timeout_s=POST_TIMEOUT_S
        )
    except HttpError as exc:
        outcome.refused[type(exc).__name__] = outcome.refused.get(type(exc).__name__, 0) + 1
        return
    outcome.post_ms.append((time.perf_counter() - began) * 1000.0)
    if answer.status == 201:
        outcome.accepted.append(msgspec.json.decode(answer.body)["id"])
    else:
        outcome.refused[str(answer.status)] = outcome.refused.get(str(answer.status), 0) + 1


async def follow(client: HttpClient, host: str, port: int, outcome: Outcome, deadline_s: float) -> None:
    """Read every accepted order until it has ended, or the deadline has come."""
    waiting = list(outcome.accepted)
    end = time.monotonic() + deadline_s
    with Progress(transient=True) as bar:
        task = bar.add_task("delivered", total=len(waiting))
        while waiting and time.monotonic() < end:
            still: list[str] = []
            for delivery_id in waiting:
                answer = await client.request("GET", host, port, f"/deliveries/{delivery_id}", timeout_s=5.0)
                delivery = msgspec.json.decode(answer.body, type=Delivery) if answer.status == 200 else None
                if delivery is None or delivery.status not in TERMINAL:
                    still.append(delivery_id)
                else:
                    outcome.deliveries.append(delivery)
                    bar.advance(task)
            waiting = still
            await asyncio.sleep(1.0)


async def run(host: str, port: int, rate: float, seconds: float, seed: int, wait_s: float) -> Outcome:
    """Place orders at `rate` a second for `seconds`, then wait for them."""
    rng, city, outcome = Random(seed), default_city(), Outcome()
    client = HttpClient(resend_on_reuse_reset=False, connections_max=256)
    run_id = secrets.token_hex(4)  # a second run with the same seed places the same orders anew
    running: set[asyncio.Task[None]] = set()
    began = time.monotonic()
    due = began
    with Progress(transient=True) as bar:
        task = bar.add_task("ordering", total=seconds)
        while (due := due + rng.expovariate(rate)) < began + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            key = f"bench-{run_id}-{rng.getrandbits(64):x}"
            placed = asyncio.create_task(place(client, host, port, order(rng, city), key, outcome))
            running.add(placed)
            placed.add_done_callback(running.discard)
            bar.update(task, completed=time.monotonic() - began)
    await asyncio.gather(*running)
    await follow(client, host, port, outcome, wait_s)
    await client.close()
    return outcome


def spans_ms(deliveries: Sequence[Delivery], end: str) -> list[float]:
    """Milliseconds from created_at to `end` of those that have it."""
    stamps = [(delivery.created_at, getattr(delivery, end)) for delivery in deliveries]
    return [(unstamp(stop) - unstamp(start)) * 1000.0 for start, stop in stamps if stop is not None]


def report(outcome: Outcome, seconds: float, used: dict[str, float]) -> int:
    """Print the tables; 1 when an accepted order has not ended."""
    console = Console()
    table = Table(title="milliseconds from the order on", min_width=78)
    for column in ("hop", "orders", "mean", "p50", "p95", "p99", "max"):
        table.add_column(column, justify="right")
    rows = {
        "POST answered": outcome.post_ms,
        "created -> assigned": spans_ms(outcome.deliveries, "assigned_at"),
        "created -> picked up": spans_ms(outcome.deliveries, "picked_up_at"),
        "created -> delivered": spans_ms(outcome.deliveries, "delivered_at"),
    }
    for name, values in rows.items():
        mean = sum(values) / len(values) if values else float("nan")
        figures = (
            mean,
            *(percentile(values, share) for share in (0.5, 0.95, 0.99)),
            max(values, default=0.0),
        )
        table.add_row(name, str(len(values)), *(f"{figure:.1f}" for figure in figures))
    console.print(table)
    accepted = len(outcome.accepted)
    console.print(
        f"accepted {accepted} ({accepted / seconds:.1f} a second), not accepted {outcome.refused or 0}"
    )
    cpu = Table(title="CPU from the first order to the last delivery")
    for column in ("service", "seconds", "milliseconds an order"):
        cpu.add_column(column, justify="right")
    for name, value in sorted(used.items(), key=lambda row: -row[1]):
        cpu.add_row(name, f"{value:.2f}", f"{value * 1000.0 / max(1, accepted):.2f}")
    console.print(cpu)
    lost = accepted - len(outcome.deliveries)
    console.print(f"accepted and not ended in time: {lost}")
    return 1 if lost or not accepted else 0


def main(argv: list[str]) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench orders", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("--host", default="http://127.0.0.1:8080", help="the lb (default %(default)s)")
    parser.add_argument("--rate", type=float, default=5.0, help="orders a second (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="for how long (default %(default)s)")
    parser.add_argument("--wait", type=float, default=180.0, help="seconds to wait for the last delivery")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    parts = urlsplit(options.host)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    before = cpu_by_service(port)
    outcome = uvloop.run(run(host, port, options.rate, options.seconds, options.seed, options.wait))
    after = cpu_by_service(port)
    used = {name: seconds - before.get(name, 0.0) for name, seconds in after.items()}
    return report(outcome, options.seconds, used)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
