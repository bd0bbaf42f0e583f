from __future__ import annotations

import dataclasses
import importlib
from collections import Counter
from pathlib import Path

import pytest
from scripts.local import overrides, table
from scripts.local.home import SECRETS, Home
from scripts.local.options import Options
from scripts.local.system import STOP_WAVES
from scripts.local.trouble import Trouble

from dronedispatch.runtime.settings import variables

SERVICES = ("lb", "gateway", "kvfront", "kvstore", "dispatcher", "drone-sim")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    home.prepare()
    return home


def test_the_default_system_is_eleven_processes_of_ours(home: Home) -> None:
    counts = Counter(process.service for process in table.services(home, Options()))
    assert counts == {"kvstore": 3, "kvfront": 2, "gateway": 3, "lb": 1, "dispatcher": 1, "drone-sim": 1}
    assert counts.total() == 11


@pytest.mark.parametrize("service", SERVICES)
def test_every_variable_of_the_table_is_a_setting_of_its_service(home: Home, service: str) -> None:
    package = service.replace("-", "_")
    settings = importlib.import_module(f"dronedispatch.{package}.settings").Settings
    known = variables(settings, package.upper())
    for process in table.services(home, Options()):
        if process.service == service:
            own = {name for name in process.environment if name.startswith(f"{package.upper()}_")}
            assert own <= set(known), own - set(known)


def test_counts_decide_how_many_run(home: Home) -> None:
    options = dataclasses.replace(Options(), gateways=5, dispatchers=2, kvstores=4)
    services = [process.service for process in table.services(home, options)]
    assert [services.count(name) for name in ("gateway", "dispatcher", "kvstore")] == [5, 2, 4]


def test_each_replica_has_a_disk_of_its_own(home: Home) -> None:
    disks = [
        process.environment["KVSTORE_DATA_DIR"]
        for process in table.services(home, Options())
        if process.service == "kvstore"
    ]
    assert len(set(disks)) == 3


def test_no_secret_is_in_an_environment(home: Home) -> None:
    words = {home.secret(name).read_text(encoding="utf-8").strip() for name in SECRETS}
    for process in table.services(home, Options()):
        assert not words & set(process.environment.values())


def test_only_the_public_door_may_leave_loopback(home: Home) -> None:
    open_to_all = dataclasses.replace(Options(), listen="0.0.0.0")
    services = table.services(home, open_to_all)
    assert [one.name for one in services if "0.0.0.0" in one.environment.values()] == []
    assert [one.socket for one in services if one.socket] == ["tcp://0.0.0.0:8080"]


def test_settings_of_the_caller_reach_the_services_and_the_rest_of_his_environment_does_not() -> None:
    kept = table.inherited(
        {"KVFRONT_HINT_FLUSH_S": "1", "AWS_SECRET": "x", "PATH": "/bin", "PYTHONPATH": "/x"}
    )
    assert kept == {"KVFRONT_HINT_FLUSH_S": "1", "PATH": "/bin"}


def test_every_process_is_in_a_wave_of_the_stop(home: Home) -> None:
    stopped = {service for wave in STOP_WAVES for service in wave}
    options = dataclasses.replace(Options(), orders_per_minute=6.0)
    assert {process.service or "traffic" for process in table.services(home, options)} <= stopped


def test_demonstration_traffic_is_off_unless_asked_for(home: Home) -> None:
    assert not [one for one in table.services(home, Options()) if one.name == "traffic"]


def test_a_wrong_setting_in_the_callers_environment_is_told_before_anything_starts(home: Home) -> None:
    services = table.services(home, Options())
    overrides.check(services, {"KVFRONT_DRAIN_S": "5"})
    for wrong in ({"KVFRONT_DRAIN": "5"}, {"GATEWAY_STORE_TIMEOUT_S": "-1"}, {"LB_RETRIES": "perhaps"}):
        with pytest.raises(Trouble, match=f"{next(iter(wrong))[:8]}.*--settings"):
            overrides.check(services, wrong)
    with pytest.raises(Trouble, match=r"AMQP_URL='nonsense': expected amqp"):
        overrides.check(services, {"AMQP_URL": "nonsense"})
    overrides.check(services, {"AMQP_URL": "amqp://me:p%40ss@broker.example:5672/%2F"})
