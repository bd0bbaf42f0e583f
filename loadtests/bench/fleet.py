"""`scripts/bench fleet`: a live fleet at one tick a second through the real store, with orders arriving.

Reports how late ticks began, which phase of a tick took how long, the CPU of each process, and created -> assigned from
the stored timestamps. Starts a system of its own (an empty home), unless --running names one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil
from loadtests.bench.arrivals import Arrivals, share
from loadtests.bench.orders_cost import Sample, sample
from loadtests.bench.running import Running, command_line, on_a_system, print_table, say
from scripts.local.home import named
from scripts.local.words import positive

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import DELIVERY_PREFIX, unstamp

SETTLE_TIMEOUT_S = 120.0
PHASES = ("read", "fly", "write")
STEPS = ("read", "plan", "write")


@dataclass
class Ticks:
    """`late_ms` of every tick that was seen, of all drone_sims."""

    late_ms: list[float] = field(default_factory=list)
    seen: dict[str, int] = field(default_factory=dict)
    missed: int = 0

    async def watch(self, running: Running, every_s: float) -> None:
        """Until cancelled: ask the drone_sims several times a tick."""
        while True:
            for endpoint in running.endpoints("drone-sim"):
                health = await running.health(endpoint)
                if health is not None:
                    self._note(endpoint.id, int(str(health["ticks"])), float(str(health["tick_late_ms"])))
            await asyncio.sleep(every_s)

    def _note(self, name: str, tick: int, late_ms: float) -> None:
        before = self.seen.get(name)
        if tick != before:
            self.seen[name] = tick
            self.late_ms.append(late_ms)
            self.missed += max(0, tick - before - 1) if before is not None else 0


@dataclass
class Measured:
    """What one run has found."""

    seconds: float
    arrivals: Arrivals
    ticks: Ticks
    cpu_share: dict[str, float]
    others_share: float
    phases_ms: dict[str, float]
    steps_ms: dict[str, float]
    rounds_a_s: float
    told_a_s: float
    assign_ms: list[float]
    swaps: int
    deliver_s: list[float]
    open_orders: int


async def measure(running: Running, per_s: float, seconds: float, seed: int) -> Measured:
    """Let orders arrive for `seconds`, and watch."""
    await _fleet_is_there(running)
    arrivals = Arrivals(running, seed)
    ticks = Ticks()
    tick_s = running.options.tick_ms / 1000
    before, machine_before, began_s = await sample(running), _machine_s(), time.monotonic()
    watching = asyncio.create_task(ticks.watch(running, tick_s / 4))
    await arrivals.run(per_s, seconds)
    took_s = time.monotonic() - began_s
    after, machine_s = await sample(running), _machine_s() - machine_before
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    deliveries = await _settled(running, arrivals.accepted)
    used = {name: (after.cpu_s[name] - before.cpu_s.get(name, 0.0)) / took_s for name in sorted(after.cpu_s)}
    return Measured(
        seconds=took_s,
        arrivals=arrivals,
        ticks=ticks,
        cpu_share=used,
        others_share=machine_s / took_s - sum(used.values()),
        phases_ms={
            one: _mean_ms(before, after, "dd_sim_tick_seconds", f'{{phase="{one}"}}') for one in PHASES
        },
        steps_ms={
            one: _mean_ms(before, after, "dd_dispatch_round_seconds", f'{{step="{one}"}}') for one in STEPS
        },
        rounds_a_s=_grown(before, after, 'dd_dispatch_round_seconds_count{step="plan"}') / took_s,
        told_a_s=_grown(before, after, 'dd_dispatch_telemetry_total{news="yes"}') / took_s,
        assign_ms=[
            (unstamp(lines[0].at) - unstamp(d.created_at)) * 1000
            for d in deliveries
            if (lines := [line for line in d.history if line.to is DeliveryStatus.ASSIGNED])
        ],
        swaps=sum(line.to is DeliveryStatus.PENDING for d in deliveries for line in d.history[1:]),
        deliver_s=[unstamp(d.delivered_at) - unstamp(d.created_at) for d in deliveries if d.delivered_at],
        open_orders=sum(d.ended_at is None for d in deliveries),
    )


def _machine_s() -> float:
    """CPU seconds of everything on this machine but this client."""
    times = psutil.cpu_times()
    own = psutil.Process().cpu_times()
    # guests count as user, too
    busy = sum(times) - times.idle - times.iowait - times.guest - times.guest_nice
    return float(busy - own.user - own.system)


async def _fleet_is_there(running: Running) -> None:
    """Wait until every drone is flown and the dispatcher knows them all."""
    wanted = running.options.drones
    async with asyncio.timeout(SETTLE_TIMEOUT_S):
        while True:
            sims = [await running.health(one) for one in running.endpoints("drone-sim")]
            desks = [await running.health(one) for one in running.endpoints("dispatcher")]
            flown = sum(int(str(one.get("drones", 0))) for one in sims if one)
            known = max((int(str(one.get("drones", 0))) for one in desks if one), default=0)
            if flown >= wanted and known >= wanted:
                return
            await asyncio.sleep(0.5)


def _grown(before: Sample, after: Sample, name: str) -> float:
    return after.counted.get(name, 0.0) - before.counted.get(name, 0.0)


def _mean_ms(before: Sample, after: Sample, name: str, labels: str) -> float:
    count = _grown(before, after, f"{name}_count{labels}")
    return _grown(before, after, f"{name}_sum{labels}") / max(1.0, count) * 1000


async def _settled(running: Running, accepted: set[str]) -> list[Delivery]:
    """The accepted deliveries, once all of them are at least assigned or the time is over."""
    end_s = time.monotonic() + SETTLE_TIMEOUT_S
    while True:
        stored = await running.stored(Delivery, DELIVERY_PREFIX)
        ours = [stored[name] for name in accepted if name in stored]
        if all(d.assigned_at or d.ended_at for d in ours) or time.monotonic() > end_s:
            return ours
        await asyncio.sleep(2.0)


def report(found: Measured, running: Running) -> None:
    """Tables on the terminal."""
    options = running.options
    samples = {
        "tick lateness, ms": found.ticks.late_ms,
        "POST until 201, ms": [1000 * wait for wait in found.arrivals.waits_s],
        "created -> first assigned, ms": found.assign_ms,
        "created -> delivered, s": found.deliver_s,
    }
    rows = []
    for name, values in samples.items():
        figures = [share(values, of) for of in (0.5, 0.95, 0.99)] + [max(values, default=float("nan"))]
        rows.append((name, *(f"{figure:.1f}" for figure in figures), str(len(values))))
    title = f"{options.drones} drones, tick {options.tick_ms} ms, speed {options.speed:g}"
    print_table(("figure", "p50", "p95", "p99", "max", "count"), rows, title)
    sums = {"all": sum(found.cpu_share.values()), "not of this system": found.others_share}
    used = [(name, f"{100 * cores:.0f}") for name, cores in (found.cpu_share | sums).items()]
    print_table(("process", "%"), used, f"CPU, % of one core ({os.cpu_count()} cores)")
    phases = ", ".join(f"{name} {ms:.0f} ms" for name, ms in found.phases_ms.items())
    say(f"mean of a tick's phases: {phases}; ticks not seen: {found.ticks.missed}")
    steps = ", ".join(f"{name} {ms:.0f} ms" for name, ms in found.steps_ms.items())
    say(f"{found.rounds_a_s:.1f} rounds a second, mean of a round's steps: {steps}")
    say(
        f"{len(found.arrivals.accepted)} orders in {found.seconds:.0f} s, {found.told_a_s:.0f} telemetry records a second, "
        f"bad answers {found.arrivals.bad_answers or 'none'}, given up {found.arrivals.given_up}, "
        f"still open {found.open_orders}, assignments undone {found.swaps}"
    )


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    command = command_line("fleet", __doc__)
    add = command.add_argument
    add("--drones", type=positive(int), default=2000)
    add("--drone-sims", type=positive(int), default=1, help="processes that share the fleet")
    add("--speed", type=positive(float), default=15.0, help="simulated seconds in a second")
    add("--tick-ms", type=positive(int), default=1000)
    add("--orders-per-s", type=positive(float), default=20.0)
    add("--seconds", type=positive(float), default=120.0)
    add("--running", type=named, metavar="HOME", help="measure the system that runs in this home")
    return command.parse_args(words)


async def run(running: Running, arguments: argparse.Namespace) -> bool:
    """Whether the targets were met: p95 of lateness below 200 ms, p95 of created -> assigned below 500 ms."""
    found = await measure(running, arguments.orders_per_s, arguments.seconds, arguments.seed)
    report(found, running)
    late, assign = share(found.ticks.late_ms, 0.95), share(found.assign_ms, 0.95)
    met = late < 200 and assign < 500
    say(
        f"p95 of tick lateness {late:.0f} ms (below 200), p95 of created -> assigned {assign:.0f} ms (below 500): "
    )
    say("met" if met else "MISSED")
    return met


def main(arguments: argparse.Namespace) -> int:
    """Exit code 0 when the targets were met."""
    system = {name: getattr(arguments, name) for name in ("drones", "drone_sims", "speed", "tick_ms")}
    return 0 if on_a_system("fleet", arguments, lambda it: run(it, arguments), **system) else 1
