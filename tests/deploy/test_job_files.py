"""Every job file parsed: what Nomad would read is what our services and our machines expect."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from scripts.cluster.jobfile import read_job, read_values
from scripts.cluster.jobspec import JobSpec, parse, seconds

from dronedispatch.runtime import settings

ROOT = Path(__file__).resolve().parents[2]
JOBS = ROOT / "jobs"
ALL = sorted(path.name.removesuffix(".nomad.hcl") for path in JOBS.glob("*.nomad.hcl"))
OURS = {
    "kvstore": "KVSTORE",
    "kvfront": "KVFRONT",
    "gateway": "GATEWAY",
    "lb": "LB",
    "dispatcher": "DISPATCHER",
    "drone-sim": "DRONE_SIM",
}
VARIABLE_FILES = sorted(path.stem for path in (JOBS / "vars").glob("*.hcl"))
PUBLIC = {"lb": {"http": 8080, "control": 8081}, "locust": {"http": 8089}}
CLIENT_MAX_KILL_TIMEOUT_S = 30.0  # Nomad's default for a client
TOO_NEW = {
    "provider",
    "identity",
    "disconnect",
    "ui",
    "consul",
    "vault",
    "secret",
    "schedule",
}  # after Nomad 1.1


def spec(name: str) -> JobSpec:
    return JobSpec.read(JOBS / f"{name}.nomad.hcl")


def keys(block: Any) -> set[str]:
    if isinstance(block, dict):
        return set(block).union(*(keys(inner) for inner in block.values()))
    return set().union(*(keys(inner) for inner in block)) if isinstance(block, list) else set()


def test_there_is_a_job_for_every_service_and_the_optional_ones() -> None:
    assert set(ALL) == set(OURS) | {"bootstrap", "prometheus", "locust"}


@pytest.mark.parametrize("name", ALL)
def test_file_job_and_service_have_one_name(name: str) -> None:
    job = spec(name)
    assert list(job.root["job"][0]) == [name]
    assert "service" not in job.group or job.service["name"] == name


@pytest.mark.parametrize("name", ALL)
def test_nothing_in_it_is_newer_than_the_oldest_nomad(name: str) -> None:
    assert not keys(spec(name).root["job"]) & TOO_NEW


@pytest.mark.parametrize("name", ALL)
def test_every_variable_is_described_typed_and_has_a_default(name: str) -> None:
    for variable in spec(name).variables.values():
        assert variable["description"].endswith(".")
        assert variable["type"]
        assert "default" in variable


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("values", VARIABLE_FILES)
def test_every_file_of_variables_fits_every_job(name: str, values: str) -> None:
    assert set(read_values(JOBS / "vars" / f"{values}.hcl")) <= set(spec(name).variables)


@pytest.mark.parametrize("name", ALL)
def test_the_vagrant_values_are_the_defaults(name: str) -> None:
    declared = read_job(JOBS, name).variables
    shared = read_values(JOBS / "vars" / "vagrant.hcl")
    assert {key: declared[key].literal for key in shared} == shared


@pytest.mark.parametrize("name", ALL)
def test_a_filled_job_file_parses_to_the_given_values(name: str) -> None:
    shared = read_values(JOBS / "vars" / "one-machine.hcl")
    filled = parse(read_job(JOBS, name).filled(shared).text)
    variables = {key: block["default"] for one in filled["variable"] for key, block in one.items()}
    assert variables["driver"] == "raw_exec"
    assert variables["distinct_hosts"] is False


@pytest.mark.parametrize("name", ALL)
def test_the_driver_the_user_and_the_release_are_variables(name: str) -> None:
    task = spec(name).task
    assert (task["driver"], task["user"]) == ("${var.driver}", "${var.user}")
    assert task["config"][0]["command"].startswith("${var.release_dir}/${var.release}/")


@pytest.mark.parametrize("name", ALL)
def test_only_the_public_doors_have_fixed_ports(name: str) -> None:
    fixed = {label: number for label, number in spec(name).ports.items() if number is not None}
    assert fixed == PUBLIC.get(name, {})


@pytest.mark.parametrize("name", OURS)
def test_readiness_gates_and_only_liveness_restarts(name: str) -> None:
    checks = {check["name"]: check for check in spec(name).service["check"]}
    assert checks["ready"]["path"] == "/health"
    assert "check_restart" not in checks["ready"]
    assert checks["live"]["path"] == "/health?live=1"
    assert checks["live"]["check_restart"][0]["limit"] >= 3
    assert {seconds(check["interval"]) for check in checks.values()} == {5.0}
    assert {check["port"] for check in checks.values()} <= set(spec(name).ports)


@pytest.mark.parametrize("name", OURS)
def test_updates_are_gated_by_health_and_revert_by_themselves(name: str) -> None:
    update = spec(name).update
    assert (update["max_parallel"], update["health_check"], update["auto_revert"]) == (1, "checks", True)
    assert seconds(update["progress_deadline"]) > seconds(update["healthy_deadline"])


@pytest.mark.parametrize("name", OURS)
def test_a_canary_is_promoted_by_itself_and_only_where_two_may_run(name: str) -> None:
    update = spec(name).update
    canary = update.get("canary", 0)
    assert (canary == 0) == (name == "kvstore")  # a second process must not open the same disk
    assert bool(update.get("auto_promote")) == (canary != 0)


@pytest.mark.parametrize("name", OURS)
def test_a_stop_leaves_consul_then_drains_then_has_time_to_end(name: str) -> None:
    job = spec(name)
    drain_s = float(job.env[f"{OURS[name]}_DRAIN_S"])
    lag_s = settings.ProcessSettings().deregister_lag_s
    assert job.task["kill_signal"] == "SIGTERM"
    assert seconds(job.task["shutdown_delay"]) >= 2 * lag_s
    assert drain_s + lag_s < seconds(job.task["kill_timeout"]) <= CLIENT_MAX_KILL_TIMEOUT_S


@pytest.mark.parametrize("name", OURS)
def test_nomad_registers_and_the_service_is_told_so(name: str) -> None:
    job = spec(name)
    assert job.env[f"{OURS[name]}_REGISTRATION"] == "nomad"
    assert job.service["tags"] == ["dronedispatch"]
    assert job.service["meta"][0]["name"] == job.env[f"{OURS[name]}_INSTANCE"]


@pytest.mark.parametrize("name", OURS)
def test_every_variable_of_the_environment_is_a_setting_of_the_service(name: str) -> None:
    module = f"dronedispatch.{name.replace('-', '_')}.settings"
    assert importlib.util.find_spec(module) is not None, f"{module} is missing"
    known = settings.variables(importlib.import_module(module).Settings, OURS[name])
    assert set(spec(name).env) - set(known) == set()
    assert "CONSUL_HTTP_TOKEN_FILE" in known


@pytest.mark.parametrize("name", ALL)
def test_no_secret_is_in_the_file_and_each_comes_from_consul(name: str) -> None:
    job = spec(name)
    files = {key: value for key, value in job.task.get("env", [{}])[0].items() if key.endswith("_FILE")}
    for value in files.values():
        destination = value.replace("${NOMAD_SECRETS_DIR}", "secrets")
        assert destination.startswith("secrets/")
        assert re.search(r'key(OrDefault)? "dronedispatch/', job.templates[destination]["data"])
    assert not re.search(r"(?i)(password|token)\s*=\s*\"[^\"$]", job.path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ALL)
def test_a_changed_secret_restarts_nothing_by_itself(name: str) -> None:
    assert {template["change_mode"] for template in spec(name).templates.values()} <= {"noop"}


@pytest.mark.parametrize("name", ALL)
def test_release_and_generation_are_in_the_job_where_a_later_deployment_reads_them(name: str) -> None:
    assert spec(name).job["meta"] == [{"release": "${var.release}", "generation": "${var.generation}"}]


def test_replicas_stay_with_their_disks() -> None:
    job = spec("kvstore")
    dynamic = {key: block for one in job.group["dynamic"] for key, block in one.items()}
    assert dynamic["constraint"]["content"] == [{"operator": "distinct_hosts", "value": "true"}]
    assert dynamic["volume"]["content"] == [{"type": "host", "source": "kvstore", "read_only": False}]
    assert job.group["reschedule"] == [{"attempts": 0, "unlimited": False}]


@pytest.mark.parametrize("name", OURS)
def test_scaling_has_bounds_that_the_default_is_within(name: str) -> None:
    job = spec(name)
    (scaling,) = job.group["scaling"]
    assert scaling["enabled"] is True
    assert scaling["min"] <= job.variables["instances"]["default"] <= scaling["max"]


def test_the_default_instances_fit_on_two_of_the_three_small_clients() -> None:
    jobs = [spec(name) for name in OURS]
    wanted = [
        (job.variables.get("instances", {"default": 1})["default"], job.task["resources"][0]) for job in jobs
    ]
    memory = sum(count * resources["memory"] for count, resources in wanted)
    assert memory <= 2 * 3 * 1024 * 0.9  # clients of 3 GB; a tenth is the system's


def test_the_speed_is_one_value_for_all_who_compute_with_it() -> None:
    jobs = {name: spec(name) for name in ("gateway", "dispatcher", "drone-sim")}
    assert {job.env[f"{OURS[name]}_SPEED"] for name, job in jobs.items()} == {"${var.speed}"}
    assert {job.variables["speed"]["default"] for job in jobs.values()} == {1}


@pytest.mark.parametrize("name", [name for name in OURS if name != "kvstore"])
def test_a_canary_beside_the_old_process_has_a_name_of_its_own(name: str) -> None:
    # A canary has its predecessor's index: the two would share a queue, a lease and an entry of the catalogue.
    assert "${NOMAD_ALLOC_ID}" in spec(name).env[f"{OURS[name]}_INSTANCE"]
