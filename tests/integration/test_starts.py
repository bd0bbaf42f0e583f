"""Starting, stopping, starting again; and systems of other shapes beside the first one."""

from __future__ import annotations

import contextlib
import random
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.local import traffic
from scripts.local.home import CHECKOUT, Home
from scripts.local.leftovers import pids_of

import order_checks
from dronedispatch.fleet.city import default_city
from live_system import LiveSystem, eventually
from real_parts import free_ports

pytestmark = pytest.mark.real

SECOND_START_S = 25.0


def order(system: LiveSystem, seed: int) -> str:
    with contextlib.closing(system.caller()) as caller:
        answer = caller.ask("POST", "/deliveries", traffic.order(default_city(), random.Random(seed)))
    assert answer.status == 201, answer
    return str(answer.document["id"])


@pytest.fixture
def another(tmp_path: Path) -> Iterator[LiveSystem]:
    """A home beside the running one, stopped at the end whatever happened."""
    live = LiveSystem(tmp_path / "home", free_ports())
    yield live
    if live.home.exists():
        live.down()


@pytest.mark.parametrize(
    ("rf", "drones", "tick_ms"), [(1, 12, 500), (3, 20, 250)], ids=["one copy", "three copies"]
)
def test_with_any_number_of_copies_an_order_is_delivered_and_fleet_and_tick_are_as_asked(
    system: LiveSystem, another: LiveSystem, rf: int, drones: int, tick_ms: int
) -> None:
    another.up("--rf", str(rf), "--drones", str(drones), "--tick-ms", str(tick_ms), "--speed", "60")
    delivery_id = order(another, 21)
    eventually(
        lambda: another.get(f"/deliveries/{delivery_id}")["status"] == "delivered", "it is delivered", 45
    )
    eventually(lambda: len(another.drones()) == drones, f"{drones} drones are there", 10)
    assert ticks_per_s(another) == pytest.approx(1000 / tick_ms, rel=0.25)
    assert order_checks.shared_drones(another.stored("delivery:").values()) == []
    assert delivery_id not in {
        one["id"] for one in system.deliveries()
    }  # the systems beside each other are two


def ticks_per_s(system: LiveSystem) -> float:
    def newest() -> int:
        return max(int(one["tick"] or 0) for one in system.drones())

    began_s, first = time.monotonic(), newest()
    eventually(lambda: time.monotonic() - began_s > 6.0, "six seconds pass", 10)
    return (newest() - first) / (time.monotonic() - began_s)


def test_data_survives_a_restart_and_a_second_start_is_quick(system: LiveSystem) -> None:
    delivery_id = order(system, 22)
    known = {one["id"] for one in system.deliveries()}
    system.down()
    assert pids_of(Home(system.home)) == []
    began_s = time.monotonic()
    system.up("--drones", "72", "--speed", "60")
    assert time.monotonic() - began_s < SECOND_START_S
    assert known <= {one["id"] for one in system.deliveries()}
    eventually(
        lambda: system.get(f"/deliveries/{delivery_id}")["status"] == "delivered", "it is delivered", 60
    )


def test_up_again_says_that_it_runs_and_where(system: LiveSystem) -> None:
    said = system.up("--drones", "72")
    assert "already runs" in said
    assert f"{system.url}/dashboard" in said


def test_up_with_other_options_does_not_touch_what_runs(system: LiveSystem) -> None:
    before = {name: row["pid"] for name, row in system.status().items()}
    refused = system.script("up", "--detach", "--drones", "9")
    assert refused.returncode == 1
    assert "another --port-base" in refused.stderr or "another --drones" in refused.stderr
    assert {name: row["pid"] for name, row in system.status().items()} == before


def test_a_taken_port_is_one_sentence_that_names_it(another: LiveSystem) -> None:
    with contextlib.closing(socket.socket()) as squatter:
        squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        squatter.bind(("127.0.0.1", another.ports.consul_http))
        squatter.listen()
        refused = another.script("up", "--detach", "--port-base", str(another.ports.base))
    assert refused.returncode == 1
    assert str(another.ports.consul_http) in refused.stderr
    assert "--port-base" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1


def test_a_missing_right_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused = subprocess.run(
        [CHECKOUT / "scripts" / "up", "--detach", "--home", tmp_path / "file" / "home"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode == 1
    assert len(refused.stderr.strip().splitlines()) == 1


def test_fresh_starts_empty(system: LiveSystem) -> None:
    assert system.deliveries()
    refused = system.script("up", "--detach", "--fresh")
    assert refused.returncode == 1, "--fresh must not pull the data from under a running system"
    system.down()
    system.up("--drones", "72", "--speed", "60", "--fresh")
    assert system.deliveries() == []
    eventually(lambda: len(system.drones()) == 72, "the fleet is there", 20)
