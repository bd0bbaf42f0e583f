"""A door of its own process, a real Consul: who is in the table, who leaves it, and what happens when Consul is away."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loadtests.bench.processes import child
from scripts.local.ports import Ports

from dronedispatch.runtime.consul import ConsulClient, ServiceRegistration
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.collector import HttpResponse
from dronedispatch.runtime.http.errors import HttpError
from dronedispatch.testing.peer import OK, always, peer
from support.ports import free_port
from support.real_parts import Part, running_consul
from support.waiting import until_true

pytestmark = pytest.mark.real
TOKEN = "op-secret"
Seen = list[tuple[bytes, bytes]]


@pytest.fixture
def consul(tmp_path: Path) -> Iterator[tuple[Ports, Part]]:
    with running_consul(tmp_path) as running:
        yield running


@pytest.fixture
async def client(consul: tuple[Ports, Part]) -> AsyncIterator[ConsulClient]:
    made = ConsulClient(f"http://127.0.0.1:{consul[0].consul_http}")
    yield made
    await made.close()


@pytest.fixture
async def http() -> AsyncIterator[HttpClient]:
    made = HttpClient(resend_on_reuse_reset=True)
    yield made
    await made.close()


@contextmanager
def running_door(consul: Ports, tmp_path: Path) -> Iterator[tuple[int, int]]:
    """(public port, control port) of a door that finds its gateways in `consul`."""
    public, control = free_port(), free_port()
    token = tmp_path / "operator"
    token.write_text(TOKEN)
    environ = {
        "LB_PORT": str(public),
        "LB_CONTROL_PORT": str(control),
        "LB_SLOW_START_S": "0",
        "LB_EMPTY_GRACE_S": "1.5",
        "LB_DEREGISTER_LAG_S": "0.1",
        "CONSUL_HTTP_ADDR": f"http://127.0.0.1:{consul.consul_http}",
        "OPERATOR_TOKEN_FILE": str(token),
    }
    with child((sys.executable, "-m", "dronedispatch.lb"), public, environ):
        yield public, control


def gateway(name: str, port: int) -> ServiceRegistration:
    return ServiceRegistration(id=name, name="gateway", address="127.0.0.1", port=port, check_port=port)


async def get(http: HttpClient, port: int, target: str = "/x", token: str = "") -> HttpResponse:
    headers = (("authorization", f"Bearer {token}"),) if token else ()
    return await http.request("GET", "127.0.0.1", port, target, headers=headers, timeout_s=30.0)


async def status_of(http: HttpClient, port: int, target: str) -> int:
    """0 while nobody answers."""
    try:
        return (await get(http, port, target)).status
    except HttpError:
        return 0


async def until_status(http: HttpClient, port: int, target: str, status: int) -> None:
    async def answered() -> bool:
        return await status_of(http, port, target) == status

    await until_true(answered, f"{target} is answered by {status}", 20.0)


async def registered(client: ConsulClient, public: int) -> bool:
    """The catalogue has the door under its public port, and passing."""
    _, doors = await client.health("lb")
    return [(door.port, door.address) for door in doors] == [(public, "127.0.0.1")]


async def left(http: HttpClient, control: int, gateway_id: str) -> bool:
    return f'"{gateway_id}"'.encode() not in (await get(http, control, "/table", TOKEN)).body


def orders(seen: Seen) -> int:
    """Requests that came through the door: Consul's checks ask for /health."""
    return sum(head.startswith(b"GET /x ") for head, _ in seen)


async def test_the_table_follows_the_catalogue_and_outlives_it(
    consul: tuple[Ports, Part], client: ConsulClient, http: HttpClient, tmp_path: Path
) -> None:
    ports, part = consul
    one_seen: Seen = []
    two_seen: Seen = []
    async with peer(always(OK, one_seen)) as one, peer(always(OK, two_seen)) as two:
        await client.register(gateway("gateway-1", one.port))
        await client.register(gateway("gateway-2", two.port))
        with running_door(ports, tmp_path) as (public, control):
            await until_status(http, control, "/health", 200)
            assert (await get(http, public)).status == 200

            await until_true(lambda: registered(client, public), "the door is registered")

            await client.deregister("gateway-1")
            await until_true(lambda: left(http, control, "gateway-1"), "gateway-1 has left the table")
            before = orders(one_seen)
            for _ in range(20):
                assert (await get(http, public)).status == 200
            assert orders(one_seen) == before
            assert orders(two_seen) >= 20

            part.stop(signal.SIGKILL)
            for _ in range(20):
                assert (await get(http, public)).status == 200
            assert (await get(http, control, "/health")).status == 200
            table = await get(http, control, "/table", TOKEN)
            assert b'"gateway-2"' in table.body
            assert (await get(http, control, "/table")).status == 401
            assert (await get(http, control, "/table", "wrong")).status == 401
            assert (await get(http, control, "/")).status == 200
            await asyncio.to_thread(part.start)

            await client.deregister("gateway-2")
            await until_status(http, public, "/x", 503)
            assert (await get(http, control, "/health")).status == 503
            await client.register(gateway("gateway-1", one.port))
            await until_status(http, public, "/x", 200)
