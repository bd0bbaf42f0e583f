"""One machine with `nomad agent -dev`: every job by Nomad's own command, in any order, and an order delivered.

The first file of the folder: behind the orders of the others this one would wait for a quarter of an hour.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.cluster.deploy import ORDER
from scripts.trial import order

from support.nomad_machine import DOOR, ROOT, Machine

pytestmark = [pytest.mark.real, pytest.mark.netns]

FILES = sorted((ROOT / "jobs").glob("*.nomad.hcl"))
VARIABLES = [None, *sorted((ROOT / "jobs/vars").glob("*.hcl"))]


@pytest.mark.parametrize("values", VARIABLES, ids=lambda path: path.stem if path else "defaults")
@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name.partition(".")[0])
def test_nomad_finds_every_job_file_valid(machine: Machine, file: Path, values: Path | None) -> None:
    if file.name.startswith("rabbitmq"):
        values = None  # one machine's alone
    told = [f"-var-file={values}", "-hcl2-strict=false"] if values else []
    done = machine.nomad("job", "validate", *told, str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "warning" not in (done.stdout + done.stderr).lower()


def test_the_job_files_are_as_nomad_formats_them(machine: Machine) -> None:
    done = machine.nomad("fmt", "-check", "-recursive", "jobs")
    assert (done.returncode, done.stdout) == (0, "")


def test_jobs_run_in_any_order_and_an_order_is_delivered(system: Machine) -> None:
    # In any order: the fixture `system` submits the door first.
    assert order.main([f"http://{DOOR}", "--deadline", "1800"]) == 0


def test_deploy_finds_what_nomads_own_command_started_as_it_is(system: Machine) -> None:
    done = system.script("deploy", "--plan")
    assert done.stdout.splitlines() == [f"{name}: no change" for name in ORDER], done.stderr


def test_status_and_logs_show_every_instance(system: Machine) -> None:
    done = system.script("status", "--nomad")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()].count("gateway") == 3
    said = system.script("logs", "--nomad", "-n", "3", "gateway").stdout.splitlines()
    assert len({line.split()[1] for line in said}) == 3
