"""scripts/deploy before it submits anything: what is kept, what is refused. The rest: tests/nomad, on a real Nomad."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from scripts.cluster import deploy
from scripts.cluster.deploy import DeployError, Deployment

NODE = {
    "ID": "n1",
    "Name": "client-1",
    "Status": "ready",
    "SchedulingEligibility": "eligible",
    "Version": "1.11.3",
    "Drivers": {"raw_exec": {"Healthy": True}},
    "Attributes": {"cpu.arch": "amd64"},
    "Meta": {"python": "3.11"},
    "NodeResources": {"Cpu": {"CpuShares": 4000}, "Memory": {"MemoryMB": 4096}},
}


class Program:
    """Answers as Nomad's program; what changes anything is in `submitted`."""

    def __init__(self, release: str = "/opt/dronedispatch/current") -> None:
        self.submitted: list[Sequence[str]] = []
        self.job: dict[str, Any] | None = None
        self.release = release
        self.memory_mb = 100

    def __call__(
        self,
        *words: str,
        given: str | None = None,
        fine: Sequence[int] = (0,),
        kept: Mapping[str, str] | None = None,
    ) -> tuple[int, str]:
        told = (
            json.dumps(self._answer(words))
            if "-output" in words or "-json" in words or "inspect" in words
            else ""
        )
        if words[:2] in {("job", "plan"), ("job", "run")} and "-output" not in words:
            self.submitted.append(words)
        return 0, told or "Nomad v1.11.3"

    def _answer(self, words: Sequence[str]) -> Any:
        if words[:2] == ("job", "inspect"):
            if self.job is None:
                raise DeployError("nomad job inspect: No job(s) with prefix or ID found")
            return {"Job": self.job}
        if words[:2] == ("node", "status"):
            return NODE if words[-1] == "n1" else [NODE]
        task = {"Driver": "raw_exec", "Resources": {"CPU": 100, "MemoryMB": self.memory_mb}}
        meta = {"variables": json.dumps({"release": self.release})}
        return {"Job": {"Meta": meta, "TaskGroups": [{"Count": 1, "Tasks": [task]}]}}


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    made = Program()
    monkeypatch.setattr(deploy, "nomad", made)
    return made


def refused(program: Program, **told: Any) -> str:
    with pytest.raises((DeployError, FileNotFoundError)) as caught:
        Deployment(**told).run(deploy.ORDER)
    assert program.submitted == []
    return str(caught.value)


@pytest.mark.parametrize("key", ["spede", "gateway.drones", "kvctl.speed", "release_dir"])
def test_a_variable_that_no_job_takes_is_refused_before_anything_is_submitted(
    program: Program, key: str
) -> None:
    assert f"{key}: no job takes this variable" in refused(program, told={key: "1"})


def test_a_file_with_a_variable_that_no_job_takes_is_refused(program: Program, tmp_path: Path) -> None:
    (tmp_path / "mine.hcl").write_text('driver = "exec"\nmachine = 3\n', encoding="ascii")
    assert "machine: no job takes this variable" in refused(program, file=tmp_path / "mine.hcl")


def test_a_file_that_is_not_there_is_refused(program: Program, tmp_path: Path) -> None:
    assert "nowhere.hcl" in refused(program, file=tmp_path / "nowhere.hcl")


def test_a_file_for_larger_machines_is_refused(program: Program) -> None:
    program.memory_mb = 1000  # six jobs of one instance each on 4096
    assert "larger ones, or fewer instances" in refused(program)


@pytest.mark.parametrize("made", [{"arch": "arm64", "python": "3.11"}, {"arch": "amd64", "python": "3.12"}])
def test_a_release_for_another_cpu_or_python_is_refused(
    program: Program, tmp_path: Path, made: dict[str, str]
) -> None:
    (tmp_path / "release.json").write_text(json.dumps(made), encoding="ascii")
    program.release = str(tmp_path)
    assert "is made for" in refused(program)


def test_what_runs_is_kept_where_nobody_says_otherwise(program: Program) -> None:
    program.job = {
        "ID": "gateway",
        "Stop": False,
        "Meta": {"variables": '{"release": "/opt/x", "speed": 60}'},
        "TaskGroups": [{"Count": 5}],
    }
    words, kept = Deployment(told={"speed": "2", "lb.instances": "1"}).filled("gateway")
    assert kept == {"release": "/opt/x", "speed": "60", "instances": "5"}
    assert words[:-1] == ["-var=speed=2"]  # an argument goes before what is kept


def test_a_stopped_job_keeps_nothing(program: Program) -> None:
    program.job = {"ID": "gateway", "Stop": True, "Meta": None, "TaskGroups": [{"Count": 5}]}
    assert Deployment().filled("gateway")[1] == {}


def test_the_version_that_is_watched_is_ours_and_not_a_newer_one_of_somebody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    history = [{"Version": number, "JobModifyIndex": 10 * number} for number in (3, 2, 1)]
    answers = {("eval", "status"): {"JobModifyIndex": 20}, ("job", "history"): history}
    monkeypatch.setattr(deploy, "nomad", lambda *words, **_: (0, json.dumps(answers[words[:2]])))
    assert deploy.registered("gateway", "Job registration successful\nEvaluation ID: e1\n") == 2


@pytest.mark.parametrize("words", [["nosuch"], ["--var", "speed"]])
def test_a_wrong_argument_ends_with_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        deploy.main(words)
    assert ended.value.code == 2
    assert words[-1] in capsys.readouterr().err


def test_without_nomad_on_the_path_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert deploy.main([]) == 1
    assert "is nomad on the PATH" in capsys.readouterr().err
