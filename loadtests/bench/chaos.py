"""`scripts/bench chaos`: kill -9 and other faults at random under orders, judged by an independent checker.

Orders arrive all the while; every 5 to 10 s one process of the system is killed: a dispatcher, a drone_sim, a kvstore, a
kvfront, a gateway, RabbitMQ. With --fault also: a process is frozen, what a replica answers is dropped, an exchange is
deleted, a data file is damaged, a replica's disk is full, Consul is put back, the machine's clock is set
(chaos_faults.py); `all` is every one but the last. A copy is taken only while every slot has all of its own
(chaos_copies.py). The longest time without a 201 by kind, and what the health page said beside what was true, are told.

Then the system gets time to finish. The checker reads events and the store, never the dispatcher: accepted and lost, flown
twice, stuck, busy without a delivery, on two deliveries, battery below zero.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import aiormq.exceptions
import uvloop
from loadtests.bench.arrivals import Arrivals, share
from loadtests.bench.chaos_copies import may_take
from loadtests.bench.chaos_faults import FAULTS, clean_up, one_of, wanted_faults
from loadtests.bench.chaos_health import Page, Spell, longest_gaps, said_beside_truth
from loadtests.bench.running import Running, command_line, opened, say, start, stop, words_of
from scripts.local.home import named
from scripts.local.words import positive

from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.documents import DELIVERY_PREFIX, DRONE_PREFIX, Unreadable, decode, drone_key
from dronedispatch.fleet.drones import Drone
from dronedispatch.fleet.messages import (
    DELIVERY_STATUS,
    DRONE_ORDERS,
    DRONE_UPDATES,
    DroneOrdersChanged,
    DroneUpdates,
)
from dronedispatch.kv.client import Get, Item
from dronedispatch.kv.errors import KVError
from dronedispatch.runtime import logs
from dronedispatch.runtime.amqp import Bus, Message
from dronedispatch.runtime.broker_source import BrokerSource
from dronedispatch.testing.flow_checker import FlowChecker, FlowVerdict

KINDS = ("dispatcher", "drone-sim", "kvstore", "kvfront", "gateway", "rabbitmq")
LOOK_EVERY_S = 2.0


@dataclass
class Witness:
    """Feeds the checker: with every event, and with the drones' records whenever they may have changed."""

    running: Running
    checker: FlowChecker
    looks: int = 0
    failed_looks: int = 0
    _changed: set[str] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def listen(self, bus: Bus) -> None:
        """Subscribe to what everybody may hear."""
        bus.subscribe(DRONE_UPDATES, "witness.updates", self._updated)
        bus.subscribe(DRONE_ORDERS, "witness.orders", self._ordered)

    async def _updated(self, message: Message) -> None:
        for told in decode(DroneUpdates, message.body).drones:
            self.checker.see_telemetry(told)

    async def _ordered(self, message: Message) -> None:
        self._changed.update(decode(DroneOrdersChanged, message.body).drone_ids)
        self._wake.set()

    async def look(self) -> None:
        """Until cancelled: read changed drones at once, and everything every LOOK_EVERY_S."""
        due_s = 0.0
        while True:
            try:
                await self._read_changed()
                if time.monotonic() >= due_s:
                    await self._read_all()
                    due_s = time.monotonic() + LOOK_EVERY_S
            except KVError:  # the store is being killed: what was missed is looked at again
                self.failed_looks += 1
            try:
                async with asyncio.timeout(0.5):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _read_changed(self) -> None:
        self._wake.clear()
        changed, self._changed = self._changed, set()
        results = await self.running.kv.batch([Get(drone_key(name)) for name in sorted(changed)])
        for name, result in zip(sorted(changed), results, strict=True):
            if isinstance(result, Item):
                try:
                    self.checker.see_drone(decode(Drone, result.value))
                except Unreadable as exc:
                    say(f"unreadable {result.key}: {exc}")
            elif isinstance(result, KVError):
                self._changed.add(name)

    async def _read_all(self) -> None:
        for drone in (await self.running.stored(Drone, DRONE_PREFIX)).values():
            self.checker.see_drone(drone)
        page = await self.running.kv.scan(tag="open=1", limit=2000)
        await self.look_for_pairs(decode(Delivery, item.value) for item in page.items)
        self.looks += 1

    async def look_for_pairs(self, deliveries: Iterable[Delivery]) -> None:
        """Of what was read while the system went on: a drone on two deliveries may be one that has changed in between."""
        for ids in self.checker.suspects(deliveries).values():
            self.checker.confirm_twice(await self._read(ids), await self._read(ids))

    async def _read(self, ids: Sequence[str]) -> list[Delivery]:
        items = [await self.running.kv.get(DELIVERY_PREFIX + name) for name in ids]
        return [decode(Delivery, item.value) for item in items if item is not None]


