"""scripts/rotate-tokens: who shows and who accepts which token, step by step. On a real Nomad: tests/nomad."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from scripts.cluster import deploy, rotate
from scripts.cluster.deploy import DeployError, Deployment


class Cluster:
    """Nomad's Variables, which of the jobs run, and what was written and rolled, in order."""

    def __init__(self, running: tuple[str, ...], variables: Mapping[str, Mapping[str, str]]) -> None:
        self.running = running
        self.variables = {name: dict(items) for name, items in variables.items()}
        self.log: list[tuple[str, ...]] = []
        self.new = "new"
        self.after_each: Callable[[str], None] = lambda _: (
            None
        )  # Variable that is written, job that is rolled

    def __call__(self, *words: str, given: str | None = None, **_: object) -> tuple[int, str]:
        told: Any = None
        if words[:2] == ("job", "inspect"):
            if words[2] not in self.running:
                raise DeployError("nomad job inspect: No job(s) with prefix or ID found")
            told = {"Job": {"ID": words[2], "Stop": False, "Meta": {"variables": '{"generation": 4}'}}}
        if words[:2] == ("var", "list"):
            told = [{"Path": f"nomad/jobs/{name}"} for name in self.variables]
        if words[:2] == ("var", "get"):
            told = {"Items": self.variables[words[-1].rpartition("/")[2]]}
        if words[:2] == ("var", "put"):
            made = json.loads(given or "")
            name = made["Path"].rpartition("/")[2]
            self.variables[name] = made["Items"]
            self.log.append(("put", name, *made["Items"].get("metrics_token", "").split()))
            self.after_each("")
        return 0, json.dumps(told)


@pytest.fixture
def rotated(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Rotates the tokens of a cluster; new ones are called `new`, or what the cluster says."""

    def run(cluster: Cluster) -> Cluster:
        def roll(told: Deployment, names: list[str]) -> None:
            cluster.log.append(("roll", told.told["generation"], *names))
            for name in names:
                cluster.after_each(name)

        monkeypatch.setattr(deploy, "nomad", cluster)
        monkeypatch.setattr(rotate, "nomad", cluster)
        monkeypatch.setattr("secrets.token_urlsafe", lambda _: cluster.new)
        monkeypatch.setattr(Deployment, "run", roll)
        rotate.rotate()
        return cluster

    return run


def test_a_job_that_does_not_run_has_the_new_tokens_too_and_is_not_rolled(rotated: Any) -> None:
    # Prometheus, deployed after a rotation, was refused by every target.
    made = rotated(
        Cluster(
            ("gateway", "lb"),
            {name: {"metrics_token": "old"} for name in ("prometheus", "gateway", "lb", "kvfront")},
        )
    )
    assert {name: items["metrics_token"] for name, items in made.variables.items()} == dict.fromkeys(
        ("prometheus", "gateway", "lb", "kvfront"), "new"
    )
    assert [one for one in made.log if one[0] == "roll"] == [
        ("roll", number, "gateway", "lb") for number in ("5", "6", "7")
    ]


def test_a_stale_token_of_a_job_that_does_not_run_is_accepted_by_no_other(rotated: Any) -> None:
    made = rotated(
        Cluster(("gateway",), {"lb": {"metrics_token": "stale"}, "gateway": {"metrics_token": "old"}})
    )
    written = [one[2:] for one in made.log if one[:2] == ("put", "gateway")]
    assert written == [("old", "new"), ("new", "old"), ("new",)]
    assert made.variables["lb"] == {"metrics_token": "new"}


def test_prometheus_is_given_one_token_at_each_step_that_its_targets_accept_then(rotated: Any) -> None:
    # It shows the whole file, and sends nothing where that is two lines: it saw no target while tokens were rotated.
    items = {"metrics_token": "old"}
    made = rotated(Cluster(("gateway", "prometheus"), {"gateway": items, "prometheus": items}))
    shown = [one[2:] for one in made.log if one[:2] == ("put", "prometheus")]
    accepted = [one[2:] for one in made.log if one[:2] == ("put", "gateway")]
    assert shown == [("old",), ("new",), ("new",)]
    assert all(set(one) <= set(both) for one, both in zip(shown, accepted, strict=True))


def test_what_is_no_bearer_token_stays(rotated: Any) -> None:
    items = {"metrics_token": "old", "broker_password": "kept"}
    made = rotated(Cluster(("gateway",), {"gateway": items, "rabbitmq": {"definitions": "{}"}}))
    assert made.variables == {
        "gateway": {"metrics_token": "new", "broker_password": "kept"},
        "rabbitmq": {"definitions": "{}"},
    }


def test_where_no_job_runs_nothing_is_changed(rotated: Any) -> None:
    cluster = Cluster((), {"gateway": {"metrics_token": "old"}})
    with pytest.raises(DeployError, match="no job runs"):
        rotated(cluster)
    assert cluster.log == []


class Interrupted(Exception):
    """Ctrl-C."""


class Processes:
    """What each running process has read at its start. Whoever starts next, for whatever reason, reads the Variable."""

    def __init__(self) -> None:
        runs = ("kvstore", "kvfront", "gateway")
        there = {name: {"metrics_token": "old"} for name in (*runs, "lb", "prometheus")}
        self.cluster = Cluster(runs, there)
        self.cluster.after_each = self._happened
        self.read = {name: self.variable(name) for name in runs}
        self.until = 0

    def variable(self, name: str) -> tuple[str, ...]:
        return tuple(self.cluster.variables[name]["metrics_token"].split())

    def _happened(self, rolled: str) -> None:
        if rolled:
            self.read[rolled] = self.variable(rolled)
        files = [*self.read.values(), *map(self.variable, (*self.read, "lb"))]
        shown = {first for first, *_ in files} | {"\n".join(self.variable("prometheus"))}
        assert all(shown <= set(accepted) for accepted in files), (shown, files)
        self.until -= 1
        if not self.until:
            raise Interrupted


A_ROTATION = 3 * (5 + 3)  # Variables that are written, and jobs that are rolled


@pytest.mark.parametrize("first", range(1, A_ROTATION + 1))
def test_a_rotation_that_was_interrupted_anywhere_is_finished_and_nobody_is_refused_meanwhile(
    rotated: Any, first: int
) -> None:
    for second in range(1, A_ROTATION + 1):
        processes = Processes()
        for number, until in enumerate((first, second), 1):
            processes.until, processes.cluster.new = until, f"new{number}"
            with pytest.raises(Interrupted):
                rotated(processes.cluster)
        processes.until, processes.cluster.new = A_ROTATION + 1, "new3"
        rotated(processes.cluster)
        assert processes.until == 1  # every moment was looked at
        variables = map(processes.variable, processes.cluster.variables)
        assert {*processes.read.values(), *variables} == {("new3",)}
