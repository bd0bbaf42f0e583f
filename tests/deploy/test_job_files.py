"""Every job file parsed: what Nomad would read is what our services and our machines expect."""

from __future__ import annotations

import importlib
import importlib.util
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from scripts.cluster.deploy import OPTIONAL, ORDER
from scripts.cluster.secrets import GIVEN

from dronedispatch.runtime import settings
from support.job_spec import JobSpec, parse, seconds

ROOT = Path(__file__).resolve().parents[2]
JOBS = ROOT / "jobs"
ALL = sorted(path.name.removesuffix(".nomad.hcl") for path in JOBS.glob("*.nomad.hcl"))
OURS = {name: name.replace("-", "_").upper() for name in ORDER}
VARIABLE_FILES = sorted((JOBS / "vars").glob("*.hcl"))
PUBLIC = {"lb": {"http": 8080, "control": 8081}, "locust": {"http": 8089}, "rabbitmq": {"amqp": 5672}}
CLIENT_MAX_KILL_TIMEOUT_S = 30.0  # Nomad's default for a client
CROWDED_START_S = 180.0  # six services at once on one emulated core took 110 s (scripts/try-vagrant)
CANARIES = {"kvfront", "drone-sim", "dispatcher", "gateway"}
# What each function of a job file takes first. Nomad's own check wants a nomad; this one runs everywhere.
TAKES = {
    "contains": "list",
    "floor": "number",
    "jsonencode": "object",
    "min": "number",
    "substr": "string",
    "length": "list",
}
# For the default variables: two slow cores and 4 GiB, of which 1 GiB is the agents', the system's and the executors'.
ONE_MACHINE = {"cpu": 2 * 1600, "memory": 4096 - 1024}
# For jobs/vars/cluster.hcl: the Vagrantfile's three clients, of which any one may be away.
CLUSTER = {"cpu": 2 * 2 * 1600, "memory": 2 * (3072 - 512)}


@cache
def spec(name: str) -> JobSpec:
    return JobSpec.read(JOBS / f"{name}.nomad.hcl")


def test_there_is_a_job_for_every_service_and_the_optional_ones() -> None:
    assert set(ALL) == {*ORDER, *OPTIONAL, "rabbitmq"}


@pytest.mark.parametrize("name", ALL)
def test_file_job_and_service_have_one_name(name: str) -> None:
    job = spec(name)
    assert list(job.root["job"][0]) == [name]
    assert job.service["name"] == name


@pytest.mark.parametrize("name", ALL)
def test_every_variable_is_used(name: str) -> None:
    text = (JOBS / f"{name}.nomad.hcl").read_text(encoding="utf-8")
    body = re.sub(r'^variable ".*?^}', "", text, flags=re.MULTILINE | re.DOTALL)
    body = re.sub(r"jsonencode\(.*", "", body)  # said again for the next deployment is not used
    unused = {one for one in spec(name).variables if f"var.{one}" not in body}
    assert unused <= {"generation"}  # its change is its use: a new number rolls the job


@pytest.mark.parametrize("name", [name for name in ALL if name != "rabbitmq"])
def test_what_a_job_was_submitted_with_is_in_its_meta(name: str) -> None:
    (meta,) = spec(name).job["meta"]
    for variable in set(spec(name).variables) - {"instances"}:
        assert f"{variable} = var.{variable}" in re.sub(r'"', "", meta["variables"]).replace(":", " ="), meta


def kind_of(word: str, variables: dict[str, dict[str, Any]]) -> str:
    """The type of an expression, as far as a job file's functions are given any."""
    word = word.strip()
    if word.startswith("var."):
        return re.sub(r"[^a-z].*", "", variables[word[4:]]["type"].strip("${}"))
    if word.startswith("local."):
        return "number"
    return {"[": "list", "{": "object", '"': "string"}.get(word[:1], "number")


@pytest.mark.parametrize("name", ALL)
def test_every_function_is_called_with_what_it_takes(name: str) -> None:
    job = spec(name)
    text = re.sub(r"#.*", "", job.path.read_text(encoding="utf-8"))
    text = re.sub(r"\{\{.*?\}\}", "", text)  # Nomad's templates have functions of their own
    for function, first in re.findall(r"\b([a-z_]+)\(\s*([^,)]+)", text):
        assert function in TAKES, f"{function} is not known to this test"
        assert kind_of(first, job.variables) == TAKES[function], f"{function}({first})"


def instances(job: JobSpec, machines: int) -> int:
    """How many of a job run: the file's own count, computed for so many machines."""
    count = str(job.group.get("count", 1)).strip("${}")
    wanted = int(job.variables.get("instances", {"default": 1})["default"])
    if "machines" in count:
        return min(wanted, machines)
    return min(wanted, machines) if count == "local.replicas" and machines > 1 else wanted


def added_up(jobs: list[str], machines: int) -> dict[str, int]:
    """CPU (MHz) and memory (MiB) of every instance, and of a canary where a job has one (one at a time rolls)."""
    total = {"cpu": 0, "memory": 0}
    largest = {"cpu": 0, "memory": 0}
    for name in jobs:
        job = spec(name)
        for key in total:
            one = sum(task["resources"][0][key] for task in job.tasks.values())
            total[key] += instances(job, machines) * one
            largest[key] = max(largest[key], one if name in CANARIES else 0)
    return {key: total[key] + largest[key] for key in total}


