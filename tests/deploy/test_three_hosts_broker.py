"""Three brokers are one: each in turn is killed while events flow, one is cut off, and every event arrives."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import pytest
from scripts.local import broker as local_broker

from dronedispatch.runtime.amqp import Bus, Message
from dronedispatch.runtime.broker_source import BrokerSource
from dronedispatch.runtime.consul import ConsulClient
from dronedispatch.runtime.settings import AmqpSettings, Secret
from support.order_stream import ask
from support.real_parts import metadata_stores
from support.three_hosts import HOSTS, Machine, ThreeHosts, tell
from support.waiting import let_run, until_true

pytestmark = [pytest.mark.real, pytest.mark.netns]

EVENTS = "delivery_probe"  # a fan-out, the work queue of its name, and one subscription: the three ways of an event
SUBSCRIPTION = f"{EVENTS}.one"
PAUSE_S = 0.01  # between two events
PROBE = "server-1"  # the host on which the probe lives


@dataclass
class Probe:
    """A service's bus with nothing behind it: what it handed over, and what came back on either way."""

    sent: int = 0
    attached: int = 0  # how often the subscription was bound
    arrived: dict[str, set[int]] = field(default_factory=lambda: {EVENTS: set(), SUBSCRIPTION: set()})

    def handler(self, queue: str) -> Callable[[Message], Awaitable[None]]:
        async def note(message: Message) -> None:
            self.arrived[queue].add(int(message.body))

        return note

    def note_attached(self) -> None:
        self.attached += 1

    def missing(self) -> dict[str, int]:
        return {queue: self.sent - len(numbers) for queue, numbers in self.arrived.items()}

    def caught_up(self) -> bool:
        return self.sent > 0 and not any(self.missing().values())


def leaders(system: ThreeHosts) -> dict[str, str]:
    """Queue of the probe -> the host whose broker leads it; hosts whose broker is down are asked in vain."""
    shown = base64.b64encode(f"operator:{system.secret('amqp/operator')}".encode()).decode()
    for machine in system.machines.values():
        try:
            status, body = ask(
                machine.host,
                f"{machine.address}:15672",
                "/api/queues/dronedispatch?disable_stats=true",
                {"Authorization": f"Basic {shown}"},
            )
        except OSError:
            continue
        if status == 200:
            found = {one["name"]: str(one.get("leader", one.get("node", ""))) for one in json.loads(body)}
            return {name: found[name].partition("@")[2] for name in (EVENTS, SUBSCRIPTION) if found.get(name)}
    return {}


def kill_broker(_system: ThreeHosts, machine: Machine) -> None:
    """kill -9 of every process of this host's broker."""
    process = machine.running.pop("rabbitmq")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=600)
    machine.host.processes.remove(process)


async def live(system: ThreeHosts, hurt: Callable[[Probe], Awaitable[None]]) -> Probe:
    """A bus found through Consul, as a gateway finds it, that tells itself numbers until `hurt` has returned."""
    consul = ConsulClient("127.0.0.1:8500", token=system.secret("consul/gateway"))
    settings = AmqpSettings(
        user="operator", vhost="dronedispatch", password=Secret(system.secret("amqp/operator"))
    )
    bus = Bus(BrokerSource(settings, consul), work_queues=(EVENTS,), fanouts=(EVENTS,))
    probe = Probe()
    bus.start()
    bus.consume(EVENTS, probe.handler(EVENTS))
    bus.subscribe(EVENTS, SUBSCRIPTION, probe.handler(SUBSCRIPTION), attached=probe.note_attached)
    ending = asyncio.Event()

    async def tell() -> None:
        while not ending.is_set():
            bus.to_fanout(EVENTS, str(probe.sent).encode())
            probe.sent += 1
            await let_run(PAUSE_S)

    try:
        await until(lambda: len(leaders(system)) == 2, "both queues are there", 30)
        await until(
            lambda: probe.attached, "the subscription is bound: what is published from now on arrives", 30
        )
        telling = asyncio.create_task(tell())
        await hurt(probe)
        ending.set()
        await telling
        await until(probe.caught_up, lambda: f"every event arrives: missing {probe.missing()}", 40)
    finally:
        await bus.stop()
        await consul.close()
    return probe


async def until(condition: Callable[[], object], what: object, ordinary_s: float) -> None:
    try:
        await until_true(partial(asyncio.to_thread, condition), "", ordinary_s)
    except AssertionError:
        raise AssertionError(f"in vain: {what() if callable(what) else what}") from None


Hurt = Callable[[ThreeHosts, Machine], object]


def start_broker(system: ThreeHosts, machine: Machine) -> None:
    system.start_broker(machine)


def cut_off(_system: ThreeHosts, machine: Machine) -> None:
    machine.host.pull()


def join_again(_system: ThreeHosts, machine: Machine) -> None:
    machine.host.plug()


