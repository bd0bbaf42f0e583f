"""A running system is changed under orders: scaled, rolled, rolled back, its tokens rotated. No order is refused or lost."""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from scripts.cluster.secrets import BEARER

from support.nomad_machine import DOOR, Machine, fetch
from support.order_stream import OrderStream

pytestmark = [pytest.mark.real, pytest.mark.netns]


class Here:
    """Where this process is already: the stream's threads have no other network to enter."""

    def enter(self) -> None:
        """Nothing to do."""


@contextmanager
def orders(machine: Machine, what: str) -> Iterator[OrderStream]:
    """5 orders a second around a change, of which none may be refused, and each is still there at the end."""
    with OrderStream(Here(), (DOOR,), rate_per_s=5.0) as stream:  # type: ignore[arg-type]
        machine.until(lambda: len(stream.accepted) >= 10, "orders flow", 30)
        yield stream
        before = len(stream.accepted)
        machine.until(lambda: len(stream.accepted) >= before + 10, "orders flow on", 30)
    sys.stdout.write(f"\n{what}: {stream.describe()}\n")
    assert stream.failures == [], stream.describe()
    lost = [one for one in stream.accepted if fetch(f"http://{DOOR}/deliveries/{one}") is None]
    assert lost == []


def test_scaling_by_nomads_own_command_and_a_later_plan_keeps_it(system: Machine) -> None:
    with orders(system, "scale to 5 and back"):
        done = system.nomad("job", "scale", "gateway", "5")
        assert done.returncode == 0, done.stdout + done.stderr
        system.until(lambda: system.passing("gateway") == 5, "five gateways pass", 120)
        assert system.script("deploy", "--plan", "gateway").stdout.strip() == "gateway: no change"
        assert system.nomad("job", "scale", "gateway", "3").returncode == 0
        system.until(lambda: system.passing("gateway") == 3, "three gateways pass", 120)


def test_a_rollout_and_a_revert_refuse_nobody(system: Machine) -> None:
    system.release("second")
    with orders(system, "rollout and revert of gateways"):
        done = system.script("rollout", "gateway", "second")
        assert done.returncode == 0, done.stdout + done.stderr
        assert release_of(system, "gateway") == "/opt/dronedispatch/second"
        version = json.loads(system.nomad("job", "inspect", "gateway").stdout)["Job"]["Version"]
        done = system.nomad("job", "revert", "gateway", str(version - 1), timeout_s=300)
        assert done.returncode == 0, done.stdout + done.stderr
        assert release_of(system, "gateway") == "/opt/dronedispatch/current"


def release_of(machine: Machine, job: str) -> str:
    meta = json.loads(machine.nomad("job", "inspect", job).stdout)["Job"]["Meta"]
    return str(json.loads(meta["variables"])["release"])


def test_replicas_are_rolled_one_by_one_and_refuse_nobody(system: Machine) -> None:
    with orders(system, "rollout of the replicas"):
        done = system.script("rollout", "kvstore", "second")
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_replica_that_is_killed_comes_back_and_nobody_is_refused(system: Machine) -> None:
    with orders(system, "kill -9 of a replica"):
        victim = system.running("kvstore")[0]["ID"]
        assert system.nomad("alloc", "signal", "-s", "SIGKILL", "-task", "kvstore", victim).returncode == 0
        system.until(lambda: system.passing("kvstore") < 3, "it is missed", 30)
        system.until(lambda: system.passing("kvstore") == 3, "it is back", 90)


def test_tokens_are_rotated_and_the_old_ones_refused(system: Machine) -> None:
    def shown(job: str) -> dict[str, str]:
        return dict(json.loads(system.nomad("var", "get", "-out=json", f"nomad/jobs/{job}").stdout)["Items"])

    old = shown("gateway")
    # No orders: the one door of one machine has a fixed port, and nobody is served while it is replaced.
    done = system.script("rotate-tokens", timeout_s=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    new = shown("gateway")
    assert {name for name in old if old[name] != new[name]} == set(BEARER) & set(old)
    metrics = f"http://{DOOR.replace('8080', '8081')}/metrics"
    assert status(metrics, old["metrics_token"]) == 401
    assert status(metrics, new["metrics_token"]) == 200


def status(url: str, token: str) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as exc:
        return exc.code
