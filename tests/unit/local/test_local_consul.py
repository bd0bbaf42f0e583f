from __future__ import annotations

from pathlib import Path

import pytest
from scripts.local import consul
from scripts.local.consul import configuration, health_of
from scripts.local.ports import Ports
from scripts.local.trouble import Trouble


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


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\x7fELF of another machine", id="cannot be executed"),
        pytest.param(b"#!/bin/sh\nexec tail -f /dev/null\n", id="says nothing for ever"),
        pytest.param(b"#!/bin/sh\nprintf '\\377'\n", id="says what is no text"),
    ],
)
def test_a_program_that_is_no_consul_is_named_with_what_to_do(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consul, "VERSION_WITHIN_S", 0.2)
    program = tmp_path / "consul"
    program.write_bytes(content)
    program.chmod(0o700)
    with pytest.raises(Trouble, match=rf"{program} does not tell its version: replace it"):
        consul.version(program)
