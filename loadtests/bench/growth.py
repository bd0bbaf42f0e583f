"""`scripts/bench growth`: what one more gateway, coordinator, drone or finished delivery adds to an order and to a look.

Each row is a system of its own with one thing changed, and the same orders: what an order costs in H (the CPU of one GET
through HAProxy in the same run), what the system uses while nobody orders, how long a POST and the assignment take, and
how long the looks take that an operator has: a list, a search by the start of an id, and why an order waits.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import msgspec
from loadtests.bench import finished
from loadtests.bench.arrivals import share
from loadtests.bench.orders import Trial, idle, settled
from loadtests.bench.orders_client import Client
from loadtests.bench.orders_cost import told_h
from loadtests.bench.orders_report import Run
from loadtests.bench.running import Running, command_line, on_a_system, print_table, say
from loadtests.bench.runs import ARTIFACTS
from scripts.local.words import positive

from dronedispatch.kv.errors import KVError

FOLDER = ARTIFACTS / "growth"
LOOKS = 40
SEARCHED = "/deliveries?limit=1"  # the newest one: its id is what the search and `why` ask for


@dataclass(frozen=True)
class Size:
    """What a system has; `finished`: deliveries that ended long ago."""

    gateways: int = 3
    kvfronts: int = 2
    drones: int = 3000
    finished: int = 0


BASE = Size()
SIZES = {
    "as-shipped": BASE,
    "1-gateway": replace(BASE, gateways=1),
    "2-gateways": replace(BASE, gateways=2),
    "1-coordinator": replace(BASE, kvfronts=1),
    "1000-drones": replace(BASE, drones=1000),
    "10000-drones": replace(BASE, drones=10_000),
    "20000-drones": replace(BASE, drones=20_000),
    "10000-finished": replace(BASE, finished=10_000),
    "100000-finished": replace(BASE, finished=100_000),
    "1000000-finished": replace(BASE, finished=1_000_000),
}


@dataclass(frozen=True)
class Grown:
    """One row. `idle_cores`: of all processes while nobody orders; `looks_ms`: p95 by what was looked at."""

    name: str
    order: Run
    idle_cores: float
    looks_ms: dict[str, float]

    @property
    def bad(self) -> int:
        """Orders that were refused, or have not ended."""
        return sum(self.order.outcome.refused.values()) + len(self.order.outcome.open_orders)

    def cells(self) -> list[str]:
        """Its figures as a table shows them."""
        order, (middle, high, _) = self.order, self.order.times_ms["POST"]
        return [
            self.name,
            f"{order.in_h(order.total_ms):.0f}",
            f"{self.idle_cores:.2f}",
            f"{middle:.0f}, {high:.0f}",
            f"{order.times_ms['created -> assigned'][1]:.0f}",
            *(f"{ms:.0f}" for ms in self.looks_ms.values()),
            str(self.bad),
        ]


COLUMNS = (
    "",
    "an order, H",
    "idle, cores",
    "POST p50, p99, ms",
    "assigned p95, ms",
    "list, ms",
    "search, ms",
    "why, ms",
    "refused or open",
)


async def looks(running: Running) -> dict[str, float]:
    """p95 of each look in milliseconds, one after the other. Raises SystemExit for an answer that is not 200."""
    newest = msgspec.json.decode(await running.told("GET", SEARCHED))["deliveries"][0]["id"]
    wanted = {
        "list": "/deliveries?limit=50",
        "search": f"/deliveries?id_prefix={newest[:12]}",
        "why": f"/deliveries/{newest}/why",
    }
    return {name: await _p95_ms(partial(running.told, "GET", target)) for name, target in wanted.items()}


async def _p95_ms(look: Callable[[], Awaitable[bytes]]) -> float:
    took_s = []
    for _ in range(LOOKS):
        began_s = time.monotonic()
        await look()
        took_s.append(time.monotonic() - began_s)
    return 1000 * share(took_s, 0.95)


async def measure(running: Running, options: argparse.Namespace, name: str, h_s: float) -> Grown:
    """Fill, rest, order, look."""
    size = SIZES[name]
    client = Client("127.0.0.1", running.options.ports.lb, options.seed)
    try:
        await settled(running, size.drones)
        if size.finished:
            try:
                await finished.fill(running, size.finished, options.seed)
            except KVError as exc:
                raise SystemExit(
                    f"{name} was not measured: the store does not take the deliveries: {exc}"
                ) from exc
            await asyncio.sleep(options.idle_seconds)  # what is written behind the answers
        trial = Trial(running, client, await idle(running, options.idle_seconds), h_s)
        run = await trial.at(options.rate, options.seconds, 120.0)
        return Grown(name, run, sum(trial.still.cpu_a_s.values()), await looks(running))
    finally:
        await client.close()


def markdown(rows: Sequence[Grown]) -> str:
    """The table for a page."""
    lines = [list(COLUMNS), ["---"] * len(COLUMNS), *(row.cells() for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    command = command_line("growth", __doc__)
    add = command.add_argument
    add("--rate", type=positive(float), default=20.0, help="orders a second (default: 20)")
    add("--seconds", type=positive(float), default=20.0, help="for how long (default: 20)")
    add("--idle-seconds", type=positive(float), default=15.0, help="how long to watch the idle system")
    some = f"some of: {', '.join(SIZES)} (default: all)"
    add("--sizes", nargs="+", choices=SIZES, default=list(SIZES), metavar="SIZE", help=some)
    return command.parse_args(words)


def main(options: argparse.Namespace) -> int:
    """Exit code 0 when every order was accepted and has ended."""
    h_s = told_h()
    rows: list[Grown] = []
    for name in options.sizes:
        say(f"{len(rows) + 1} of {len(options.sizes)}: {name}")
        size = SIZES[name]
        system = {"gateways": size.gateways, "kvfronts": size.kvfronts, "drones": size.drones, "speed": 120}
        work = partial(measure, options=options, name=name, h_s=h_s)
        rows.append(on_a_system("growth", options, work, **system))
    title = f"{options.rate:g} orders a second, {options.seconds:g} s each"
    print_table(COLUMNS, [row.cells() for row in rows], title, width=130)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "growth.md").write_text(markdown(rows), encoding="utf-8")
    say(f"table: {FOLDER}/growth.md")
    missed = [row.name for row in rows if row.bad]
    for name in missed:
        say(f"MISSED {name}: an order was refused, or has not ended")
    return 1 if missed else 0