class Tormentor:
    """One kill -9 of `kinds`, or one of `faults`, every `low`..`high` seconds; each waits until the last one is undone."""

    def __init__(self, running: Running, arguments: argparse.Namespace) -> None:
        self._running = running
        self._rng = Random(arguments.seed)
        self._kinds: tuple[str, ...] = tuple(arguments.kill)
        self._faults = wanted_faults(arguments.fault, root=os.geteuid() == 0)
        self._between: tuple[float, float] = tuple(arguments.every)
        self.done: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.spared: Counter[str] = Counter()
        self.spells: list[Spell] = []

    async def run(self, seconds: float) -> None:
        """For `seconds`."""
        end_s = time.monotonic() + seconds
        while True:
            await asyncio.sleep(self._rng.uniform(*self._between))
            began_s = time.monotonic()
            if began_s >= end_s:
                return
            kind = self._rng.choice((*self._kinds, *self._faults))
            try:
                name = await self._torment(kind)
            except (OSError, KVError, aiormq.exceptions.AMQPError) as exc:
                self.failed[kind] += 1
                say(f"{kind} came to nothing: {exc}")
                continue
            if not name:
                self.spared[kind] += 1
                continue
            self.done[name if kind in KINDS else f"{kind} {name}"] += 1
            self.spells.append(
                Spell(f"kill {kind}" if kind in KINDS else kind, name, began_s, time.monotonic())
            )
            say(f"{max(0.0, end_s - time.monotonic()):5.0f} s left: {kind} {name}")

    def tell(self) -> None:
        """What was done, and what was not."""
        say(f"killed and done: {dict(sorted(self.done.items()))}")
        if self.spared:
            say(f"not done, since a copy was missing already or nobody was there: {dict(self.spared)}")
        if self.failed:
            say(f"came to nothing: {dict(self.failed)}")

    async def _torment(self, kind: str) -> str:
        """Whom it hit; empty: nobody of that kind runs, or its copies are needed."""
        if kind not in KINDS:
            return await FAULTS[kind](self._running, self._rng)
        pids = await asyncio.to_thread(self._running.pids)
        name = one_of(pids, kind, self._rng)
        if not name or (kind == "kvstore" and await may_take(self._running) is not None):
            return ""
        os.kill(pids[name], signal.SIGKILL)
        return name


async def trial(running: Running, arguments: argparse.Namespace) -> bool:
    """Whether the verdict is clean."""
    checker = FlowChecker()
    witness = Witness(running, checker)
    bus = Bus(
        BrokerSource(running.amqp, running.consul),
        work_queues=(DRONE_UPDATES,),
        fanouts=(DRONE_UPDATES, DRONE_ORDERS, DELIVERY_STATUS),
    )
    bus.start()
    witness.listen(bus)
    looking = asyncio.create_task(witness.look())
    arrivals = Arrivals(running, arguments.seed)
    tormentor, page = Tormentor(running, arguments), Page()
    watching = asyncio.create_task(page.watch(running))
    seconds = arguments.minutes * 60
    await asyncio.gather(arrivals.run(arguments.orders_per_s, seconds), tormentor.run(seconds))
    for delivery_id in arrivals.accepted:
        checker.accept(delivery_id)
    say(f"{len(arrivals.accepted)} orders accepted; waiting until they have ended")
    verdict = await _judged(running, witness, arguments.settle_s)
    for task in (looking, watching):
        task.cancel()
    await asyncio.gather(looking, watching, return_exceptions=True)
    await bus.stop()
    tormentor.tell()
    for kind, gap_s in sorted(longest_gaps(arrivals.answered_s, tormentor.spells).items()):
        say(f"longest time without a 201 after {kind}: {gap_s:.1f} s")
    for kind, said in sorted(said_beside_truth(page.looks, tormentor.spells).items()):
        say(f"health page while {kind}: " + "; ".join(f"{n} x {words}" for words, n in said.most_common(8)))
    waits_ms = [1000 * wait for wait in arrivals.waits_s]
    say(
        f"POST until 201, repeats included: p50 {share(waits_ms, 0.5):.0f} ms, p95 {share(waits_ms, 0.95):.0f} ms; "
        f"bad answers {arrivals.bad_answers or 'none'}, given up {arrivals.given_up}"
    )
    say(f"looked {witness.looks} times at the store, {witness.failed_looks} times in vain")
    say(str(verdict))
    for name, found in verdict.violations.items():
        for one in found[:10]:
            say(f"  {name}: {one}")
    for one in verdict.failed[:10]:
        say(f"  failed: {one}")
    await _tell_lives(running, verdict)
    enough = bool(witness.looks and verdict.observed and verdict.accepted)
    if not enough:
        say("nothing was observed: this run proves nothing")
    return enough and not verdict.violations and not verdict.failed


