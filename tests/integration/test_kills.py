"""kill -9 of any one process, under light traffic: passing again, nothing lost, nothing doubled."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import order_checks
from support.live_orders import nobody_is_idly_busy
from support.live_system import LiveSystem, eventually
from support.live_traffic import Traffic

pytestmark = pytest.mark.real

RATE_PER_S = 2.0
GATEWAYS = ("gateway-1", "gateway-2", "gateway-3")
STORE = ("kvstore-1", "kvstore-2", "kvstore-3", "kvfront-1", "kvfront-2")
OURS = (*STORE, *GATEWAYS, "dispatcher-1", "drone-sim-1", "lb-1")
# The lb sends a request with a key, and a read, to another gateway; orders need none of the others at once.
UNNOTICED = {*GATEWAYS, "dispatcher-1", "drone-sim-1", "rabbitmq", "consul"}
# A store that this machine starves of its time says so in a 503, whoever was killed: no kill of these can be its cause.
SLOW_STORE = "the replicas did not agree in time"
ORDINARY_S = dict.fromkeys(OURS, 10.0) | {"rabbitmq": 30.0, "consul": 30.0}


@pytest.fixture(scope="module")
def traffic(system: LiveSystem) -> Iterator[Traffic]:
    with Traffic(system, rate_per_s=RATE_PER_S, seed=100) as running:
        yield running


def test_every_process_that_status_lists_is_killed_here(system: LiveSystem) -> None:
    assert set(system.status()) == set(ORDINARY_S)


@pytest.mark.parametrize("name", sorted(ORDINARY_S))
def test_a_killed_process_passes_again(healthy: LiveSystem, traffic: Traffic, name: str) -> None:
    failures = len(traffic.seen.failures)
    pid = healthy.kill(name)

    def back() -> bool:
        row = healthy.rows()[name]
        return bool(row["healthy"] and row["pid"] and row["pid"] != pid)

    eventually(back, f"{name} passes again", ORDINARY_S[name])
    # Of every client: the connection that one of them kept to a killed door breaks at its next use, and not before.
    known = traffic.accepted_by_client()

    def all_accepted() -> bool:
        return all(count > known[client] for client, count in traffic.accepted_by_client().items())

    eventually(all_accepted, "the orders of every client are accepted again", 30)
    if name in UNNOTICED:
        assert [one for one in traffic.seen.failures[failures:] if SLOW_STORE not in one] == []


def test_after_all_kills_every_accepted_order_is_delivered_once(
    healthy: LiveSystem, traffic: Traffic
) -> None:
    traffic.__exit__()
    seen = traffic.seen
    assert seen.given_up == []
    assert len(seen.accepted) > 20

    def undelivered() -> list[str]:
        status = {one["id"]: one["status"] for one in healthy.deliveries()}
        return [one for one in seen.accepted.values() if status.get(one) != "delivered"]

    eventually(lambda: not undelivered(), "every accepted order is delivered", 90)
    stored = healthy.stored("delivery:")
    assert len(set(seen.accepted.values())) == len(seen.accepted)
    assert order_checks.wrong_lives(stored.values()) == []
    assert order_checks.shared_drones(stored.values()) == []
    # Not that no battery is empty: while the dispatcher is dead, drones fly on, at this speed an hour in a minute.
    nobody_is_idly_busy(healthy)