def test_everything_fits_on_one_machine_of_two_cores_and_four_gigabytes() -> None:
    asked = added_up(ALL, 1)
    assert all(asked[key] <= ONE_MACHINE[key] for key in asked), asked


def test_everything_fits_on_two_of_the_three_machines_of_the_cluster() -> None:
    asked = added_up([*ORDER, *OPTIONAL], 3)
    assert all(asked[key] <= CLUSTER[key] for key in asked), asked


@pytest.mark.parametrize("name", ALL)
def test_every_variable_is_described_typed_and_has_a_default(name: str) -> None:
    for variable in spec(name).variables.values():
        assert variable["description"].endswith(".")
        assert variable["type"]
        assert "default" in variable


@pytest.mark.parametrize("name", ALL)
def test_every_variable_is_validated_and_a_number_is_whole_where_a_fraction_means_nothing(name: str) -> None:
    for key, variable in spec(name).variables.items():
        (validation,) = variable["validation"]
        assert f"var.{key}" in validation["condition"]
        assert validation["error_message"].endswith(".")
        if kind_of(f"var.{key}", spec(name).variables) == "number" and key != "speed":
            assert f"floor(var.{key}) == var.{key}" in validation["condition"]


@pytest.mark.parametrize("values", VARIABLE_FILES, ids=lambda path: path.stem)
def test_a_file_of_variables_holds_what_jobs_take(values: Path) -> None:
    assert set(parse(values.read_text(encoding="utf-8"))) <= set.intersection(
        *(set(spec(name).variables) for name in ORDER)
    )


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
def test_a_restart_for_silence_leaves_time_to_end_and_to_start_on_a_machine_that_starts_all_at_once(
    name: str,
) -> None:
    """Nomad counts the grace from its signal to end: too short a one ends every start before it is done, for ever."""
    job = spec(name)
    (live,) = (check for check in job.service["check"] if check["name"] == "live")
    ending_s = seconds(job.task["shutdown_delay"]) + seconds(job.task["kill_timeout"])
    before_start_s = ending_s + seconds(job.group["restart"][0]["delay"])
    assert seconds(live["check_restart"][0]["grace"]) >= before_start_s + CROWDED_START_S


@pytest.mark.parametrize("name", OURS)
def test_updates_are_gated_by_health_and_revert_by_themselves(name: str) -> None:
    update = spec(name).update
    assert (update["max_parallel"], update["health_check"], update["auto_revert"]) == (1, "checks", True)
    assert seconds(update["progress_deadline"]) > seconds(update["healthy_deadline"])


@pytest.mark.parametrize("name", OURS)
def test_a_canary_is_promoted_by_itself_and_only_where_two_may_run(name: str) -> None:
    update = spec(name).update
    assert (update.get("canary", 0) == 1) == (
        name in CANARIES
    )  # not two on one disk, nor two on one fixed port
    assert bool(update.get("auto_promote")) == (name in CANARIES)


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


@pytest.mark.parametrize("name", OURS)
def test_a_job_is_given_the_secrets_that_it_reads_and_no_other(name: str) -> None:
    job = spec(name)
    files = {value.rpartition("/")[2] for key, value in job.env.items() if key.endswith("_FILE")}
    template = job.dynamic("template")
    assert files == set(template["for_each"]) == set(GIVEN[name])
    (content,) = template["content"]
    assert f'nomadVar "nomad/jobs/{name}"' in content["data"].replace("\\", "")
    assert (content["destination"], content["change_mode"]) == ("secrets/${template.value}", "noop")


@pytest.mark.parametrize("name", ALL)
def test_no_secret_is_in_the_file(name: str) -> None:
    text = (JOBS / f"{name}.nomad.hcl").read_text(encoding="utf-8")
    assert not re.search(r"(?i)(password|token|default_pass)\s*=\s*\"?[^\"$\s{]", re.sub(r"#.*", "", text))


def test_replicas_stay_with_their_disks() -> None:
    job = spec("kvstore")
    assert job.dynamic("constraint")["content"] == [{"operator": "distinct_hosts", "value": "true"}]
    assert job.dynamic("volume")["content"] == [{"type": "host", "source": "kvstore", "read_only": False}]
    assert job.group["reschedule"] == [{"attempts": 0, "unlimited": False}]


@pytest.mark.parametrize("name", OURS)
def test_scaling_has_bounds_that_the_default_is_within(name: str) -> None:
    job = spec(name)
    (scaling,) = job.group["scaling"]
    assert scaling["enabled"] is True
    assert scaling["min"] <= job.variables["instances"]["default"] <= scaling["max"]


def test_the_speed_is_one_value_for_all_who_compute_with_it() -> None:
    jobs = {name: spec(name) for name in ("gateway", "dispatcher", "drone-sim")}
    assert {job.env[f"{OURS[name]}_SPEED"] for name, job in jobs.items()} == {"${var.speed}"}
    assert {job.variables["speed"]["default"] for job in jobs.values()} == {1}


@pytest.mark.parametrize("name", sorted(CANARIES))
def test_a_canary_beside_the_old_process_has_a_name_of_its_own(name: str) -> None:
    # A canary has its predecessor's index: the two would share a queue, a lease and an entry of the catalogue.
    assert "${NOMAD_ALLOC_ID}" in spec(name).env[f"{OURS[name]}_INSTANCE"]
