"""What the door bounds: tries, ejections that everybody shares, rates of clients who lie about their names."""

from __future__ import annotations

import asyncio

import pytest

from dronedispatch.testing.door import open_door, with_settings
from dronedispatch.testing.peer import OK, always, peer

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy"
LIMITED = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"
Seen = list[tuple[bytes, bytes]]


def from_(client: str, header: bytes = b"X-Forwarded-For") -> bytes:
    return GET.replace(b"Host: a\r\n", b"Host: a\r\n%b: %b\r\n" % (header, client.encode()))


def statuses(answers: list[bytes]) -> list[int]:
    return [int(answer.split()[1]) for answer in answers]


async def test_nobody_is_asked_twice_for_one_request() -> None:
    seen: Seen = []
    async with peer(always(BUSY, seen)) as one, open_door([one.port]) as door:
        await door.exchange(GET)
    assert len(seen) == 1


async def test_a_failure_that_all_gateways_share_leaves_out_one_of_three() -> None:
    async with (
        peer(always(BUSY)) as one,
        peer(always(BUSY)) as two,
        peer(always(BUSY)) as three,
        open_door([one.port, two.port, three.port]) as door,
    ):
        for _ in range(40):
            await door.exchange(GET)
        table, now_s = door.door.table, door.door.now()
        assert sum(gateway.record.ejected(now_s) for gateway in table.gateways.values()) == 1


async def test_a_gateways_429_is_passed_on_and_is_nobodys_failure() -> None:
    seen: Seen = []
    async with (
        peer(always(LIMITED, seen)) as one,
        peer(always(LIMITED, seen)) as two,
        open_door([one.port, two.port]) as door,
    ):
        answers = [await door.exchange(GET) for _ in range(12)]
        gateways = door.door.table.gateways.values()
        assert [gateway.failures for gateway in gateways] == [0, 0]
    assert statuses(answers) == [429] * 12
    assert b"\r\nretry-after: 7\r\n" in answers[0]
    assert len(seen) == 12


@pytest.mark.parametrize("trusted", ["", "127.0.0.0/8"])
async def test_a_client_that_invents_addresses_has_one_rate_all_the_same(trusted: str) -> None:
    """What it writes itself stands left of what our own proxy, if there is one, says of it."""
    settings = with_settings(client_rate_per_s=0.01, client_rate_burst=2, trusted_proxies=trusted)
    async with peer(always(OK)) as gateway, open_door([gateway.port], settings) as door:
        answers = [await door.exchange(from_(f"10.9.8.{number}, 9.9.9.9")) for number in range(4)]
    assert statuses(answers) == [200, 200, 429, 429]


async def test_clients_behind_a_proxy_of_ours_have_a_rate_each() -> None:
    settings = with_settings(client_rate_per_s=0.01, client_rate_burst=1, trusted_proxies="127.0.0.0/8")
    async with peer(always(OK)) as gateway, open_door([gateway.port], settings) as door:
        answers = [await door.exchange(from_(client)) for client in ("9.9.9.1", "9.9.9.2", "9.9.9.1")]
    assert statuses(answers) == [200, 200, 429]


async def test_a_key_header_names_the_client_where_there_is_one() -> None:
    settings = with_settings(client_rate_per_s=0.01, client_rate_burst=1, client_key_header="X-Api-Key")
    async with peer(always(OK)) as gateway, open_door([gateway.port], settings) as door:
        wires = [*(from_(key, b"X-API-Key") for key in ("k1", "k2", "k1")), GET, GET]
        answers = [await door.exchange(wire) for wire in wires]
    assert statuses(answers) == [200, 200, 429, 200, 429]


async def test_beyond_its_connections_the_door_says_so_and_closes() -> None:
    async with (
        peer(always(OK)) as gateway,
        open_door([gateway.port], with_settings(connections_max=1)) as door,
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(GET)
        answer = await door.exchange(b"")
        writer.close()
    assert statuses([answer]) == [503]
    assert b"\r\nretry-after: 1\r\n" in answer
