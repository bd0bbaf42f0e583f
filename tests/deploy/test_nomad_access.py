"""Nomad's ACLs as provisioning sets them (DD_SECURE=1), against one server that answers as Nomad and as Consul."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest
from scripts.cluster import access
from scripts.cluster.consul import Consul
from scripts.cluster.jobspec import parse
from scripts.cluster.nomad import Nomad

from dronedispatch.testing.nomad import ScriptedNomad, scripted_nomad

KEY = f"/v1/kv/{access.DEPLOY_KEY}"
POLICY = access.NOMAD_POLICIES / "deploy.hcl"
MADE = {"AccessorID": "a1", "SecretID": "made-by-nomad"}
RULES = {"Name": "dd-deploy", "Rules": POLICY.read_text(encoding="utf-8")}


@pytest.fixture
def server() -> Iterator[ScriptedNomad]:
    with scripted_nomad() as scripted:
        scripted.on("POST", "/v1/acl/policy/dd-deploy", None)
        scripted.on("POST", "/v1/acl/token", MADE)
        scripted.on("PUT", KEY, True)
        yield scripted


def give(server: ScriptedNomad) -> int:
    return access.give_nomad(Consul(server.address), Nomad(server.address, "management"))


def kept(server: ScriptedNomad, secret: str) -> None:
    server.on("GET", f"{KEY}?consistent", [{"Value": base64.b64encode(secret.encode()).decode()}])


def test_whoever_deploys_gets_a_token_with_that_policy_and_no_other(server: ScriptedNomad) -> None:
    assert give(server) == 2
    (token,) = server.bodies("POST", "/v1/acl/token")
    assert (token["Type"], token["Policies"]) == ("client", ["dd-deploy"])
    assert server.bodies("PUT", KEY) == [MADE["SecretID"]]
    (policy,) = server.bodies("POST", "/v1/acl/policy/dd-deploy")
    assert policy["Rules"] == RULES["Rules"]


def test_a_second_time_nothing_is_written(server: ScriptedNomad) -> None:
    server.on("GET", "/v1/acl/policy/dd-deploy", RULES)
    server.on("GET", "/v1/acl/token/self", MADE)
    kept(server, MADE["SecretID"])
    assert give(server) == 0
    assert server.bodies("POST", "/v1/acl/token") == []


def test_a_token_that_this_nomad_does_not_know_is_replaced(server: ScriptedNomad) -> None:
    server.on("GET", "/v1/acl/policy/dd-deploy", RULES)
    server.on("GET", "/v1/acl/token/self", "ACL token not found", status=403)
    kept(server, "of-a-cluster-that-is-no-more")
    assert give(server) == 1
    assert server.bodies("PUT", KEY) == [MADE["SecretID"]]


def test_the_policy_allows_jobs_and_neither_acls_nor_agents_nor_other_peoples_tasks() -> None:
    policy = parse(POLICY.read_text(encoding="utf-8"))
    assert set(policy) == {"namespace", "host_volume", "node"}
    (namespace,) = policy["namespace"]
    assert set(namespace["default"]["capabilities"]) == {
        "list-jobs",
        "read-job",
        "submit-job",
        "scale-job",
        "read-logs",
    }
    assert policy["node"] == [{"policy": "read"}]
