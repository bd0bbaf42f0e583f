"""One machine with `nomad agent -dev`: every job by Nomad's own command, in any order, and an order delivered."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.cluster.deploy import ORDER, declared
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


def test_jobs_run_in_any_order_and_an_order_is_delivered(machine: Machine) -> None:
    for name in reversed(ORDER):  # the door first: whoever is early waits
        speed = ["-var=speed=60"] if "speed" in declared(name) else []  # a flight takes minutes otherwise
        done = machine.nomad("job", "run", "-detach", *speed, f"jobs/{name}.nomad.hcl")
        assert done.returncode == 0, done.stdout + done.stderr
    machine.until(
        lambda: all(machine.passing(name) == len(machine.running(name)) > 0 for name in ORDER),
        "every instance passes",
        300,
    )
    assert {name: machine.passing(name) for name in ORDER} == {
        "kvstore": 3,
        "kvfront": 2,
        "drone-sim": 1,
        "dispatcher": 2,
        "gateway": 3,
        "lb": 1,
    }
    assert order.main([f"http://{DOOR}", "--deadline", "1800"]) == 0
