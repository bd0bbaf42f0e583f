"""scripts/deploy and scripts/rollout against a Nomad that answers as the real one does."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripts.cluster import deploy, rollout
from scripts.cluster.submit import NotHealthy

from dronedispatch.testing.nomad import ScriptedNomad, scripted_nomad

ROOT = Path(__file__).resolve().parents[2]
CLIENT = {
    "ID": "n1",
    "Name": "client-1",
    "Status": "ready",
    "SchedulingEligibility": "eligible",
    "Version": "1.7.7",
}
FULL_CLIENT = CLIENT | {
    "Attributes": {"consul.version": "1.18.1"},
    "Drivers": {"exec": {"Detected": True, "Healthy": True, "HealthDescription": "Healthy"}},
}
ADDED = {
    "Diff": {"Type": "Added"},
    "JobModifyIndex": 0,
    "Annotations": {"DesiredTGUpdates": {"server": {"Place": 3}}},
}
SAME = {"Diff": {"Type": "None"}, "JobModifyIndex": 7}


@pytest.fixture
def nomad() -> Iterator[ScriptedNomad]:
    with scripted_nomad() as scripted:
        scripted.on("GET", "/v1/nodes", [CLIENT])
        scripted.on("GET", "/v1/node/n1", FULL_CLIENT)
        scripted.on("POST", "/v1/jobs", {"EvalID": "e1", "JobModifyIndex": 8})
        scripted.on("GET", "/v1/evaluation/e1", {"Status": "pending"}, {"Status": "complete"})
        for name in (*deploy.ORDER, *deploy.OPTIONAL):
            scripted.on("POST", f"/v1/job/{name}/plan", ADDED)
            scripted.on("GET", f"/v1/job/{name}", {"ID": name, "Version": 0})
            scripted.on(
                "GET", f"/v1/job/{name}/deployment", _deployment("running"), _deployment("successful")
            )
            scripted.on("GET", f"/v1/job/{name}/allocations", [_allocation("running")])
        scripted.on("GET", "/v1/job/bootstrap/allocations", [_allocation("complete")])
        ports = [
            {"Label": "http", "HostIP": "192.168.56.21", "Value": 8080},
            {"Label": "control", "HostIP": "", "Value": 1},
        ]
        scripted.on(
            "GET", "/v1/allocation/a1b2c3d4-e5f6", {"AllocatedResources": {"Shared": {"Ports": ports}}}
        )
        yield scripted


def _deployment(status: str, version: int = 0, told: str = "") -> dict[str, Any]:
    return {"ID": "d1", "JobVersion": version, "Status": status, "StatusDescription": told}


def _allocation(status: str, **more: Any) -> dict[str, Any]:
    base = {
        "ID": "a1b2c3d4-e5f6",
        "JobVersion": 0,
        "DesiredStatus": "run",
        "ClientStatus": status,
        "NodeName": "client-1",
    }
    return base | more


def _event(message: str, time: int) -> dict[str, Any]:
    return {"Type": "x", "DisplayMessage": message, "Time": time}


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(nomad: ScriptedNomad, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*argv: str, main: Callable[..., int] = deploy.main) -> tuple[int, str, str]:
        status = main([*argv], {"NOMAD_ADDR": nomad.address}, interval_s=0.01)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return call


def _submitted(nomad: ScriptedNomad) -> list[str]:
    return [body["Job"]["ID"] for body in nomad.bodies("POST", "/v1/jobs")]


def _sent(nomad: ScriptedNomad, name: str) -> str:
    texts = [str(body["JobHCL"]) for body in nomad.bodies("POST", "/v1/jobs/parse")]
    return next(text for text in texts if f'\njob "{name}" {{' in text)


def test_every_job_is_submitted_in_order_and_waited_for(nomad: ScriptedNomad, run: Run) -> None:
    status, out, err = run()
    assert (status, err) == (0, "")
    assert _submitted(nomad) == list(deploy.ORDER)
    assert [line for line in out.splitlines() if line.endswith(": healthy")] == [
        f"{name}: healthy" for name in deploy.ORDER if name != "bootstrap"
    ]


def test_a_deployment_ends_with_the_addresses_of_the_pages(nomad: ScriptedNomad, run: Run) -> None:
    _, out, _ = run("lb")
    assert "dashboard    http://192.168.56.21:8080/dashboard" in out.splitlines()


def test_the_store_is_bootstrapped_between_its_start_and_its_health(nomad: ScriptedNomad, run: Run) -> None:
    run()
    asked = [(method, path) for method, path, _ in nomad.asked]
    submissions = [index for index, request in enumerate(asked) if request == ("POST", "/v1/jobs")]
    assert submissions[1] < asked.index(("GET", "/v1/job/kvstore/deployment"))


def test_bootstrap_waits_for_as_many_replicas_as_kvstore_has(nomad: ScriptedNomad, run: Run) -> None:
    run("--var", "kvstore.instances=5")
    replicas = _sent(nomad, "bootstrap").split('variable "replicas"')[1]
    assert "default     = 5" in replicas.split("}")[0]


def test_a_plan_changes_nothing_and_shows_what_would(nomad: ScriptedNomad, run: Run) -> None:
    diff = {
        "Type": "Edited",
        "TaskGroups": [
            {"Name": "server", "Fields": [{"Type": "Edited", "Name": "Count", "Old": "3", "New": "5"}]}
        ],
    }
    answer = {"Diff": diff, "Annotations": {"DesiredTGUpdates": {"server": {"Place": 2, "InPlaceUpdate": 3}}}}
    nomad.on("POST", "/v1/job/gateway/plan", answer)
    status, out, _ = run("--plan", "gateway")
    assert status == 0
    assert _submitted(nomad) == []
    assert out.splitlines() == [
        "gateway: change (server: start 2, update in place 3)",
        "    server.Count: 3 -> 5",
    ]


def test_an_unchanged_job_is_not_submitted_again(nomad: ScriptedNomad, run: Run) -> None:
    nomad.on("POST", "/v1/job/gateway/plan", SAME)
    status, out, _ = run("gateway")
    assert status == 0
    assert _submitted(nomad) == []
    assert "gateway: no change" in out


def test_a_later_deployment_keeps_the_release_the_generation_and_the_scale(
    nomad: ScriptedNomad, run: Run
) -> None:
    nomad.on(
        "GET",
        "/v1/job/gateway",
        {"ID": "gateway", "Version": 0, "Meta": {"release": "0.2.0", "generation": "4"}},
    )
    run("gateway")
    text = _sent(nomad, "gateway")
    assert 'default     = "0.2.0"' in text.split('variable "release" {')[1].split("validation")[0]
    assert "default     = 4" in text.split('variable "generation" {')[1].split("}")[0]
    assert nomad.bodies("POST", "/v1/jobs")[0]["PreserveCounts"] is True


def test_a_job_that_changed_since_the_plan_is_not_overwritten(nomad: ScriptedNomad, run: Run) -> None:
    nomad.on("POST", "/v1/job/gateway/plan", ADDED | {"JobModifyIndex": 41})
    run("gateway")
    body = nomad.bodies("POST", "/v1/jobs")[0]
    assert (body["EnforceIndex"], body["JobModifyIndex"]) == (True, 41)


FAULTS: list[tuple[str, dict[tuple[str, str], Any], str]] = [
    (
        "no clients",
        {("GET", "/v1/nodes"): []},
        "Nomad has no clients: start an agent with client { enabled = true }",
    ),
    (
        "clients down",
        {("GET", "/v1/nodes"): [CLIENT | {"Status": "down"}]},
        "no Nomad client is ready (client-1 is down)",
    ),
    (
        "drained",
        {("GET", "/v1/nodes"): [CLIENT | {"SchedulingEligibility": "ineligible"}]},
        "every Nomad client is drained or ineligible",
    ),
    (
        "old Nomad",
        {("GET", "/v1/nodes"): [CLIENT | {"Version": "0.12.4"}]},
        "Nomad 0.12.4 on client-1 is too old: 1.1 or newer is needed",
    ),
    (
        "dead Consul",
        {("GET", "/v1/node/n1"): FULL_CLIENT | {"Attributes": {"kernel.name": "linux"}}},
        "no Nomad client sees a Consul agent (client-1): Consul is down there",
    ),
    (
        "old Consul",
        {("GET", "/v1/node/n1"): FULL_CLIENT | {"Attributes": {"consul.version": "1.7.2"}}},
        "Consul 1.7.2 on client-1 is too old: 1.8 or newer is needed",
    ),
    (
        "no driver",
        {("GET", "/v1/node/n1"): FULL_CLIENT | {"Drivers": {"raw_exec": {"HealthDescription": "disabled"}}}},
        "no Nomad client offers the driver exec",
    ),
    (
        "no room",
        {
            ("GET", "/v1/evaluation/e1"): {
                "Status": "complete",
                "FailedTGAllocs": {
                    "server": {
                        "NodesEvaluated": 3,
                        "CoalescedFailures": 1,
                        "DimensionExhausted": {"memory": 2},
                        "ConstraintFiltered": {"distinct_hosts": 1},
                    }
                },
            }
        },
        "gateway: group server: no place for 2 of its instances; of 3 clients were ruled out: "
        "1 by distinct_hosts; 2 short of memory",
    ),
    (
        "secret missing",
        {
            ("GET", "/v1/job/gateway/deployment"): _deployment(
                "failed", told="Failed due to progress deadline - rolling back to job version 3"
            ),
            ("GET", "/v1/job/gateway/allocations"): [
                _allocation(
                    "pending",
                    TaskStates={
                        "gateway": {
                            "Events": [
                                _event("Task received by client", 1),
                                _event("Template: Missing: kv.block(dronedispatch/secrets/store_token)", 2),
                            ]
                        }
                    },
                )
            ],
        },
        "gateway: Failed due to progress deadline - rolling back to job version 3; instance a1b2c3d4 on client-1 is "
        "pending: gateway: Template: Missing: kv.block(dronedispatch/secrets/store_token)",
    ),
]


@pytest.mark.parametrize(
    ("answers", "sentence"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS]
)
def test_each_fault_of_a_cluster_is_one_clear_sentence(
    nomad: ScriptedNomad, run: Run, answers: dict[tuple[str, str], Any], sentence: str
) -> None:
    for (method, path), answer in answers.items():
        nomad.on(method, path, answer)
    status, _, err = run("gateway")
    assert status == 1
    assert err.startswith(f"error: {sentence}")
    assert err.count("\n") == 1


def test_a_wrong_value_is_refused_in_the_words_of_the_job_file(nomad: ScriptedNomad, run: Run) -> None:
    told = "input.hcl:80,1-21: Invalid value for variable; The number of instances must be between 1 and 20."
    nomad.on("POST", "/v1/jobs/parse", told, status=400)
    status, _, err = run("gateway", "--var", "gateway.instances=500")
    assert status == 1
    assert err == f"error: gateway: {told}\n"


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (["--var", "gatway.instances=5"], "--var gatway.instances: no job 'gatway' is deployed"),
        (["--var", "instancez=5"], "--var instancez: no such variable; there are"),
        (["--var", "gateway.instances=many"], "instances=many: expected a number"),
        (["--var", "distinct_hosts=perhaps"], "distinct_hosts=perhaps: expected true or false"),
        (["--var", "release"], "--var release: expected name=value"),
        (["--vars", "no-such-file"], "no-such-file.hcl: No such file or directory"),
        (["gatway"], "there is no job 'gatway'"),
    ],
)
def test_a_wrong_argument_names_itself_before_anything_is_submitted(
    nomad: ScriptedNomad, run: Run, argv: list[str], sentence: str
) -> None:
    status, _, err = run(*argv)
    assert status == 2
    assert sentence in err
    assert _submitted(nomad) == []


def test_a_nomad_that_does_not_answer_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with scripted_nomad() as gone:
        address = gone.address
    assert deploy.main([], {"NOMAD_ADDR": address}) == 1
    assert f"Nomad at {address} does not answer (Connection refused)" in capsys.readouterr().err


def test_a_nomad_without_a_leader_and_a_refused_token_are_told_apart(nomad: ScriptedNomad, run: Run) -> None:
    nomad.on("GET", "/v1/nodes", "No cluster leader", status=500)
    assert "has no leader" in run("gateway")[2]
    nomad.on("GET", "/v1/nodes", "Permission denied", status=403)
    assert "refuses the token (403): set NOMAD_TOKEN" in run("gateway")[2]


def test_health_is_waited_for_no_longer_than_the_deadline(nomad: ScriptedNomad, run: Run) -> None:
    nomad.on("GET", "/v1/job/gateway/deployment", _deployment("running"))
    status, _, err = run("gateway", "--deadline", "0.2")
    assert status == 1
    assert err.startswith("error: gateway: not healthy after 0 s; instance a1b2c3d4 on client-1 is running")


def test_a_rollout_changes_the_release_of_one_job_and_nothing_else(nomad: ScriptedNomad, run: Run) -> None:
    status, _, _ = run("gateway", "0.3.0", main=rollout.main)
    assert status == 0
    assert _submitted(nomad) == ["gateway"]
    assert (
        'default     = "0.3.0"'
        in _sent(nomad, "gateway").split('variable "release" {')[1].split("validation")[0]
    )


def test_a_rollout_of_what_does_not_run_is_refused(nomad: ScriptedNomad, run: Run) -> None:
    nomad.on("GET", "/v1/job/gateway", {"ID": "gateway", "Stop": True})
    status, _, err = run("gateway", "0.3.0", main=rollout.main)
    assert (status, err) == (1, "error: gateway does not run: scripts/deploy starts it\n")


def test_a_deployment_of_an_older_version_is_no_news_of_this_one(nomad: ScriptedNomad) -> None:
    from scripts.cluster.nomad import Nomad
    from scripts.cluster.patience import Patience
    from scripts.cluster.submit import wait_healthy

    nomad.on("GET", "/v1/job/gateway/deployment", _deployment("successful", version=6))
    with pytest.raises(NotHealthy, match="not healthy after"):
        wait_healthy(Nomad(nomad.address), "gateway", 7, Patience(0.05, 0.01))


@pytest.mark.parametrize("script", ["deploy", "rollout"])
def test_the_scripts_explain_themselves(script: str) -> None:
    done = subprocess.run(
        [ROOT / "scripts" / script, "--help"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0
    assert f"scripts/{script}" in done.stdout
