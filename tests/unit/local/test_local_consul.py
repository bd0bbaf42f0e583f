from __future__ import annotations

from pathlib import Path

from scripts.local.consul import configuration, health_of
from scripts.local.ports import Ports


def test_an_old_consul_is_told_nothing_that_it_does_not_know() -> None:
    old = configuration(Ports(), Path("/data"), (1, 8), broker=True)
    new = configuration(Ports(), Path("/data"), (1, 20), broker=True)
    assert "grpc_tls" not in old["ports"]
    assert "ui_config" not in old
    assert new["ports"]["grpc_tls"] == -1
    assert new["ui_config"] == {"enabled": True}


def test_consul_listens_on_loopback_only() -> None:
    config = configuration(Ports(), Path("/data"), (1, 20), broker=True)
    assert config["bind_addr"] == config["client_addr"] == "127.0.0.1"


def test_rabbitmq_is_registered_with_a_check_when_it_is_ours() -> None:
    [service] = configuration(Ports(), Path("/data"), (1, 8), broker=True)["services"]
    assert service["name"] == "rabbitmq"
    assert service["checks"]
    assert "services" not in configuration(Ports(), Path("/data"), (1, 8), broker=False)


def test_an_instance_passes_when_all_of_its_checks_do() -> None:
    checks = [
        {"ServiceID": "", "Status": "critical"},
        {"ServiceID": "a", "ServiceName": "gateway", "Status": "passing"},
        {"ServiceID": "b", "ServiceName": "gateway", "Status": "passing"},
        {"ServiceID": "b", "ServiceName": "gateway", "Status": "critical", "Output": "no\n answer"},
        {"ServiceID": "b", "ServiceName": "gateway", "Status": "passing"},
    ]
    health = health_of(checks)
    assert health["a"].passing
    assert not health["b"].passing
    assert health["b"].output == "no answer"
