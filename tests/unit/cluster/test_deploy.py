"""scripts/deploy before it submits anything: what is kept, what is refused. The rest: tests/nomad, on a real Nomad."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from scripts.cluster import command, deploy
from scripts.cluster.deploy import DeployError, Deployment

from unit.cluster.test_diagnosis import NODE as READY

NODE = READY | {"ID": "n1", "Drivers": {"raw_exec": {"Healthy": True}}}


class Program:
    """Answers as Nomad's program; what changes anything is in `submitted`."""

    def __init__(self, release: str = "/opt/dronedispatch/current") -> None:
        self.submitted: list[Sequence[str]] = []
        self.job: dict[str, Any] | None = None
        self.release = release
        self.memory_mb = 100
        self.machines = 1
        self.secrets = set(deploy.ORDER)
        self.servers = {"server-1.global": ("alive", "1.11.3")}

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
        if words[:2] == ("var", "list"):
            told = json.dumps([{"Path": f"nomad/jobs/{name}"} for name in self.secrets])
        if words[:2] in {("job", "plan"), ("job", "run")} and "-output" not in words:
            self.submitted.append(words)
        return 0, told or "Nomad v1.11.3"

    def _answer(self, words: Sequence[str]) -> Any:
        if words[:2] == ("job", "inspect"):
            if self.job is None:
                raise DeployError("nomad job inspect: No job(s) with prefix or ID found")
            return {"Job": self.job}
        if words[:2] == ("server", "members"):
            return [
                {"Name": name, "Status": status, "Tags": {"build": build}}
                for name, (status, build) in self.servers.items()
            ]
        if words[:2] == ("node", "status"):
            return NODE if words[-1] == "n1" else [NODE]
        task = {"Driver": "raw_exec", "Resources": {"CPU": 100, "MemoryMB": self.memory_mb}}
        meta = {"variables": json.dumps({"release": self.release, "machines": self.machines})}
        return {"Job": {"Meta": meta, "TaskGroups": [{"Count": 1, "Tasks": [task]}]}}


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Program:
    made = Program()
    monkeypatch.setattr(deploy, "nomad", made)
    return made


ROOT = Path(__file__).resolve().parents[3]


def test_deploy_rollout_rotate_and_diagnosis_stay_below_400_lines() -> None:
    rooms = (
        "cluster/deploy.py",
        "cluster/diagnosis.py",
        "cluster/rotate.py",
        "deploy",
        "rollout",
        "rotate-tokens",
    )
    texts = [(ROOT / "scripts" / name).read_text(encoding="utf-8") for name in rooms]
    assert sum(len(text.splitlines()) for text in texts) < 400


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


def test_a_file_for_all_jobs_may_say_what_the_job_at_hand_does_not_take(program: Program) -> None:
    assert "machines" not in deploy.declared("locust")
    Deployment(file=deploy.ROOT / "jobs/vars/cluster.hcl").run(["locust"])
    assert [words[:2] for words in program.submitted] == [("job", "plan")]


def test_a_file_that_is_not_there_is_refused(program: Program, tmp_path: Path) -> None:
    assert "nowhere.hcl" in refused(program, file=tmp_path / "nowhere.hcl")


def test_a_file_for_larger_machines_is_refused(program: Program) -> None:
    program.memory_mb = 1000  # six jobs of one instance each on 4096
    assert "larger ones, or fewer instances" in refused(program)


def test_a_file_for_more_machines_is_refused(program: Program) -> None:
    program.machines = 3
    assert "fewer clients than --var machines=3" in refused(program)


def test_secrets_that_are_not_there_are_named_before_anything_is_submitted(program: Program) -> None:
    program.secrets.remove("lb")
    assert "no nomad/jobs/lb in this NOMAD_NAMESPACE" in refused(program)


def test_a_server_that_is_not_supported_is_refused(program: Program) -> None:
    program.servers["server-2.global"] = ("alive", "1.10.5")
    assert "the server server-2.global is Nomad 1.10.5" in refused(program)


@pytest.mark.parametrize("status", ["left", "failed"])
def test_a_server_that_was_replaced_does_not_count_though_it_is_still_listed(
    program: Program, status: str
) -> None:
    program.servers["server-0.global"] = (status, "1.8.4")
    Deployment().run(["gateway"])
    assert program.submitted != []


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


@pytest.mark.parametrize("words", [["nosuch"], ["--var", "speed"], ["--vars", "nosuch"]])
def test_a_wrong_argument_ends_with_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        deploy.main(words)
    assert ended.value.code == 2
    assert words[-1] in capsys.readouterr().err


def test_without_nomad_on_the_path_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main(["deploy"]) == 1
    assert "is nomad on the PATH" in capsys.readouterr().err


def test_a_nomad_that_is_silent_is_told_after_10_s_before_anything_is_submitted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, ...]] = []

    def silent(words: list[str], timeout: float, **_: object) -> None:
        asked.append(tuple(words[1:]))
        raise subprocess.TimeoutExpired(words, timeout)

    monkeypatch.setattr(subprocess, "run", silent)
    for words in (["deploy"], ["rotate"], ["look", "status"]):
        asked.clear()
        assert command.main(words) == 1
        assert "Nomad does not answer within 10 s" in capsys.readouterr().err
        assert len(asked) == 1  # one wait, not one for each question


