"""scripts/rotate-tokens on the three hosts under orders: in two minutes every process has new tokens, and no order failed.

Not part of the suite, for its length: `.venv/bin/pytest -s tests/deploy/rotation_live.py`. In Nomad's place stands a server
that does with the processes what Nomad does with allocations: the secrets of Consul's KV into files, the new ones beside the
old ones where the job has a canary, the replicas in place and one by one, each in sync before the next. Two differences:
Nomad starts a door's canary on another machine, here it takes over the socket of the old one; the dispatchers and the
fleet, whom no order waits for, are stopped together.
"""

from __future__ import annotations

import itertools
import sys
from functools import partial
from typing import Any

import pytest
from scripts.cluster import rotate
from scripts.cluster.access import SECRETS_KEY
from scripts.cluster.deploy import ORDER
from scripts.cluster.nomad import Nomad
from scripts.cluster.patience import Patience
from scripts.cluster.secrets import BEARER

from dronedispatch.testing.nomad import ScriptedNomad, scripted_nomad
from order_stream import OrderStream, ask
from three_hosts import DOOR_PORT, PLACES, PUBLIC, TOKENS, Machine, ThreeHosts, headers, wait_until

pytestmark = [pytest.mark.real, pytest.mark.netns]

JOBS = [name for name in ORDER if name != "bootstrap"]
DOORS = tuple(f"{PUBLIC[name]}:{DOOR_PORT}" for name in ("server-1", "server-2"))
TOGETHER = {"dispatcher", "drone-sim"}  # nobody waits for them while they are away for a few seconds
CLIENT = {
    "ID": "n1",
    "Name": "client-1",
    "Status": "ready",
    "Version": "1.7.7",
    "Attributes": {"consul.version": "1.18.1"},
    "Drivers": {"exec": {"Healthy": True}},
}


class Roller:
    """What Nomad does when a job's generation changes."""

    def __init__(self, system: ThreeHosts) -> None:
        self.system = system
        self.numbers = itertools.count(1)
        self.rolled: list[str] = []

    def roll(self, job: str) -> None:
        """Every instance of `job` with the tokens that Consul holds now."""
        number = next(self.numbers)
        told = self._render(job, number)
        machines = [one for one in self.system.machines.values() if job in PLACES[one.name]]
        if job == "kvstore":
            for machine in machines:
                self.system.stop_service(machine, job)
                self.system.start_service(machine, job, **told)
                self._wait(job, len(machines))
                wait_until(self._in_sync, f"the replica of {machine.name} is in sync", 60)
        elif job in TOGETHER:
            for machine in machines:
                self.system.stop_service(machine, job)
            for machine in machines:
                self.system.start_service(machine, job, **told)
            self._wait(job, len(machines))
        else:
            self._beside(job, machines, number, told)
        self.rolled.append(job)

    def _beside(self, job: str, machines: list[Machine], number: int, told: dict[str, str]) -> None:
        prefix = job.replace("-", "_").upper()
        old = {machine.name: machine.running.pop(job) for machine in machines}
        for machine in machines:
            named = {f"{prefix}_INSTANCE": f"{job}-{machine.name}-{number}"}
            if job == "lb":
                named["LB_CONTROL_PORT"] = str(18081 + number)
            self.system.start_service(machine, job, **told, **named)
        self._wait(job, 2 * len(machines))
        for machine in machines:
            process = old[machine.name]
            process.terminate()
            assert process.wait(timeout=40) == 0
            machine.host.processes.remove(process)
        self._wait(job, len(machines))

    def _render(self, job: str, number: int) -> dict[str, str]:
        machine = self.system.machines["server-1"]
        consul = machine.consul(self.system.secret("consul/nomad"))
        folder = self.system.folder / f"rendered-{number}"
        folder.mkdir()
        for name in TOKENS[job]:
            text = machine.host.inside(partial(consul.get, f"{SECRETS_KEY}{name}_token"))
            assert text is not None
            (folder / name).write_text(text, encoding="ascii")
        return {f"{name.upper()}_TOKEN_FILE": str(folder / name) for name in TOKENS[job]}

    def _wait(self, job: str, count: int) -> None:
        wait_until(lambda: self.system.passing().get(job) == count, f"{count} of {job} pass", 60)

    def _in_sync(self) -> bool:
        return all(set(slot["in_sync"]) == set(slot["assigned"]) for slot in self.system.view()["slots"])


