"""`scripts/bench orders`: what an order costs from POST to delivered, and how many a second this machine sustains.

Starts a system of its own: 3,000 drones, --speed 120, the default city. Orders arrive open (Poisson), each with a fresh
Idempotency-Key, and are followed by one event stream; the client's own CPU is told apart and what the system uses while
idle is subtracted. H is the CPU of one GET through HAProxy in the same run. `--search` looks for the highest rate at which
every target is met, `--burst` offers far more than can be done. Exit code 1: a target was missed; a sentence when it cannot.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.bench import orders_client
from loadtests.bench.arrivals import share
from loadtests.bench.orders_client import Client, Outcome
from loadtests.bench.orders_cost import Cost, Still, sample, told_h
from loadtests.bench.orders_report import Run, draw, markdown, print_run
from loadtests.bench.running import Running, command_line, on_a_system, say
from loadtests.bench.runs import ARTIFACTS
from scripts.local.home import named
from scripts.local.words import positive

from dronedispatch.fleet.documents import DRONE_PREFIX
from dronedispatch.fleet.drones import Drone, DroneStatus

FOLDER = ARTIFACTS / "orders"
SETTLE_TIMEOUT_S = 180.0
IDLE_S = 15.0
REST_S = 5.0  # between two rates
SEARCH_STEP = 1.25
POST_P99_MAX_S = 0.100
ASSIGNED_P95_MAX_S = 0.400
REFUSED_MAX_S = 1.0  # a burst: who is not taken hears so within


def missed(outcome: Outcome) -> list[str]:
    """The targets that were not met, each as a sentence."""
    found = []
    post, assigned = share(outcome.post_s, 0.99), share(outcome.to_assigned_s(), 0.95)
    if not post <= POST_P99_MAX_S:
        found.append(f"p99 of POST is {1000 * post:.0f} ms, at most {1000 * POST_P99_MAX_S:.0f}")
    if not assigned <= ASSIGNED_P95_MAX_S:
        most_ms = 1000 * ASSIGNED_P95_MAX_S
        found.append(f"p95 of created -> assigned is {1000 * assigned:.0f} ms, at most {most_ms:.0f}")
    if outcome.refused:
        found.append(f"orders were refused: {outcome.refused}")
    return found + lost(outcome)


def lost(outcome: Outcome) -> list[str]:
    """What no rate excuses."""
    found = []
    if outcome.open_orders:
        found.append(f"{len(outcome.open_orders)} accepted orders have not ended")
    failed = sum(end == "failed" for end in outcome.ends.values())
    if failed:
        found.append(f"{failed} accepted orders failed")
    return found


def missed_in_a_burst(outcome: Outcome) -> list[str]:
    """The targets of a burst: everybody has an answer within a second, and nothing that was accepted is lost."""
    found = lost(outcome)
    wrong = {why: n for why, n in outcome.refused.items() if why not in ("429", "503")}
    if wrong:
        found.append(f"neither 201 nor 429 or 503 with Retry-After: {wrong}")
    slowest = max(outcome.refused_s, default=0.0)
    if slowest > REFUSED_MAX_S:
        found.append(f"the slowest refusal took {1000 * slowest:.0f} ms, at most {1000 * REFUSED_MAX_S:.0f}")
    return found


async def settled(running: Running, drones: int) -> None:
    """Until the whole fleet stands idle or charges. Raises SystemExit when it never does."""
    end_s = time.monotonic() + SETTLE_TIMEOUT_S
    found: dict[str, Drone] = {}
    while time.monotonic() < end_s:
        found = await running.stored(Drone, DRONE_PREFIX)
        ready = sum(one.status in (DroneStatus.IDLE, DroneStatus.CHARGING) for one in found.values())
        if len(found) >= drones and ready >= drones // 5:
            return
        await asyncio.sleep(1.0)
    raise SystemExit(
        f"nothing was measured: {len(found)} of {drones} drones are there after {SETTLE_TIMEOUT_S:.0f} s"
    )


async def idle(running: Running, seconds: float) -> Still:
    """What `seconds` cost with nothing in them but the fleet that stands."""
    before, began_s = await sample(running), time.monotonic()
    await asyncio.sleep(seconds)
    return Still(before, await sample(running), time.monotonic() - began_s)


@dataclass(frozen=True)
class Trial:
    """How one system is measured, rate by rate: against what it uses while nobody orders."""

    running: Running
    client: Client
    still: Still
    h_s: float

    async def at(self, rate: float, seconds: float, wait_s: float) -> Run:
        """Orders at `rate` for `seconds`, until the last one has ended."""
        outcome = Outcome()
        before, client_s, began_s = await sample(self.running), orders_client.cpu_s(), time.monotonic()
        await self.client.run(rate, seconds, wait_s, outcome)
        after, took_s = await sample(self.running), time.monotonic() - began_s
        cost = Cost(before, after, took_s, len(outcome.created_s), self.still)
        return Run(rate, self.h_s, outcome, cost, orders_client.cpu_s() - client_s, took_s)


async def measure(running: Running, options: argparse.Namespace, h_s: float) -> tuple[list[Run], list[str]]:
    """(a run a rate, the targets that were missed)."""
    runs: list[Run] = []
    wrong: list[str] = []
    client = Client("127.0.0.1", running.options.ports.lb, options.seed)
    try:
        await settled(running, options.drones)
        trial = Trial(running, client, await idle(running, options.idle_seconds), h_s)
        say(f"idle: {sum(trial.still.cpu_a_s.values()):.3f} of a core")
        for rate in options.rates:
            runs.append(await trial.at(rate, options.seconds, options.wait))
            print_run(runs[-1])
            wrong += [f"at {rate:g} a second: {why}" for why in missed(runs[-1].outcome)]
            await asyncio.sleep(REST_S)
        if options.search:
            await search(trial, options)
        if options.burst:
            wrong += await burst(trial, options)
    finally:
        await client.close()
    return runs, wrong


async def search(trial: Trial, options: argparse.Namespace) -> None:
    """Upwards by SEARCH_STEP from the first rate until a target is missed, then once in between."""
    good, rate = 0.0, options.rates[0]
    while not (wrong := missed((await trial.at(rate, options.seconds, options.wait)).outcome)):
        say(f"{rate:.0f} a second: every target met")
        good, rate = rate, rate * SEARCH_STEP
        await asyncio.sleep(REST_S)
    say(f"{rate:.0f} a second: {'; '.join(wrong)}")
    say(f"the highest rate with every target met: {good:.0f} orders a second (steps of {SEARCH_STEP:g})")


async def burst(trial: Trial, options: argparse.Namespace) -> list[str]:
    """`--burst` orders a second for 30 s."""
    run = await trial.at(options.burst, 30.0, max(options.wait, 300.0))
    outcome = run.outcome
    say(
        f"burst of {options.burst:g} a second for 30 s: accepted {len(outcome.created_s)} "
        f"({len(outcome.created_s) / 30.0:.0f} a second), refused {outcome.refused or 0}, "
        f"p99 of an accepted POST {1000 * share(outcome.post_s, 0.99):.0f} ms, "
        f"slowest refusal {1000 * max(outcome.refused_s, default=0.0):.0f} ms, all ended after {run.took_s:.0f} s"
    )
    return [f"burst: {why}" for why in missed_in_a_burst(outcome)]


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    command = command_line("orders", __doc__)
    add = command.add_argument
    number = positive(float)
    add("--rates", type=number, nargs="+", default=[20.0, 100.0], help="orders a second (default: 20 100)")
    add("--seconds", type=number, default=30.0, help="for how long at each rate (default: 30)")
    add("--wait", type=number, default=120.0, help="seconds to wait for the last delivery (default: 120)")
    add("--drones", type=positive(int), default=3000)
    add("--speed", type=number, default=120.0, help="simulated seconds in a second (default: 120)")
    add("--gateways", type=positive(int), default=3)
    add("--kvfronts", type=positive(int), default=2)
    idle_help = "how long to watch the idle system (default: 15)"
    add("--idle-seconds", type=number, default=IDLE_S, help=idle_help)
    add("--search", action="store_true", help="then look for the highest rate with every target met")
    add("--burst", type=float, default=0.0, metavar="RATE", help="then offer RATE a second for 30 s")
    add("--running", type=named, metavar="HOME", help="measure the system that runs in this home")
    return command.parse_args(words)


def main(options: argparse.Namespace) -> int:
    """Exit code 0 when every target was met."""
    h_s = told_h()
    system = {name: getattr(options, name) for name in ("drones", "speed", "gateways", "kvfronts")}
    runs, wrong = on_a_system("orders", options, lambda it: measure(it, options, h_s), **system)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "orders.md").write_text(markdown(runs), encoding="utf-8")
    draw(runs, FOLDER / "orders.png")
    say(f"table and plot: {FOLDER}/orders.md, {FOLDER}/orders.png")
    for why in wrong:
        say(f"MISSED {why}")
    return 1 if wrong else 0