async def _tell_lives(running: Running, verdict: FlowVerdict) -> None:
    """The histories of the deliveries that something is wrong with."""
    wrong = {one.partition(":")[0] for found in verdict.violations.values() for one in found}
    for name in sorted({*wrong, *(one.partition(":")[0] for one in verdict.failed)})[:10]:
        item = await running.kv.get(DELIVERY_PREFIX + name)
        if item is not None:
            for line in decode(Delivery, item.value).history:
                say(f"  {name} {line.at} {line.to} by {line.drone_id}: {line.cause}")


async def _judged(running: Running, witness: Witness, settle_s: float) -> FlowVerdict:
    """The verdict once nothing is wrong any more, or when the time is over."""
    end_s = time.monotonic() + settle_s
    while True:
        try:
            deliveries = await running.stored(Delivery, DELIVERY_PREFIX)
            drones = await running.stored(Drone, DRONE_PREFIX)
            await witness.look_for_pairs(deliveries.values())
        except KVError as exc:
            if time.monotonic() > end_s:
                raise
            say(f"the store does not answer: {exc}")
            await asyncio.sleep(2.0)
            continue
        verdict = witness.checker.verdict(deliveries, drones, snapshot=False)
        if not (verdict.stuck or verdict.busy_without_delivery) or time.monotonic() > end_s:
            return verdict
        await asyncio.sleep(2.0)


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    command = command_line("chaos", __doc__)
    command.set_defaults(port_base=28480)  # its hours may pass beside another benchmark
    add = command.add_argument
    add("--minutes", type=positive(float), default=10.0)
    add("--drones", type=positive(int), default=2000)
    add("--speed", type=positive(float), default=15.0, help="simulated seconds in a second")
    add("--orders-per-s", type=positive(float), default=20.0)
    add("--dispatchers", type=positive(int), default=2)
    add("--drone-sims", type=positive(int), default=2, help="processes that share the fleet")
    between = "seconds between two kills"
    add("--every", type=positive(float), nargs=2, default=(5.0, 10.0), metavar="S", help=between)
    add("--kill", nargs="+", choices=KINDS, default=list(KINDS), help="what may be killed")
    add(
        "--fault",
        nargs="+",
        choices=["all", *FAULTS],
        default=[],
        help="what else may happen (one-way and full-disk need root and iptables, tmpfs); clock sets the clock of this "
        "machine, needs root, and is not part of all",
    )
    add("--settle-s", type=float, default=300.0, help="how long the orders have to end afterwards")
    add("--keep", action="store_true", help="when something is wrong, leave logs and data behind")
    add("--running", type=named, metavar="HOME", help="torment the system that runs in this home")
    return command.parse_args(words)


async def run(arguments: argparse.Namespace, home: Path) -> bool:
    """One trial on the system of `home`."""
    async with opened(home) as running:
        return await trial(running, arguments)


def main(arguments: argparse.Namespace) -> int:
    """Exit code 0 when nothing was violated."""
    logs.configure("chaos", "chaos", "error")
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # a broker that dies is what we are here for
    if arguments.running is not None:
        return 0 if uvloop.run(run(arguments, arguments.running)) else 1
    place = Path(tempfile.mkdtemp(prefix="dd-chaos-"))
    clean = False
    try:
        clean = _on_a_system_of_its_own(arguments, place / "home")
        return 0 if clean else 1
    finally:
        if clean or not arguments.keep:
            shutil.rmtree(place, ignore_errors=True)
        else:
            say(f"logs and data: {place / 'home'}")


def _on_a_system_of_its_own(arguments: argparse.Namespace, home: Path) -> bool:
    try:
        names = ("drones", "speed", "dispatchers", "drone_sims")
        start(home, words_of(arguments, **{name: getattr(arguments, name) for name in names}))
        return uvloop.run(run(arguments, home))
    finally:
        stop(home)
        clean_up(home)


if __name__ == "__main__":
    sys.exit(main(parsed(sys.argv[1:])))
