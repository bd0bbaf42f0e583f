"""Three servers, three clients, ACLs, TLS: a day in the life, under 5 orders a second (scripts/check-nomad --cluster).

Not part of the suite, for its length (some twenty minutes). Each line that it prints is a row of docs/cluster.md.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.nomad_cluster import DOORS, Cluster, Retrying, cluster
from support.three_hosts import HOSTS
from support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.netns]

ALL = {"kvstore": 3, "kvfront": 2, "gateway": 3, "dispatcher": 2, "drone-sim": 1, "lb": 2}
MANY = ALL | {"gateway": 5}


def tell(line: str) -> None:
    sys.stdout.write(f"\n{line}\n")
    sys.stdout.flush()


def under_orders(system: Cluster, what: str, change: Callable[[], object]) -> None:
    """One change under 5 orders a second, each of which must be accepted and still be there."""
    with Retrying(system.world, DOORS, rate_per_s=5.0) as orders:
        wait_until(lambda: len(orders.accepted) >= 10, "orders flow", 60)
        began_s = time.monotonic()
        change()
        seconds = time.monotonic() - began_s
        before = len(orders.accepted)
        wait_until(lambda: len(orders.accepted) >= before + 10, "orders flow on", 60)
    slowest_s = max(one.ended_s - one.began_s for one in orders.tries)
    refused, lost = len(orders.failures), system.lost(orders.accepted)
    count = f"{len(orders.accepted)} accepted, {refused} refused, {len(lost)} lost"
    tell(f"{what}: {seconds:.0f} s; {count}, slowest order {slowest_s:.1f} s")
    assert refused == 0, orders.describe()
    assert lost == []


def all_pass(system: Cluster, wanted: dict[str, int], deadline_s: float = 240) -> None:
    wait_until(lambda: system.counts() == wanted, f"{wanted} pass", deadline_s)


def passes_settled(system: Cluster) -> None:
    wait_until(lambda: settled(system), "the newest deployment is over, and well", 300)


def scaled(system: Cluster) -> None:
    assert system.nomad("job", "scale", "gateway", "5").returncode == 0
    all_pass(system, MANY)


def failed(system: Cluster) -> None:
    done = system.command("server-1", "scripts/rollout", "gateway", "/nowhere")
    assert done.returncode == 1
    assert "Driver Failure" in done.stderr


def reverted(system: Cluster) -> None:
    passes_settled(system)  # Nomad's own way back from the failed one
    version = json.loads(system.nomad("job", "inspect", "gateway").stdout)["Job"]["Version"]
    done = system.nomad("job", "revert", "gateway", str(version - 3))
    assert done.returncode == 0, done.stdout + done.stderr
    passes_settled(system)


def rotated(system: Cluster) -> None:
    done = system.command("server-1", "scripts/rotate-tokens")
    assert done.returncode == 0, done.stdout + done.stderr


def drained(system: Cluster) -> None:
    nodes = {one["Name"]: one["ID"] for one in json.loads(system.nomad("node", "status", "-json").stdout)}
    done = system.nomad("node", "drain", "-enable", "-yes", "-deadline", "3m", nodes["client-3"])
    assert done.returncode == 0, done.stdout + done.stderr
    all_pass(system, MANY | {"kvstore": 2})
    assert system.nomad("node", "eligibility", "-enable", nodes["client-3"]).returncode == 0
    all_pass(system, MANY)


def host_killed(system: Cluster) -> None:
    machine = system.machines["client-2"]
    machine.host.kill()
    machine.running.clear()
    began_s = time.monotonic()
    all_pass(system, MANY | {"kvstore": 2}, 420)
    tell(f"  its work is placed anew, all but its replica, after {time.monotonic() - began_s:.0f} s")
    system.start_consul(machine)
    system.start_nomad(machine)
    all_pass(system, MANY, 420)


def leader_killed(system: Cluster) -> None:
    leader = leading(system, "server-1")
    other = next(name for name in HOSTS if name != leader)
    system.machines[leader].running.pop("nomad").kill()
    wait_until(lambda: leading(system, other) not in {"", leader}, "another one leads", 60)
    tell("  another server leads")
    system.start_nomad(system.machines[leader])
    wait_until(lambda: leading(system, leader) != "", "it is back", 60)


def test_a_day_in_the_life_of_a_cluster(tmp_path: Path) -> None:
    with cluster(tmp_path) as system:
        one, two = (str(tmp_path / "releases" / name) for name in ("one", "two"))
        version = system.nomad("version").stdout.split()[1]
        deployer = system.deployer()  # may deploy, and nothing else
        seconds = system.deploy("--var", f"release={one}", "--var", "speed=60", NOMAD_TOKEN=deployer)
        tell(f"Nomad {version}: deploy {seconds:.0f} s")
        all_pass(system, ALL)
        under_orders(system, "scale to 5", lambda: scaled(system))
        under_orders(system, "rollout", lambda: system.deploy("gateway", "--var", f"gateway.release={two}"))
        under_orders(system, "failed rollout", lambda: failed(system))
        under_orders(system, "rollback", lambda: reverted(system))
        all_pass(system, MANY)
        under_orders(system, "rotation", lambda: rotated(system))
        under_orders(system, "drain of a client and back", lambda: drained(system))
        under_orders(system, "client host killed, and back", lambda: host_killed(system))
        under_orders(system, "the leading Nomad server killed, and back", lambda: leader_killed(system))


def settled(system: Cluster) -> bool:
    """Whether the newest deployment of the gateways went well."""
    latest = system.nomad("job", "deployments", "-json", "-latest", "gateway").stdout
    return bool(json.loads(latest)["Status"] == "successful")


def leading(system: Cluster, asked: str) -> str:
    """The name of Nomad's leader, as one server sees it; empty where it sees none."""
    address = f"https://{system.machines[asked].address}:4646"
    peers = system.nomad("operator", "raft", "list-peers", NOMAD_ADDR=address).stdout.splitlines()
    return next((row.partition(".")[0] for row in peers if " leader " in row), "")
