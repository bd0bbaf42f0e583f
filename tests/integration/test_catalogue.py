from __future__ import annotations

import contextlib

import psutil
import pytest
from scripts.local import leftovers
from scripts.local.home import Home

from support.live_system import LiveSystem

pytestmark = pytest.mark.real

PARTS = {"lb": 1, "gateway": 3, "kvfront": 2, "kvstore": 3, "dispatcher": 1, "drone-sim": 1}
WANTED = PARTS | {"rabbitmq": 1}


def test_consul_shows_every_instance_passing(healthy: LiveSystem) -> None:
    assert {name: len(healthy.passing(name)) for name in WANTED} == WANTED
    checks = healthy.consul("/v1/health/state/any")
    assert [check for check in checks if check["Status"] != "passing"] == []


def test_every_process_is_shown_with_pid_health_restarts_and_memory(healthy: LiveSystem) -> None:
    rows = healthy.status()
    assert len(rows) == 13
    assert all(row["healthy"] and row["pid"] and row["memory_mb"] > 5 for row in rows.values())


def test_nothing_listens_beyond_loopback(healthy: LiveSystem) -> None:
    pids = leftovers.pids_of(Home(healthy.home))
    assert len(pids) >= 13
    sockets = [one for pid in pids for one in psutil.Process(pid).net_connections("inet")]
    listeners = [one.laddr for one in sockets if one.status == psutil.CONN_LISTEN]
    assert [at for at in listeners if at.ip not in {"127.0.0.1", "::1"}] == []


def test_the_pages_that_up_prints_answer(healthy: LiveSystem) -> None:
    with contextlib.closing(healthy.caller()) as caller:
        answers = {path: caller.insist("GET", path).status for path in ("/dashboard", "/docs", "/health")}
    assert set(answers.values()) == {200}, answers
