"""Three servers, three clients, ACLs, TLS: a day in the life, under 5 orders a second (scripts/check-nomad --cluster).

Not part of the suite, for its length (some twenty minutes). Each line that it prints is a row of docs/cluster.md. Each test
finds the system as it is and leaves it so, all but the number of gateways and their release: `-k drain` runs one alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from support.nomad_cluster import DOORS, Cluster, Retrying, cluster
from support.three_hosts import HOSTS
from support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.netns]

ALL = {"kvstore": 3, "kvfront": 2, "gateway": 3, "dispatcher": 2, "drone-sim": 1, "lb": 2}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Every job is deployed, by somebody who may deploy and nothing else."""
    with cluster(tmp_path_factory.mktemp("cluster")) as made:
        version = made.nomad("version").stdout.split()[1]
        seconds = made.deploy(
            "--var", f"release={made.release('one')}", "--var", "speed=60", NOMAD_TOKEN=made.deployer()
        )
        tell(f"Nomad {version}: deploy {seconds:.0f} s")
        all_pass(made, ALL)
        yield made


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


def version_of(system: Cluster, job: str) -> int:
    return int(json.loads(system.nomad("job", "inspect", job).stdout)["Job"]["Version"])


def test_scale_by_nomads_own_command(system: Cluster) -> None:
    def scaled() -> None:
        assert system.nomad("job", "scale", "gateway", "5").returncode == 0
        all_pass(system, ALL | {"gateway": 5})

    under_orders(system, "scale to 5", scaled)


def test_rollout_and_rollback(system: Cluster) -> None:
    before, version = system.counts(), version_of(system, "gateway")
    two = f"gateway.release={system.release('two')}"
    under_orders(system, "rollout", lambda: system.deploy("gateway", "--var", two))

    def reverted() -> None:
        done = system.nomad("job", "revert", "gateway", str(version))
        assert done.returncode == 0, done.stdout + done.stderr
        passes_settled(system)

    under_orders(system, "rollback", reverted)
    all_pass(system, before)


def test_failed_rollout_is_told_and_taken_back(system: Cluster) -> None:
    def failed() -> None:
        done = system.command("server-1", "scripts/rollout", "gateway", "/nowhere")
        assert done.returncode == 1
        assert "Driver Failure" in done.stderr

    under_orders(system, "failed rollout", failed)
    passes_settled(system)  # Nomad's own way back


def test_rotation_of_the_tokens(system: Cluster) -> None:
    def rotated() -> None:
        done = system.command("server-1", "scripts/rotate-tokens")
        assert done.returncode == 0, done.stdout + done.stderr

    under_orders(system, "rotation", rotated)


def test_drain_of_a_client_and_back(system: Cluster) -> None:
    before = system.counts()
    nodes = {one["Name"]: one["ID"] for one in json.loads(system.nomad("node", "status", "-json").stdout)}

    def drained() -> None:
        done = system.nomad("node", "drain", "-enable", "-yes", "-deadline", "3m", nodes["client-3"])
        assert done.returncode == 0, done.stdout + done.stderr
        all_pass(system, before | {"kvstore": 2})
        assert system.nomad("node", "eligibility", "-enable", nodes["client-3"]).returncode == 0
        all_pass(system, before)

    under_orders(system, "drain of a client and back", drained)


def test_client_host_killed_and_back(system: Cluster) -> None:
    before, machine = system.counts(), system.machines["client-2"]

    def killed() -> None:
        machine.host.kill()
        machine.running.clear()
        began_s = time.monotonic()
        all_pass(system, before | {"kvstore": 2}, 420)
        tell(f"  its work is placed anew, all but its replica, after {time.monotonic() - began_s:.0f} s")
        system.start_consul(machine)
        system.start_nomad(machine)
        all_pass(system, before, 420)

    under_orders(system, "client host killed, and back", killed)


def test_a_server_killed_and_the_leading_one_killed(system: Cluster) -> None:
    def killed(name: str) -> None:
        asked = next(one for one in HOSTS if one != name)
        system.machines[name].running.pop("nomad").kill()
        wait_until(lambda: leading(system, asked) not in {"", name}, "another one leads", 60)
        tell(f"  {leading(system, asked)} leads")
        system.start_nomad(system.machines[name])
        wait_until(lambda: leading(system, name) != "", "it is back", 60)

    leader = leading(system, "server-1")
    other = next(name for name in HOSTS if name != leader)
    under_orders(system, f"a Nomad server killed ({other}), and back", lambda: killed(other))
    under_orders(system, f"the leading Nomad server killed ({leader}), and back", lambda: killed(leader))


def settled(system: Cluster) -> bool:
    """Whether the newest deployment of the gateways went well."""
    latest = system.nomad("job", "deployments", "-json", "-latest", "gateway").stdout
    return bool(json.loads(latest)["Status"] == "successful")


def leading(system: Cluster, asked: str) -> str:
    """The name of Nomad's leader, as one server sees it; empty where it sees none."""
    address = f"https://{system.machines[asked].address}:4646"
    peers = system.nomad("operator", "raft", "list-peers", NOMAD_ADDR=address).stdout.splitlines()
    return next((row.partition(".")[0] for row in peers if " leader " in row), "")