def stand_in(server: ScriptedNomad, roller: Roller) -> None:
    """Answers as Nomad, and rolls before it answers that a job is registered."""
    server.on("GET", "/v1/nodes", [CLIENT])
    server.on("GET", "/v1/node/n1", CLIENT)
    server.on("POST", "/v1/jobs", {"EvalID": "e1"})
    server.on("GET", "/v1/evaluation/e1", {"Status": "complete"})
    for name in JOBS:
        meta = {"release": "current", "generation": "1"}
        server.on("GET", f"/v1/job/{name}", {"ID": name, "Version": 0, "Meta": meta})
        server.on("POST", f"/v1/job/{name}/plan", {"Diff": {"Type": "Edited"}, "JobModifyIndex": 3})
        server.on("GET", f"/v1/job/{name}/deployment", {"JobVersion": 0, "Status": "successful"})
        server.on("GET", f"/v1/job/{name}/allocations", [])
    scripted = server.answer

    def answer(method: str, path: str, body: Any) -> tuple[int, Any]:
        if (method, path) == ("POST", "/v1/jobs"):
            roller.roll(body["Job"]["ID"])
        return scripted(method, path, body)

    server.answer = answer  # type: ignore[method-assign]


def accepted(system: ThreeHosts, token: str) -> set[int]:
    """What every instance's metrics page answers to `token`."""
    inside = system.machines["server-1"].host
    found = [
        one["Service"]
        for job in JOBS
        for one in system.ask_consul("server-1", f"/v1/health/service/{job}?passing")
    ]
    assert len(found) == sum(len(services) for services in PLACES.values())
    return {
        ask(inside, f"{one['Address']}:{one['Meta']['metrics_port']}", "/metrics", dict(headers(token)))[0]
        for one in found
    }


def test_every_token_is_new_the_old_ones_are_refused_and_no_order_failed(healthy: ThreeHosts) -> None:
    roller = Roller(healthy)
    machine = healthy.machines["server-1"]
    consul = machine.consul(healthy.secret("consul/management"))
    old = {name: healthy.secret(name) for name in BEARER}
    said: list[str] = []

    def rotated() -> None:
        with scripted_nomad() as server:
            stand_in(server, roller)
            nomad = Nomad(server.address, timeout_s=300.0)
            rotate.rotate(consul, nomad, None, Patience(300, 0.05), said.append)

    assert accepted(healthy, old["metrics_token"]) == {200}
    with OrderStream(healthy.world, DOORS, rate_per_s=5.0) as orders:
        wait_until(lambda: orders.accepted, "orders flow", 30)
        machine.host.inside(rotated)
        at_the_end = len(orders.accepted)
        wait_until(lambda: len(orders.accepted) >= at_the_end + 10, "orders flow on", 30)
    sys.stdout.write(f"\n{orders.describe()}\n")
    new = {name: machine.host.inside(partial(consul.get, f"{SECRETS_KEY}{name}")) for name in BEARER}
    for name, token in new.items():  # what the next test and the next process read
        assert token is not None
        assert token not in {old[name], ""}
        (healthy.keys / name).write_text(token, encoding="ascii")
    assert roller.rolled == JOBS * 3
    assert orders.failures == [], orders.describe()
    assert accepted(healthy, str(new["metrics_token"])) == {200}
    assert accepted(healthy, old["metrics_token"]) == {401}
    replica = next(iter(healthy.ask_consul("server-1", "/v1/health/service/kvstore?passing")))["Service"]
    address = f"{replica['Address']}:{replica['Port']}"
    assert ask(machine.host, address, "/kv/anything", dict(headers(old["store_token"])))[0] == 401
    assert ask(machine.host, address, "/kv/anything", dict(headers(str(new["store_token"]))))[0] != 401
    for token, refused in ((old["operator_token"], True), (str(new["operator_token"]), False)):
        sent = {"Content-Length": "0", **headers(token)}
        assert (ask(healthy.world, DOORS[0], "/zones", sent, "PUT")[0] == 401) is refused
