"""What goes wrong is told within 10 s of Nomad's knowing, with the cause and what to do; the old version goes on serving."""

from __future__ import annotations

import subprocess

import pytest

from support.commands import ran
from support.nomad_machine import DOOR, Machine, fetch
from support.waiting import patient_s

pytestmark = [pytest.mark.real, pytest.mark.netns]

ENDS = "#!/bin/sh\necho 'settings: GATEWAY_SPEED is wrong' >&2\nexit 3\n"


SQUATTER = """
job "squatter" {
  group "all" {
    network {
      port "http" { static = 8089 }
    }
    task "sleep" {
      driver = "raw_exec"
      config {
        command = "/bin/sleep"
        args    = ["600"]
      }
    }
  }
}
"""


def failed(machine: Machine, *words: str, ordinary_s: float = 60, **told: str) -> str:
    """The one sentence of a command that fails, long before its own patience is over."""
    done = ran([f"scripts/{words[0]}", *words[1:]], machine.environ | told, timeout_s=patient_s(ordinary_s))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def serves(machine: Machine) -> bool:
    """Whether the system is as it was: every gateway passes, the door answers."""
    return machine.passing("gateway") >= 3 and fetch(f"http://{DOOR}/health") is not None


def test_a_release_that_is_not_there(system: Machine) -> None:
    said = failed(system, "rollout", "gateway", "nowhere")
    assert "Driver Failure" in said
    assert "/opt/dronedispatch/nowhere/bin/dronedispatch" in said
    assert "the old version goes on serving" in said
    assert serves(system)
    settled(system)


def test_a_task_that_ends_at_once_with_its_code_and_its_last_words(system: Machine) -> None:
    system.release("ends", program=ENDS)
    said = failed(system, "rollout", "gateway", "ends")
    assert "Exit Code: 3" in said
    assert "settings: GATEWAY_SPEED is wrong" in said
    assert serves(system)
    settled(system)


def settled(machine: Machine) -> None:
    """Nomad has gone back: its own deployment of the old version is over."""
    look = ("job", "deployments", "-json", "-latest", "gateway")
    machine.until(lambda: '"Status": "successful"' in machine.nomad(*look).stdout, "Nomad has reverted", 180)


def test_a_port_that_is_taken(system: Machine) -> None:
    (system.folder / "squatter.nomad.hcl").write_text(SQUATTER, encoding="ascii")
    done = system.nomad("job", "run", "-detach", str(system.folder / "squatter.nomad.hcl"))
    assert done.returncode == 0, done.stdout + done.stderr
    system.until(lambda: system.running("squatter"), "the port is taken", 30)
    try:
        assert "another job has the port" in failed(system, "deploy", "locust")
        assert "locust" not in system.jobs()
    finally:
        system.nomad("job", "stop", "-purge", "squatter")


def test_too_little_of_the_machine(system: Machine) -> None:
    said = failed(system, "deploy", "gateway", "--var", "gateway.instances=20")
    assert "larger ones, or fewer instances" in said or "free some, or ask for less" in said
    assert system.passing("gateway") == 3


def test_fewer_clients_than_told(system: Machine) -> None:
    assert "fewer clients than" in failed(system, "deploy", "kvstore", "--var", "machines=3")
    assert system.passing("kvstore") == 3


def test_no_client_that_is_eligible(system: Machine) -> None:
    system.nomad("node", "eligibility", "-disable", "-self")
    try:
        said = failed(system, "deploy", "gateway", "--var", "gateway.instances=2")
        assert "no Nomad client is ready and eligible" in said
    finally:
        system.nomad("node", "eligibility", "-enable", "-self")
    assert serves(system)


def test_a_nomad_that_does_not_answer(system: Machine) -> None:
    assert "Nomad does not answer" in failed(system, "deploy", NOMAD_ADDR="http://127.0.0.1:1")


def test_a_variable_that_no_job_takes(system: Machine) -> None:
    assert "spede: no job takes this variable" in failed(system, "deploy", "--var", "spede=2")


def test_a_job_that_somebody_else_changes_meanwhile(system: Machine) -> None:
    began = subprocess.Popen(
        ["scripts/deploy", "gateway", "--var", "gateway.speed=61"],
        env=system.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    look = ("job", "deployments", "-json", "-latest", "gateway")
    system.until(lambda: '"Status": "running"' in system.nomad(*look).stdout, "it is being deployed", 60)
    other = system.nomad("job", "run", "-detach", "-var=speed=62", "jobs/gateway.nomad.hcl")
    assert other.returncode == 0, other.stderr
    said = began.communicate(timeout=600)[1]
    assert began.returncode == 1
    assert "somebody else changed it meanwhile" in said
    settled(system)


def test_secrets_that_are_not_in_nomads_variables(system: Machine) -> None:
    kept = system.nomad("var", "get", "-out=json", "nomad/jobs/locust")
    assert kept.returncode != 0  # Locust is given none, and needs none
    items = system.nomad("var", "get", "-out=json", "nomad/jobs/prometheus").stdout
    assert system.nomad("var", "purge", "nomad/jobs/prometheus").returncode == 0
    try:
        said = failed(system, "deploy", "prometheus")
        assert "no nomad/jobs/prometheus in this NOMAD_NAMESPACE" in said
        assert "prometheus" not in system.jobs()
    finally:
        given = ["nomad", "var", "put", "-force", "-in=json", "-"]
        subprocess.run(given, input=items, env=system.environ, text=True, capture_output=True, check=True)