async def without(system: ThreeHosts, name: str, probe: Probe, begin: Hurt, end: Hurt) -> None:
    """The broker of host `name` is hurt, events go on and arrive, and it comes back."""
    machine, sent = system.machines[name], probe.sent
    await asyncio.to_thread(begin, system, machine)
    try:
        await until(lambda: probe.sent >= sent + 300, "events go on", 30)
        await until(
            lambda: min(map(len, probe.arrived.values())) >= sent + 100,
            lambda: f"events arrive without {name}: missing {probe.missing()}",
            40,
        )
    finally:
        await asyncio.to_thread(end, system, machine)
    await until(lambda: are_one(system), "the brokers are one again", 60)


def are_one(system: ThreeHosts) -> bool:
    """By Consul's word and by the cluster's own: the one may not have noticed yet that a broker starts again."""
    system.revive_brokers()
    return system.passing().get("rabbitmq") == running_brokers(system) == len(HOSTS)


def rabbitmqctl(system: ThreeHosts, *words: str) -> subprocess.CompletedProcess[str]:
    """On the probe's host, which is never hurt by being cut off."""
    machine = system.machines[PROBE]
    program = str(local_broker.server().with_name("rabbitmqctl"))
    return machine.host.run((program, *words), system.broker_environment(machine), timeout_s=600)


def running_brokers(system: ThreeHosts) -> int:
    """By the cluster's own word; 0 where none can be had, or where one side doubts the other."""
    told = rabbitmqctl(system, "cluster_status", "--formatter", "json")
    status = json.loads(told.stdout) if told.returncode == 0 else {"running_nodes": []}
    return 0 if status.get("partitions") else len(status["running_nodes"])


def keep_metadata_in(system: ThreeHosts, store: str) -> None:
    """Khepri is a feature flag of the whole cluster, and there is no way back."""
    if store == "mnesia":
        return
    told = rabbitmqctl(system, "enable_feature_flag", "--opt-in", "khepri_db")
    assert told.returncode == 0, told.stdout + told.stderr


async def kill_each_leader(system: ThreeHosts, probe: Probe) -> list[str]:
    """Who was killed."""
    killed: list[str] = []
    for queue in (EVENTS, SUBSCRIPTION):
        killed.append((await asyncio.to_thread(leaders, system))[queue])
        await without(system, killed[-1], probe, kill_broker, start_broker)
    return killed


async def cut_one_off(system: ThreeHosts, probe: Probe) -> list[str]:
    """Who was cut off. It goes on, and confirms nothing alone; with Mnesia it starts again afterwards (`autoheal`)."""
    led_by = (await asyncio.to_thread(leaders, system)).values()
    cut = next((host for host in led_by if host != PROBE), "server-2")
    await without(system, cut, probe, cut_off, join_again)
    return [cut]


# A tick that is over just before the link is back: nobody sees that the others were away until they are there again.
LOSE_SIGHT = """
    Others = nodes(), sys:suspend(rabbit_node_monitor), [erlang:disconnect_node(Node) || Node <- Others],
    timer:sleep(300), Seen = [net_adm:ping(Node) || Node <- Others], timer:sleep(300),
    sys:resume(rabbit_node_monitor), lists:usort(Seen).
"""


async def lose_sight(system: ThreeHosts, probe: Probe) -> list[str]:
    """Who lost sight of the others for a moment. Each side has the other's metadata in doubt from then on."""
    sent = probe.sent
    told = await asyncio.to_thread(rabbitmqctl, system, "eval", LOSE_SIGHT)
    assert told.stdout.split() == ["[pong]"], told.stdout + told.stderr
    await until(lambda: are_one(system), "the brokers are one again", 60)
    await until(
        lambda: min(map(len, probe.arrived.values())) >= sent + 100,
        lambda: f"events arrive: missing {probe.missing()}",
        40,
    )
    return [PROBE]


# A store's cases one after the other: from Khepri there is no way back.
@pytest.mark.parametrize(
    ("store", "harm"),
    [(store, harm) for store in metadata_stores() for harm in (kill_each_leader, cut_one_off, lose_sight)],
)
def test_a_broker_is_killed_cut_off_or_loses_sight_of_the_others_and_no_event_is_lost(
    healthy: ThreeHosts, store: str, harm: Callable[[ThreeHosts, Probe], Awaitable[list[str]]]
) -> None:
    keep_metadata_in(healthy, store)
    harmed: list[str] = []

    async def hurt(probe: Probe) -> None:
        harmed.extend(await harm(healthy, probe))

    probe = healthy.machines[PROBE].host.inside(lambda: asyncio.run(live(healthy, hurt)))
    tell(f"{store}, {harm.__name__}: {probe.sent} events, brokers {harmed}, missing {probe.missing()}")
