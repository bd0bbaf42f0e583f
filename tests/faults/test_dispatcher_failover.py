"""Two dispatchers and two drone_sims on real parts: who is killed or stopped is replaced, and who wakes up does no harm."""

from __future__ import annotations

import json
import os
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from scripts.local.home import CHECKOUT

from support import order_checks
from support.commands import ran
from support.live_system import LiveSystem, eventually, running_system
from support.live_traffic import Traffic
from support.signals import send

pytestmark = pytest.mark.real

SLOTS = 16


@pytest.fixture(scope="module")
def pair() -> Iterator[LiveSystem]:
    two = ("--dispatchers", "2", "--drone-sims", "2")
    with running_system("failover", "--drones", "36", "--speed", "60", *two) as live:
        yield live


def health(system: LiveSystem, service: str) -> dict[str, dict[str, Any]]:
    """Instance -> its health document, of those that answer now."""
    found: dict[str, dict[str, Any]] = {}
    for entry in system.consul(f"/v1/catalog/service/{service}"):
        try:
            found[entry["ServiceID"]] = ask(f"http://127.0.0.1:{entry['ServicePort']}/health?live=1")
        except (OSError, urllib.error.URLError):
            continue
    return found


def ask(url: str) -> dict[str, Any]:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=5) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


def leaders(system: LiveSystem) -> list[str]:
    return [name for name, document in health(system, "dispatcher").items() if document["leader"]]


def leader(system: LiveSystem) -> str:
    eventually(lambda: len(leaders(system)) == 1, "one dispatcher leads", 30)
    return leaders(system)[0]


def all_ended(system: LiveSystem) -> bool:
    return all(one["ended_at"] is not None for one in system.deliveries())


def assert_sound(system: LiveSystem, traffic: Traffic) -> None:
    eventually(lambda: all_ended(system), "every order has ended", 120)
    deliveries = system.deliveries()
    assert {one["id"] for one in deliveries} >= set(traffic.seen.accepted.values())
    assert {one["status"] for one in deliveries} == {"delivered"}
    assert order_checks.wrong_lives(deliveries) == []
    assert order_checks.shared_drones(deliveries) == []
    eventually(lambda: order_checks.idle_hands(system.drones()) == [], "no drone is busy for nothing", 30)


def test_the_standby_leads_after_a_kill_of_the_leader(pair: LiveSystem) -> None:
    first = leader(pair)
    term = health(pair, "dispatcher")[first]["term"]
    pid = pair.pid(first)
    with Traffic(pair, rate_per_s=2.0) as traffic:
        with pair.nobody_restarted():  # or the killed one may be back, and lead, before the standby does
            send(pid, signal.SIGKILL)
            eventually(lambda: [name for name in leaders(pair) if name != first], "the standby leads", 20)
        eventually(lambda: len(traffic.seen.accepted) >= 3, "orders are accepted", 30)
    second = leader(pair)
    assert health(pair, "dispatcher")[second]["term"] > term
    assert_sound(pair, traffic)


def test_a_leader_that_was_stopped_and_goes_on_does_no_harm(pair: LiveSystem) -> None:
    first = leader(pair)
    with Traffic(pair, rate_per_s=2.0) as traffic:
        pid = pair.kill(first, signal.SIGSTOP)
        eventually(lambda: [name for name in leaders(pair) if name != first], "the standby leads", 30)
        os.kill(pid, signal.SIGCONT)
        eventually(lambda: len(health(pair, "dispatcher")) == 2, "both answer", 30)
    assert leader(pair) != first
    assert_sound(pair, traffic)


def test_the_drones_of_a_killed_drone_sim_fly_on(pair: LiveSystem) -> None:
    eventually(lambda: slots(pair) == {"drone-sim-1": 8, "drone-sim-2": 8}, "the slots are shared", 60)
    with Traffic(pair, rate_per_s=2.0) as traffic:
        pair.supervise("stop", "drone-sim-2")
        eventually(lambda: slots(pair).get("drone-sim-1") == SLOTS, "one has all slots", 30)
        pair.supervise("start", "drone-sim-2")
        eventually(lambda: slots(pair) == {"drone-sim-1": 8, "drone-sim-2": 8}, "shared again", 60)
        pair.kill("drone-sim-1")
        eventually(lambda: sum(slots(pair).values()) == SLOTS, "every slot is flown again", 60)
    assert_sound(pair, traffic)


def slots(system: LiveSystem) -> dict[str, int]:
    return {name: document["slots"] for name, document in health(system, "drone-sim").items()}


def test_kills_at_random_for_a_minute_lose_and_double_nothing(pair: LiveSystem) -> None:
    command = [sys.executable, "-m", "loadtests.bench.chaos", "--running", str(pair.home)]
    command += ["--minutes", "1", "--orders-per-s", "2", "--settle-s", "1500"]
    done = ran(command, cwd=CHECKOUT, timeout_s=3600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "violations none" in done.stdout