@pytest.mark.parametrize(
    ("deployment", "answer", "sentence"),
    [
        ({"ID": "d", "Status": "running"}, "failed. Auto-reverted to job version 3.", "the old version goes on"),
        ({"ID": "d", "Status": "running"}, 'Deployment "d" failed', "no version is healthy"),
        (
            {
                "ID": "d",
                "Status": "failed",
                "StatusDescription": "Failed due to unhealthy allocations - rolling back to job version 3",
            },
            "",
            "the old version goes on",
        ),
        (
            {
                "ID": "d",
                "Status": "failed",
                "StatusDescription": "Failed due to unhealthy allocations - no stable job version to auto revert to",
            },
            "",
            "no version is healthy",
        ),
    ],
)  # fmt: skip
def test_that_an_old_version_serves_is_said_when_nomad_says_so(
    monkeypatch: pytest.MonkeyPatch, deployment: dict[str, str], answer: str, sentence: str
) -> None:
    said = {"alloc": "its last words\n", "deployment": answer}
    monkeypatch.setattr(deploy, "nomad", lambda *words, **_: (0, said[words[0]]))
    allocation = {"ID": "0a1b2c3d-4e5f", "NodeName": "client-1", "JobVersion": 4}
    told = deploy.give_up(deployment, allocation, "gateway", "it ends by itself: Exit Code: 1")
    assert told.startswith(sentence)
    assert told.endswith("\n    its last words\n  More: nomad alloc status 0a1b2c3d")


RUNNING = {"ID": "d", "Status": "running", "StatusDescription": "Deployment is running"}


@pytest.mark.parametrize(
    ("failed", "status", "sentence"),
    [
        ('Deployment "d" failed. Auto-reverted to job version 3.', None, "the old version goes on serving."),
        ('Deployment "d" failed', None, "no version is healthy."),
        (None, json.dumps(RUNNING), "what serves now is unknown."),
        (None, None, "what serves now is unknown."),
    ],
)
def test_what_nomad_is_too_late_to_say_is_unknown(
    monkeypatch: pytest.MonkeyPatch, failed: str | None, status: str | None, sentence: str
) -> None:
    said = {"logs": None, "fail": failed, "status": status}

    def answer(*words: str, **_: object) -> tuple[int, str]:
        told = said[words[1]]
        return (deploy.LATE, "") if told is None else (0, told)

    monkeypatch.setattr(deploy, "nomad", answer)
    allocation = {"ID": "0a1b2c3d-4e5f", "NodeName": "client-1", "JobVersion": 4}
    told = deploy.give_up(RUNNING, allocation, "gateway", "Driver Failure: no file")
    assert told.startswith(sentence)


def test_the_cause_is_told_though_the_last_words_come_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*words: str, **_: object) -> None:
        raise subprocess.TimeoutExpired("nomad", 30)

    monkeypatch.setattr(subprocess, "run", late)
    allocation = {"ID": "0a1b2c3d-4e5f", "NodeName": "client-1", "JobVersion": 4}
    told = deploy.give_up({"ID": "d", "Status": "running"}, allocation, "gateway", "Driver Failure: no file")
    assert "task gateway: Driver Failure: no file." in told


DOOMED = {
    "ID": "0a1b2c3d-4e5f",
    "NodeName": "client-1",
    "JobVersion": 4,
    "ClientStatus": "failed",
    "TaskStates": {
        "gateway": {"Events": [{"Type": "Driver Failure", "DisplayMessage": "no file", "Time": 1}]}
    },
}
FAILED = {
    "ID": "d4",
    "JobVersion": 4,
    "Status": "failed",
    "StatusDescription": "Failed - rolling back to job version 3",
}
REVERT = {"ID": "d5", "JobVersion": 5, "Status": "running"}


def told_of(monkeypatch: pytest.MonkeyPatch, deployments: list[Any], allocations: list[Any]) -> str:
    """Why the deployment of version 4 is given up."""
    answers = {"deployments": deployments, "allocs": allocations, "status": deployments[-1], "fail": None}

    def answer(*words: str, **_: object) -> tuple[int, str]:
        return 0, "its last words" if words[0] == "alloc" else json.dumps(answers[words[1]])

    monkeypatch.setattr(deploy, "nomad", answer)
    with pytest.raises(DeployError) as caught:
        Deployment().watch("gateway", 4)
    return str(caught.value)


def test_nomads_own_way_back_is_not_somebody_elses_change(monkeypatch: pytest.MonkeyPatch) -> None:
    told = told_of(monkeypatch, [REVERT, FAILED], [DOOMED])
    assert told.startswith("gateway: the old version goes on serving.")
    assert "Driver Failure: no file" in told
    told = told_of(monkeypatch, [REVERT, FAILED], [])
    assert told.startswith("gateway: not healthy: Failed - rolling back to job version 3")


@pytest.mark.parametrize("status", ["running", "cancelled"])
def test_somebody_elses_change_ends_the_watch(monkeypatch: pytest.MonkeyPatch, status: str) -> None:
    assert "somebody else changed it" in told_of(monkeypatch, [REVERT, FAILED | {"Status": status}], [])
    stopped = [FAILED | {"Status": "cancelled"}]
    assert "somebody else changed it" in told_of(monkeypatch, stopped, [])


def test_a_deployment_that_nomad_has_failed_by_then_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"alloc": "", "fail": "", "status": json.dumps(FAILED)}
    monkeypatch.setattr(
        deploy, "nomad", lambda *words, **_: (0, said["alloc" if words[0] == "alloc" else words[1]])
    )
    told = deploy.give_up(FAILED | {"Status": "running"}, DOOMED, "gateway", "Driver Failure: no file")
    assert told.startswith("the old version goes on serving")
