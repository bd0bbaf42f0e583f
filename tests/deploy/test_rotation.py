"""scripts/rotate-tokens: three rolling updates, in which every process always accepts what the others show."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from scripts.cluster import rotate
from scripts.cluster.consul import Consul
from scripts.cluster.deploy import OPTIONAL, ORDER
from scripts.cluster.nomad import Nomad
from scripts.cluster.patience import Patience
from scripts.cluster.secrets import BEARER
from scripts.cluster.submit import NotHealthy

from dronedispatch.testing.nomad import ScriptedNomad, scripted_nomad

RUNNING = ("kvstore", "gateway")
CLIENT = {"ID": "n1", "Name": "client-1", "Status": "ready", "Version": "1.7.7"}
DRIVERS = {"exec": {"Healthy": True}}


@pytest.fixture
def both() -> Iterator[ScriptedNomad]:
    """One server that answers as Nomad and as Consul."""
    with scripted_nomad() as server:
        server.on("GET", "/v1/nodes", [CLIENT])
        server.on(
            "GET", "/v1/node/n1", CLIENT | {"Attributes": {"consul.version": "1.18.1"}, "Drivers": DRIVERS}
        )
        server.on("POST", "/v1/jobs", {"EvalID": "e1"})
        server.on("GET", "/v1/evaluation/e1", {"Status": "complete"})
        for name in RUNNING:
            server.on(
                "GET",
                f"/v1/job/{name}",
                {"ID": name, "Version": 0, "Meta": {"release": "0.2.0", "generation": "4"}},
            )
            server.on("POST", f"/v1/job/{name}/plan", {"Diff": {"Type": "Edited"}, "JobModifyIndex": 3})
            server.on("GET", f"/v1/job/{name}/deployment", {"JobVersion": 0, "Status": "successful"})
            server.on("GET", f"/v1/job/{name}/allocations", [])
        for name in BEARER:
            value = base64.b64encode(f"old-{name}".encode()).decode()
            server.on("GET", f"/v1/kv/dronedispatch/secrets/{name}?consistent", [{"Value": value}])
            server.on("PUT", f"/v1/kv/dronedispatch/secrets/{name}", True)
        yield server


def rotated(server: ScriptedNomad) -> list[str]:
    lines: list[str] = []
    rotate.rotate(Consul(server.address), Nomad(server.address), None, Patience(5, 0.01), lines.append)
    return lines


@pytest.mark.parametrize("name", BEARER)
def test_the_old_and_the_new_token_overlap_in_every_step(both: ScriptedNomad, name: str) -> None:
    rotated(both)
    first, second, third = both.bodies("PUT", f"/v1/kv/dronedispatch/secrets/{name}")
    assert first.split()[0] == second.split()[1] == f"old-{name}"
    assert first.split()[1] == second.split()[0] == third
    assert len(third) >= 32


def test_each_step_rolls_every_running_job_under_a_new_generation_and_the_same_release(
    both: ScriptedNomad,
) -> None:
    rotated(both)
    assert [body["Job"]["ID"] for body in both.bodies("POST", "/v1/jobs")] == [*RUNNING] * 3
    texts = [str(body["JobHCL"]) for body in both.bodies("POST", "/v1/jobs/parse")]
    generations = [
        text.split('variable "generation" {')[1].split("default     = ")[1].split("\n")[0] for text in texts
    ]
    assert generations == ["5", "5", "6", "6", "7", "7"]
    assert all('default     = "0.2.0"' in text for text in texts)


def test_a_job_that_does_not_become_healthy_stops_the_rotation_while_both_tokens_are_accepted(
    both: ScriptedNomad,
) -> None:
    both.on(
        "GET",
        "/v1/job/gateway/deployment",
        {"JobVersion": 0, "Status": "failed", "StatusDescription": "unhealthy"},
    )
    with pytest.raises(NotHealthy, match="gateway: unhealthy"):
        rotated(both)
    (only,) = both.bodies("PUT", f"/v1/kv/dronedispatch/secrets/{BEARER[0]}")
    assert only.split()[0] == f"old-{BEARER[0]}"


def test_jobs_without_tokens_are_left_alone() -> None:
    assert {"bootstrap", "locust"} <= {*ORDER, *OPTIONAL}
    with scripted_nomad() as server:
        for name in (*ORDER, *OPTIONAL):
            server.on("GET", f"/v1/job/{name}", {"ID": name})
        assert set(rotate.running(Nomad(server.address))) == {*ORDER, *OPTIONAL} - {"bootstrap", "locust"}
