"""The system without Nomad: the units say to each process what its job file would say."""

from __future__ import annotations

import importlib
import re
import subprocess
from pathlib import Path

import pytest
from scripts.cluster import expand, units
from scripts.cluster.deploy import JOBS, ORDER
from scripts.cluster.jobspec import JobSpec
from scripts.cluster.values import Values

from dronedispatch.runtime import settings

HOSTS = {"server-1": "192.168.56.11", "client-1": "192.168.56.21", "client-2": "192.168.56.22"}
SMALL = ["driver=raw_exec", "kvstore.instances=2", "gateway.instances=2", "speed=60"]


@pytest.fixture(scope="module")
def jobs() -> list[JobSpec]:
    return units.specs(Values.read(None, SMALL))


@pytest.fixture(scope="module")
def written(jobs: list[JobSpec], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("units")
    units.write(folder, jobs, HOSTS)
    return folder


def environments(folder: Path, job: str) -> list[dict[str, str]]:
    files = sorted(folder.glob(f"*/dronedispatch-{job}-*.env"))
    return [dict(line.split("=", 1) for line in path.read_text().splitlines()) for path in files]


@pytest.mark.parametrize("job", ORDER)
def test_a_process_is_told_what_its_job_file_tells(written: Path, jobs: list[JobSpec], job: str) -> None:
    (spec,) = (one for one in jobs if one.name == job)
    told = environments(written, job)
    assert len(told) == units.count(spec)
    for environment in told:
        assert set(environment) == {*spec.env, "CONSUL_HTTP_TOKEN_FILE"}
        assert not any("${" in value or value == "" for value in environment.values())
        plain = {name: str(value) for name, value in spec.env.items() if "${" not in str(value)}
        assert {
            name: value for name, value in plain.items() if not name.endswith("_REGISTRATION")
        }.items() <= environment.items()


@pytest.mark.parametrize("job", [job for job in ORDER if job != "bootstrap"])
def test_its_service_accepts_what_it_is_told(written: Path, job: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s" * 32, encoding="ascii")
    module = importlib.import_module(f"dronedispatch.{job.replace('-', '_')}.settings")
    for environment in environments(written, job):
        read = {
            name: str(tmp_path / "secret") if name.endswith("_FILE") else value
            for name, value in environment.items()
        }
        loaded = settings.load(module.Settings, job.replace("-", "_").upper(), read)
        assert loaded.process.registration == "self"


def test_instances_of_a_job_share_no_machine_and_no_two_processes_a_port(written: Path) -> None:
    for job in ORDER:
        machines = [path.parent.name for path in written.glob(f"*/dronedispatch-{job}-*.service")]
        assert len(machines) == len(set(machines))
    for host in HOSTS:
        text = "\n".join(path.read_text() for path in (written / host).glob("*.env"))
        ports = re.findall(r"_PORT=(\d+)", text)
        assert len(ports) == len(set(ports))
    assert not list((written / "server-1").iterdir())


def test_the_first_door_is_where_the_vagrantfile_forwards_it(written: Path) -> None:
    (environment, _) = environments(written, "lb")
    assert (environment["LB_HOST"], environment["LB_PORT"]) == (HOSTS["client-1"], "8080")


def test_every_file_that_is_named_is_a_secret_that_is_fetched(written: Path) -> None:
    for path in written.glob("*/*.env"):
        fetched = {line.split()[0] for line in path.with_suffix(".secrets").read_text().splitlines()}
        folder = f"/run/{path.stem}/"
        named = re.findall(r"^\w+_FILE=(.*)$", path.read_text(), re.MULTILINE)
        assert {name.removeprefix(folder) for name in named} == fetched


def test_systemd_accepts_every_unit(written: Path, tmp_path: Path) -> None:
    program = tmp_path / "true"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for path in written.glob("*/*.service"):
        text = re.sub(r"^(Exec\w+=\+?)\S+", rf"\g<1>{program}", path.read_text(), flags=re.MULTILINE)
        text = text.replace("User=dronedispatch", "User=root")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    written_units = sorted(map(str, tmp_path.glob("*.service")))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *written_units],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.replace("\n", " ").strip()) == (0, "")


def test_more_instances_than_clients_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--out", str(tmp_path), "--var", "gateway.instances=3", "--var", "kvstore.instances=2"]
    status = units.main([*words, *(f"{name}={address}" for name, address in HOSTS.items())])
    assert status == 1
    assert capsys.readouterr().err == (
        "error: gateway has 3 instances and there are 2 clients to hold one each: --var gateway.instances=2\n"
    )


@pytest.mark.parametrize("text", ["${count.index}", "${var.a + 1}", "%{ if var.a }"])
def test_a_form_of_hcl_that_is_not_known_is_named(text: str) -> None:
    spec = JobSpec.read(JOBS / "gateway.nomad.hcl")
    with pytest.raises(expand.ExpandError, match="gateway: "):
        expand.fill("gateway", text, expand.values(spec, {}))
