"""One sentence for each thing that Nomad knows to be wrong; the texts are those of a real Nomad 1.11.3."""

from __future__ import annotations

from typing import Any

import pytest
from scripts.cluster import diagnosis

NODE = {
    "Name": "client-1",
    "Status": "ready",
    "SchedulingEligibility": "eligible",
    "Version": "1.11.3",
    "Drivers": {"exec": {"Healthy": True}},
    "Attributes": {"cpu.arch": "amd64"},
    "Meta": {"python": "3.11"},
    "NodeResources": {"Cpu": {"CpuShares": 4000}, "Memory": {"MemoryMB": 4096}},
}
FULL = """
Scheduler dry-run:
- WARNING: Failed to place all allocations.
  Task Group "server" (failed to place 2 allocations):
    * Resources exhausted on 1 nodes
    * Dimension "memory" exhausted on 1 nodes
"""


def allocation(*events: dict[str, Any], status: str = "running") -> dict[str, Any]:
    return {
        "ID": "0a1b2c3d-4e5f",
        "NodeName": "client-1",
        "ClientStatus": status,
        "TaskStates": {
            "gateway": {
                "Failed": status == "failed",
                "Events": [{"Time": n} | one for n, one in enumerate(events)],
            }
        },
    }


def event(kind: str, told: str = "", **details: str) -> dict[str, Any]:
    return {"Type": kind, "DisplayMessage": told, "Details": details}


ENDED = event("Terminated", "Exit Code: 1", exit_code="1")
DONE = event("Terminated", "Exit Code: 0", exit_code="0")


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ("Error querying: dial tcp 127.0.0.1:4646: connect: connection refused", "Nomad does not answer"),
        ("Unexpected response code: 403 (Permission denied)", "Nomad refuses the token"),
        ("Unexpected response code: 403 (ACL token expired)", "Nomad refuses the token"),
        ("Unexpected response code: 500 (No cluster leader)", "Nomad has no leader"),
        ("Unexpected response code: 500 (No path to region)", "this Nomad has none: see NOMAD_REGION"),
        ('* job "lb" is in nonexistent namespace "nowhere"', "this Nomad has none: see NOMAD_REGION, NOMAD_NAMESPACE"),
        ('Get "/v1/nodes": unsupported protocol scheme ""', "Nomad is not who it should be"),
        ("Unexpected response code: 404 (Invalid URL path: not a recognized HTTP API endpoint)", "Nomad is not who"),
        ("Client sent an HTTP request to an HTTPS server.", "Nomad is not who it should be"),
        ("tls: failed to verify certificate: x509", "Nomad is not who it should be"),
        ("Enforcing job modify index 403: job exists with conflicting job modify index: 34", "somebody else changed"),
        ("something new", "something new"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do(told: str, sentence: str) -> None:
    assert diagnosis.refusal(told).startswith(sentence)


@pytest.mark.parametrize("version", ["1.9.7", "v1.11.3", "2.0.5", "1.9.0+ent"])
def test_three_lines_are_supported(version: str) -> None:
    assert diagnosis.why_unsupported({"it": version}) is None


@pytest.mark.parametrize("version", ["1.8.4", "1.10.2", "1.1.18", "2.1.0", "1.90.0"])
def test_any_other_nomad_is_refused_by_name(version: str) -> None:
    assert diagnosis.why_unsupported({"the program nomad": "2.0.5", "the server x": version}) == (
        f"the server x is Nomad {version}: 1.9, 1.11, 2.0 are supported"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"Status": "down"}, "no Nomad client is ready and eligible (client-1 is down and eligible)"),
        ({"SchedulingEligibility": "ineligible"}, "no Nomad client is ready and eligible"),
        (
            {"Drivers": {"exec": {"Healthy": False, "HealthDescription": "no cgroups"}}},
            "driver exec (no cgroups)",
        ),
        ({"Drivers": None}, "driver exec (not enabled)"),
    ],
)
def test_clients_that_cannot_take_a_job_are_named(change: dict[str, Any], sentence: str) -> None:
    assert diagnosis.why_no_clients([NODE], "exec", 1) is None
    assert sentence in str(diagnosis.why_no_clients([NODE | change], "exec", 1))


def test_no_client_at_all_is_said() -> None:
    assert "there is none" in str(diagnosis.why_no_clients([], "exec", 1))


def test_a_client_that_is_away_counts_and_one_that_never_was_does_not() -> None:
    away = NODE | {"Status": "down"}
    assert diagnosis.why_no_clients([NODE, away], "exec", 2) is None
    assert "2 clients are fewer clients than --var machines=3" in str(
        diagnosis.why_no_clients([NODE, away], "exec", 3)
    )


