"""Starting, stopping, starting again; and systems of other shapes beside the first one."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from scripts.local.home import Home
from scripts.local.leftovers import pids_of

from support.commands import ran
from support.live_orders import becomes_delivered, placed
from support.live_system import LiveSystem, eventually
from support.ports import free_ports

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def system(live: LiveSystem) -> LiveSystem:
    """The system of the pages: tests/integration/test_pages.py leaves it running."""
    if not pids_of(Home(live.home)):
        live.up("--speed", "60")
    eventually(live.all_healthy, "every process is healthy", 40)
    return live


@pytest.fixture
def another(tmp_path: Path) -> Iterator[LiveSystem]:
    """A home beside the running one, stopped at the end whatever happened."""
    live = LiveSystem(tmp_path / "home", free_ports())
    yield live
    if live.home.exists():
        live.down()


def test_a_second_system_runs_beside_the_first_until_ctrl_c_and_fresh_it_starts_empty_in_another_shape(
    system: LiveSystem, another: LiveSystem
) -> None:
    with another.attached("--rf", "1", "--drones", "12", "--tick-ms", "500", "--speed", "60") as terminal:
        delivery_id = placed(another, 21)
        becomes_delivered(another, delivery_id)
        fleet_and_tick_are(another, drones=12, tick_ms=500)
        assert delivery_id not in {one["id"] for one in system.deliveries()}
        terminal.send_signal(signal.SIGINT)
        assert terminal.wait(240) == 0
    assert pids_of(Home(another.home)) == []

    kept = another.script("up", "--detach", "--port-base", str(another.ports.base), "--rf", "3")
    assert kept.returncode == 1, "another number of copies must not be put over data"
    assert "--fresh" in kept.stderr
    another.up("--drones", "24", "--tick-ms", "250", "--speed", "60", "--rf", "3", "--fresh")
    assert another.deliveries() == []
    fleet_and_tick_are(another, drones=24, tick_ms=250)
    becomes_delivered(another, placed(another, 23))


def fleet_and_tick_are(system: LiveSystem, *, drones: int, tick_ms: int) -> None:
    eventually(lambda: len(system.drones()) == drones, f"{drones} drones are there", 20)
    told = psutil.Process(system.pid("drone-sim-1")).environ()
    assert told["DRONE_SIM_TICK_MS"] == str(tick_ms)  # how it is kept: unit/drone_sim/test_ticker.py
    before = newest_tick(system)
    eventually(lambda: newest_tick(system) > before + 2, "the fleet is told tick by tick", 10)


def newest_tick(system: LiveSystem) -> int:
    return max(int(one["tick"] or 0) for one in system.drones())


def test_up_again_says_that_it_runs_and_where(system: LiveSystem) -> None:
    said = system.up("--speed", "60")
    assert "already runs" in said
    assert f"{system.url}/dashboard" in said


def test_up_with_other_options_does_not_touch_what_runs(system: LiveSystem) -> None:
    before = {name: row["pid"] for name, row in system.status().items()}
    refused = system.script("up", "--detach", "--drones", "9")
    assert refused.returncode == 1
    assert "another --port-base" in refused.stderr or "another --drones" in refused.stderr
    refused = system.script("up", "--detach", "--fresh")
    assert refused.returncode == 1, "--fresh must not pull the data from under a running system"
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
    refused = ran(["scripts/up", "--detach", "--home", tmp_path / "file" / "home"])
    assert refused.returncode == 2
    assert f"{tmp_path / 'file'} is no folder" in refused.stderr.splitlines()[-1]
