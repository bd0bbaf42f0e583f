"""What the control plane says of the data plane."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from dronedispatch.lb.metrics import ProxyCollector
from dronedispatch.lb.routes import table_document
from dronedispatch.testing.door import open_door, with_settings
from dronedispatch.testing.peer import OK, always, peer
from support.lb_wire import door_before

pytestmark = pytest.mark.virtual_time

GET = b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


async def test_the_metrics_count_requests_by_status_end_and_gateway() -> None:
    registry = CollectorRegistry()
    settings = with_settings(client_rate_per_s=0.001, client_rate_burst=2)
    async with door_before(always(OK), settings=settings) as door:
        registry.register(ProxyCollector(door.core))
        for _ in range(3):
            await door.exchange(GET)
        await door.exchange(b"GET / HTTP/1.1\r\n\r\n")
        lines = generate_latest(registry).decode().splitlines()
    for line in (
        'dd_lb_requests_total{status="2xx"} 2.0',
        'dd_lb_requests_total{status="4xx"} 2.0',
        'dd_lb_ended_total{how="ok"} 2.0',
        'dd_lb_ended_total{how="limited"} 1.0',
        'dd_lb_ended_total{how="refused"} 1.0',
        'dd_lb_gateway_requests_total{gateway="g0"} 2.0',
        'dd_lb_gateway_in_flight{gateway="g0"} 0.0',
        'dd_lb_seconds_bucket{le="+Inf"} 4.0',
        "dd_lb_seconds_count 4.0",
        "dd_lb_connections_total 4.0",
    ):
        assert line in lines


async def test_the_table_says_of_each_gateway_how_it_is_and_why() -> None:
    async with peer(always(OK)) as alive, open_door([alive.port, 1], with_settings()) as door:
        for _ in range(12):
            await door.exchange(GET)
        document = msgspec.to_builtins(table_document(door.core, door.port))
        left_out = door.core.backends.left_out()
        asked_first = door.core.backends.endpoints[0].id
    rows = {row["id"]: row for row in document["gateways"]}
    assert rows["g0"]["state"] == "ready"
    assert rows["g0"]["failures"] == 0
    assert rows["g1"]["state"] == "ejected"
    assert 0 < rows["g1"]["ejected_s"] <= 30
    assert "connect failed" in rows["g1"]["last_error"]
    assert list(left_out) == ["g1"]
    assert "connect failed" in left_out["g1"]
    assert asked_first == "g0"
    assert document["retries"] == rows["g1"]["failures"] == 5
    assert document["statuses"]["2xx"] == 12
    assert document["ejections"] == 1
    assert document["public_port"] == door.port
