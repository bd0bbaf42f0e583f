"""What the environment says of where others are is refused by name when it cannot be true, in every tool and service."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from dronedispatch.gateway.settings import Settings as GatewaySettings
from dronedispatch.kvctl.__main__ import main as kvctl
from dronedispatch.kvctl.settings import Settings as KvctlSettings
from dronedispatch.replication.links import Links
from dronedispatch.runtime.addresses import consul_address
from dronedispatch.runtime.broker_source import BrokerSource
from dronedispatch.runtime.consul import ConsulClient, Endpoint, ServiceRegistration
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.settings import AmqpSettings, SettingsError, load
from dronedispatch.testing.clock import FakeClock
from dronedispatch.tool.dead_letters import Settings as DeadLetterSettings

READERS: list[tuple[type[Any], str]] = [
    (GatewaySettings, "GATEWAY"),
    (KvctlSettings, "KVCTL"),
    (DeadLetterSettings, "DEADLETTERS"),
]
NO_ADDRESSES = ["ftp://c:1", "http://", "http://[::1", "http://c:port", "http://c:99999", "c:0", "two words"]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("127.0.0.1:8500", ("http", "127.0.0.1", 8500)),
        ("http://consul", ("http", "consul", 8500)),
        ("http://[::1]:8500/", ("http", "::1", 8500)),
        ("https://c:8501", ("https", "c", 8501)),
    ],
)
def test_an_address_is_read_with_and_without_its_scheme(text: str, parts: tuple[str, str, int]) -> None:
    assert consul_address(text) == parts


@pytest.mark.parametrize(("settings", "prefix"), READERS, ids=[prefix for _, prefix in READERS])
@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_whoever_reads_an_address_refuses_one_that_is_none(
    settings: type[Any], prefix: str, text: str
) -> None:
    with pytest.raises(SettingsError, match="CONSUL_HTTP_ADDR="):
        load(settings, prefix, {"CONSUL_HTTP_ADDR": text})


@pytest.mark.parametrize("text", ["localhost:5672", "http://mq", "amqp://", "amqp://u:p@mq:port"])
def test_an_address_of_the_broker_that_is_none_is_refused_without_its_password(text: str) -> None:
    with pytest.raises(SettingsError, match="AMQP_URL=") as refused:
        load(DeadLetterSettings, "DEADLETTERS", {"AMQP_URL": text})
    assert "u:p" not in str(refused.value)


@pytest.mark.parametrize("variable", ["CONSUL_CACERT", "AMQP_CACERT"])
def test_certificates_that_cannot_be_read_are_refused(variable: str, tmp_path: Path) -> None:
    nothing, text = tmp_path / "none.pem", tmp_path / "text.pem"
    text.write_text("no certificate")
    for path in (nothing, text):
        with pytest.raises(SettingsError, match=f"{variable}="):
            load(DeadLetterSettings, "DEADLETTERS", {variable: str(path)})


def test_kvctl_says_a_wrong_address_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_ADDR", "http://[::1")
    assert kvctl(["view"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("kvctl view: CONSUL_HTTP_ADDR='http://[::1': ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("address", "written"), [("::1", "[::1]"), ("10.0.0.1", "10.0.0.1"), ("c", "c")])
async def test_an_ipv6_address_has_its_brackets_wherever_a_port_follows(
    address: str, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_http = ServiceRegistration("i", "gateway", address, 80)
    by_tcp = ServiceRegistration("i", "rabbitmq", address, 80, check_path=None)
    consul, http = ConsulClient(f"http://{written}:80"), HttpClient(resend_on_reuse_reset=False)
    monkeypatch.setattr(ServiceWatch, "endpoints", (Endpoint("i", address, 80),))
    broker = BrokerSource(AmqpSettings(), consul)
    assert cast(dict[str, str], by_http.document()["Check"])["HTTP"] == f"http://{written}:80/health"
    assert cast(dict[str, str], by_tcp.document()["Check"])["TCP"] == f"{written}:80"
    assert consul.address == f"http://{written}:80"
    assert urlsplit(await broker.url()).netloc.endswith(f"@{written}:80")
    assert f"host: {written}:80\r\n".encode() in Links(http, "", FakeClock(), call_timeout_s=1.0).head_for(
        address, 80
    )
    await http.close()
    await consul.close()
