"""Three hosts under orders: one is cut off, killed, brought back; gateways and replicas are updated. Nothing is lost."""

from __future__ import annotations

import json
import os
import threading

import pytest
from scripts.cluster.consul import ConsulError

from support.order_stream import OrderStream, ask
from support.three_hosts import DOOR_PORT, PUBLIC, ThreeHosts, tell
from support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.netns]

DOORS = tuple(f"{PUBLIC[name]}:{DOOR_PORT}" for name in ("server-1", "server-2"))
CUT_S = float(os.environ.get("DD_CUT_S", "3"))
"""For longer: DD_CUT_S=60 pytest tests/deploy/test_three_hosts_under_orders.py -s"""


def stream(system: ThreeHosts) -> OrderStream:
    return OrderStream(system.world, DOORS, rate_per_s=5.0)


def pause(seconds: float) -> None:
    """The length of a fault, not a wait for something."""
    threading.Event().wait(seconds)


def status_of(system: ThreeHosts, identity: str) -> str:
    status, body = ask(system.world, DOORS[0], f"/deliveries/{identity}")
    return str(json.loads(body)["status"]) if status == 200 else f"HTTP {status}"


def in_sync(system: ThreeHosts) -> bool:
    """Not while Consul cannot tell: a server that comes back may make the others elect again."""
    try:
        return all(set(slot["in_sync"]) == set(slot["assigned"]) for slot in system.view()["slots"])
    except ConsulError:
        return False


def voted(system: ThreeHosts, epoch: int) -> bool:
    """Whether the view changed after `epoch`: a replica was voted out."""
    try:
        return bool(system.view()["epoch"] > epoch)
    except ConsulError:
        return False


def go_on(orders: OrderStream) -> None:
    """Orders are accepted now, whatever is done to the hosts. The longest time without one is told, not judged."""
    before = len(orders.accepted)
    wait_until(lambda: len(orders.accepted) >= before + 20, "orders go on", 20)


def lost(system: ThreeHosts, identities: list[str]) -> list[str]:
    return [one for one in identities if status_of(system, one).startswith("HTTP")]


def test_an_order_goes_through_every_part_and_is_delivered(healthy: ThreeHosts) -> None:
    with stream(healthy) as orders:
        wait_until(lambda: orders.accepted, "an order is accepted", 20)
    first = orders.accepted[0]
    wait_until(lambda: status_of(healthy, first) == "delivered", f"{first} is delivered", 90)
    assert orders.failures == []


def test_a_host_is_cut_off_and_orders_go_on(healthy: ThreeHosts) -> None:
    victim = healthy.machines["server-3"]
    epoch = healthy.view()["epoch"]
    with stream(healthy) as orders:
        wait_until(lambda: len(orders.accepted) >= 10, "orders flow", 20)
        victim.host.pull()
        try:
            pause(CUT_S)
            wait_until(lambda: voted(healthy, epoch), "the replica that was cut off is voted out", 10)
            go_on(orders)
        finally:
            victim.host.plug()  # a failure here is not one of every test that follows
        wait_until(lambda: in_sync(healthy), "every replica is in sync again", 15)
        go_on(orders)
    tell(f"cut for {CUT_S:g} s and longer: {orders.describe()}")
    assert lost(healthy, orders.accepted) == []
    healthy.wait_healthy(60)


def test_a_host_dies_and_comes_back_and_orders_go_on(healthy: ThreeHosts) -> None:
    victim = healthy.machines["server-3"]
    epoch = healthy.view()["epoch"]
    with stream(healthy) as orders:
        wait_until(lambda: len(orders.accepted) >= 10, "orders flow", 20)
        victim.host.kill()
        wait_until(lambda: voted(healthy, epoch), "the dead replica is voted out", 20)
        go_on(orders)
        healthy.start_all_of(victim)
        wait_until(lambda: in_sync(healthy), "every replica is in sync again", 60)
        go_on(orders)
    tell(f"killed: {orders.describe()}")
    assert lost(healthy, orders.accepted) == []
    healthy.wait_healthy(60)


def test_a_rolling_update_of_gateways_and_replicas_fails_no_request(healthy: ThreeHosts) -> None:
    with stream(healthy) as orders:
        wait_until(lambda: len(orders.accepted) >= 5, "orders flow", 20)
        for machine in healthy.machines.values():  # a canary first, then the old one goes, as Nomad does it
            old = machine.running.pop("gateway")
            healthy.start_service(machine, "gateway", GATEWAY_INSTANCE=f"gateway-next-{machine.name}")
            wait_until(lambda: healthy.passing().get("gateway") == len(PUBLIC) + 1, "the canary passes", 40)
            old.terminate()
            assert old.wait(timeout=600) == 0
            machine.host.processes.remove(old)
        for machine in healthy.machines.values():  # in place, and the next when the last is in sync again
            healthy.stop_service(machine, "kvstore")
            healthy.start_service(machine, "kvstore")
            wait_until(lambda: in_sync(healthy), f"the replica of {machine.name} is in sync", 40)
            wait_until(lambda: healthy.passing().get("kvstore") == len(PUBLIC), "every replica passes", 40)
    tell(f"rolling update: {orders.describe()}")
    assert orders.failures == [], orders.describe()
    assert lost(healthy, orders.accepted) == []


def test_every_accepted_order_is_delivered_in_the_end(healthy: ThreeHosts) -> None:
    with stream(healthy) as orders:
        wait_until(lambda: len(orders.accepted) >= 10, "orders flow", 20)

    def open_orders() -> list[str]:
        status, body = ask(healthy.world, DOORS[0], "/deliveries?limit=500")
        assert status == 200
        items = json.loads(body)["deliveries"]
        return [one["id"] for one in items if one["status"] not in {"delivered", "failed", "cancelled"}]

    wait_until(lambda: not open_orders(), "no order is open", 240)