@pytest.mark.parametrize(("count", "fits"), [(3, True), (4, False)])
def test_the_instances_and_a_canary_are_added_up_against_the_machines(count: int, fits: bool) -> None:
    task = {"Resources": {"CPU": 1000, "MemoryMB": 100}}
    job = {"TaskGroups": [{"Count": count, "Update": {"Canary": 1}, "Tasks": [task]}]}
    assert (diagnosis.why_too_small([job], [NODE]) is None) is fits


@pytest.mark.parametrize(
    ("made", "fits"),
    [
        ({"arch": "amd64", "python": "3.11"}, True),
        ({"arch": "arm64", "python": "3.11"}, False),
        ({"arch": "amd64", "python": "3.13"}, False),
    ],
)
def test_a_release_for_another_machine_is_refused(made: dict[str, str], fits: bool) -> None:
    assert (diagnosis.why_wrong_release("0.2.0", made, [NODE]) is None) is fits
    assert diagnosis.why_wrong_release("0.2.0", made, [NODE | {"Meta": None, "Attributes": {}}]) is None


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ('Dimension "memory" exhausted on 1 nodes', "free some"),
        ('Dimension "network: reserved port collision http=8080" exhausted on 1 nodes', "another job has the port"),
        ('Constraint "distinct_hosts": 1 nodes excluded by filter', "fewer clients than"),
        ('Constraint "missing compatible host volumes": 1 nodes excluded by filter', "no client has the volume"),
        ('Constraint "${attr.consul.version} semver >= 1.8.0": 1 nodes excluded by filter', "no Consul runs"),
    ],
)  # fmt: skip
def test_a_plan_without_a_place_says_why(line: str, hint: str) -> None:
    told = str(diagnosis.why_not_placed(FULL.replace('Dimension "memory" exhausted on 1 nodes', line)))
    assert told.startswith("no place for 2 of its instances")
    assert hint in told


def test_a_plan_with_a_place_says_nothing() -> None:
    assert diagnosis.why_not_placed("- All tasks successfully allocated.") is None


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([event("Driver Failure", "binary could not be found")], "pending"),
        ([ENDED, ENDED], "running"),
        ([ENDED], "failed"),
        ([DONE], "failed"),  # a service without restarts
        ([ENDED, ENDED, event("Killing")], "complete"),  # Nomad has gone back meanwhile
        ([DONE, DONE], "running"),  # a service that has nothing to do
        ([DONE, ENDED], "running"),
        ([ENDED, DONE, DONE], "running"),
        ([ENDED, DONE, ENDED], "running"),
    ],
)
def test_an_allocation_that_will_not_come_up_is_known(events: list[dict[str, Any]], status: str) -> None:
    found = diagnosis.why_doomed(allocation(*events, status=status))
    assert found is not None
    assert found[0] == "gateway"
    assert events[-1]["DisplayMessage"] in found[1]


@pytest.mark.parametrize(
    "events",
    [
        [],
        [event("Started")],
        [ENDED],  # bad luck, once
        [DONE],
        [ENDED, DONE],  # bad luck, then the end of a task that prepares
        [event("Template", "Missing: health.service(lb|passing)")],  # it waits for others
        [event("Killing"), ENDED, ENDED],  # somebody stopped it
        [event("Restart Signaled"), ENDED, event("Started"), event("Restart Signaled"), ENDED],  # a check did
        [
            event("Template", "Missing: nomad.var.block(nomad/jobs/gateway@default.global)")
        ],  # a busy client says so of one that is there
    ],
)
def test_one_that_may_still_come_up_is_waited_for(events: list[dict[str, Any]]) -> None:
    assert diagnosis.why_doomed(allocation(*events)) is None


def test_secrets_that_are_missing_are_named_where_the_token_may_list_them() -> None:
    there = '[{"Path": "nomad/jobs/gateway"}]'
    assert diagnosis.why_no_secrets(["gateway", "locust"], there) is None  # Locust reads none
    assert "no nomad/jobs/lb in" in str(diagnosis.why_no_secrets(["gateway", "lb"], there))
    assert "no nomad/jobs/gateway in" in str(diagnosis.why_no_secrets(["gateway"], "[]"))
    assert diagnosis.why_no_secrets(["lb"], "") is None  # refused: unknown


@pytest.mark.parametrize("events", [[DONE], [ENDED, DONE]])
def test_the_task_that_prepares_is_not_blamed_for_the_one_that_ends(events: list[dict[str, Any]]) -> None:
    failed = allocation(ENDED, ENDED, status="failed")
    failed["TaskStates"] = {"bootstrap": {"Failed": False, "Events": events}} | failed["TaskStates"]
    assert (diagnosis.why_doomed(failed) or ("",))[0] == "gateway"


def test_after_a_deadline_the_newest_event_is_said() -> None:
    told = diagnosis.last_said([allocation(event("Started", "Task started"), event("Restarting", "again"))])
    assert told == "0a1b2c3d on client-1: again"
    assert diagnosis.last_said([]) == "no instance was started"
