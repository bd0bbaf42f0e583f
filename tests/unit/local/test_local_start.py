"""In which order a system starts, and with what."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
from scripts.local.home import Home
from scripts.local.options import Options, parse
from scripts.local.system import System, Watch, of_home
from scripts.local.trouble import Trouble
from scripts.local.up import bring_up


class Supervised:
    """A supervisord whose processes get healthy one by one, a question at a time; the door comes last."""

    def __init__(self, system: System) -> None:
        self.names = [process.name for process in system.processes]
        self.healthy: list[str] = []
        self.healthy_at_start: dict[str, set[str]] = {}

    def start(self, name: str) -> None:
        self.healthy_at_start[name] = set(self.healthy)

    def restarts(self) -> dict[str, int]:
        return {}

    def unhealthy(self) -> dict[str, str]:
        waiting = [name for name in self.names if name in self.healthy_at_start and name not in self.healthy]
        if waiting:
            self.healthy.append(waiting[0])
        return {name: "not yet" for name in self.names if name not in self.healthy}


def test_traffic_starts_when_everything_else_is_healthy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System(Home(tmp_path / "home"), dataclasses.replace(Options(), orders_per_minute=60.0))
    played = Supervised(system)
    monkeypatch.setattr(system, "supervisor", played)
    monkeypatch.setattr(system, "unhealthy", played.unhealthy)
    monkeypatch.setattr(system, "_bootstrap_store", lambda _watch: None)
    monkeypatch.setattr("scripts.local.system.time.sleep", lambda _s: None)
    told: list[str] = []
    system.start(told.append)
    assert played.healthy_at_start["traffic"] == set(played.names) - {"traffic"}
    assert len(told) == len(played.names)


def test_a_port_lost_to_a_connection_while_starting_is_told_at_the_first_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = System(Home(tmp_path / "home"), Options())
    dying = Dying("rabbitmq")
    monkeypatch.setattr(wanted, "supervisor", dying)
    lost = Options().ports.amqp_distribution
    for module in ("ports", "system"):
        monkeypatch.setattr(
            f"scripts.local.{module}.holder", lambda port: "connection" if port == lost else None
        )
    with pytest.raises(Trouble, match=rf"rabbitmq ended: port {lost}, .* outgoing connection"):
        Watch(wanted, print).wait_for(lambda: False, ["rabbitmq"], "healthy", 60.0)
    assert dying.asked == 2


class Dying:
    """A supervisord one of whose processes dies at every question."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked = 0

    def restarts(self) -> dict[str, int]:
        self.asked += 1
        return {self.name: self.asked}


def test_a_copied_home_is_told_soon_with_what_to_type_and_not_after_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System(Home(tmp_path / "home"), Options())
    monkeypatch.setattr(system, "supervisor", Supervised(system))
    monkeypatch.setattr(
        system, "unhealthy", lambda: {"kvstore-1": "critical in Consul: a copy -> dronedispatch kvctl adopt"}
    )
    clock = iter(range(1_000))
    monkeypatch.setattr("scripts.local.system.time.monotonic", lambda: float(next(clock)))
    monkeypatch.setattr("scripts.local.system.time.sleep", lambda _s: None)
    with pytest.raises(Trouble, match="dronedispatch kvctl adopt"):
        Watch(system, lambda _line: None).wait(["kvstore-1"])
    assert next(clock) < 200


def test_a_process_that_is_added_later_has_the_settings_of_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`scripts/scale gateway 5` from another terminal: one of five gateways would keep orders for another time."""

    def no_further(_system: System) -> None:
        raise Trouble("no further")

    monkeypatch.setattr(System, "check_ports", lambda *_: None)
    monkeypatch.setattr(System, "write_files", lambda _system: None)
    monkeypatch.setattr(System, "launch", no_further)
    given = {"AMQP_URL": "amqp://broker.example", "GATEWAY_KEEP_DAYS": "0", "PATH": os.environ["PATH"]}
    with pytest.raises(Trouble, match="no further"):
        bring_up(parse(["--detach", "--home", str(tmp_path / "home")]), given)
    later = of_home(Home(tmp_path / "home")).supervisor_configuration({"PATH": os.environ["PATH"]})
    assert 'AMQP_URL="amqp://broker.example"' in later
    assert 'GATEWAY_KEEP_DAYS="0"' in later
