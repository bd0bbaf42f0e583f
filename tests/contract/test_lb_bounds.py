"""What the door bounds: tries, shared ejections, rates of clients who lie, connections, slow bodies, lines of the log."""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from tempfile import NamedTemporaryFile

import pytest

from dronedispatch.lb.access_log import AccessLog
from dronedispatch.testing.door import SHORT, open_door, read_until_quiet, with_settings
from dronedispatch.testing.peer import OK, always, peer, read_request, silent
from support.lb_wire import BUSY, GET, Seen, door_before
from support.waiting import until

pytestmark = pytest.mark.virtual_time

LIMITED = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n"


def from_(client: str, header: bytes = b"X-Forwarded-For") -> bytes:
    return GET.replace(b"Host: a\r\n", b"Host: a\r\n%b: %b\r\n" % (header, client.encode()))


def statuses(answers: list[bytes]) -> list[int]:
    return [int(answer.split()[1]) if answer else 0 for answer in answers]


async def test_nobody_is_asked_twice_for_one_request() -> None:
    seen: Seen = []
    async with door_before(always(BUSY, seen)) as door:
        await door.exchange(GET)
    assert len(seen) == 1


async def test_a_failure_that_all_gateways_share_leaves_out_one_of_three() -> None:
    async with door_before(always(BUSY), always(BUSY), always(BUSY)) as door:
        for _ in range(40):
            await door.exchange(GET)
        table, now_s = door.core.backends, door.core.now()
        assert sum(gateway.record.ejected(now_s) for gateway in table.members.values()) == 1


async def test_a_gateways_429_is_passed_on_and_is_nobodys_failure() -> None:
    seen: Seen = []
    async with door_before(always(LIMITED, seen), always(LIMITED, seen)) as door:
        answers = [await door.exchange(GET) for _ in range(12)]
        gateways = door.core.backends.members.values()
        assert [gateway.failures for gateway in gateways] == [0, 0]
    assert statuses(answers) == [429] * 12
    assert b"\r\nretry-after: 7\r\n" in answers[0]
    assert len(seen) == 12


@pytest.mark.parametrize("trusted", ["", "127.0.0.0/8"])
async def test_a_client_that_invents_addresses_has_one_rate_all_the_same(trusted: str) -> None:
    """What it writes itself stands left of what our own proxy, if there is one, says of it."""
    settings = with_settings(client_rate_per_s=0.01, client_rate_burst=2, trusted_proxies=trusted)
    async with door_before(always(OK), settings=settings) as door:
        answers = [await door.exchange(from_(f"10.9.8.{number}, 9.9.9.9")) for number in range(4)]
    assert statuses(answers) == [200, 200, 429, 429]


async def test_clients_behind_a_proxy_of_ours_have_a_rate_each() -> None:
    settings = with_settings(client_rate_per_s=0.01, client_rate_burst=1, trusted_proxies="127.0.0.0/8")
    async with door_before(always(OK), settings=settings) as door:
        answers = [await door.exchange(from_(client)) for client in ("9.9.9.1", "9.9.9.2", "9.9.9.1")]
    assert statuses(answers) == [200, 200, 429]


async def test_a_key_header_names_the_client_where_there_is_one() -> None:
    settings = with_settings(client_rate_per_s=0.01, client_rate_burst=1, client_key_header="X-Api-Key")
    async with door_before(always(OK), settings=settings) as door:
        wires = [*(from_(key, b"X-API-Key") for key in ("k1", "k2", "k1")), GET, GET]
        answers = [await door.exchange(wire) for wire in wires]
    assert statuses(answers) == [200, 200, 429, 200, 429]


PATIENT = replace(
    SHORT, head_s=60.0, keep_alive_s=60.0, try_s=60.0, response_s=60.0, read_s=60.0, total_s=60.0
)


async def test_when_every_connection_has_a_request_under_way_the_door_says_so_and_closes() -> None:
    async with (
        peer(silent) as gateway,
        open_door([gateway.port], with_settings(connections_max=1, timeouts=PATIENT)) as door,
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(GET)
        await until(lambda: gateway.connections == 1, "the first has its request under way")
        refused = await door.exchange(b"", timeout_s=5.0)
        writer.close()
    assert statuses([refused]) == [503]
    assert b"\r\nretry-after: 1\r\n" in refused


@pytest.mark.parametrize(
    "sent", [b"", b"GET /x HT", GET], ids=["nothing", "half a head", "a whole request before"]
)
async def test_silent_connections_keep_nobody_out(sent: bytes) -> None:
    """However many there are: who has no request under way makes room for who comes."""
    settings = with_settings(connections_max=4, timeouts=PATIENT)
    async with door_before(always(OK), settings=settings) as door:
        idlers = []
        for _ in range(12):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(sent)
            if sent == GET:
                await reader.readuntil(b"ok")
            idlers.append(writer)
        await until(lambda: len(door.core.connections) <= 4, "the door keeps its bound")
        answers = [await door.exchange(GET) for _ in range(8)]
        for writer in idlers:
            writer.close()
    assert statuses(answers) == [200] * 8


STREAM = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n:a\n\r\n"
)
FULL = b"HTTP/1.1 503 Service Unavailable\r\nX-Overloaded: 1\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


async def test_event_streams_take_no_places_of_requests() -> None:
    settings = with_settings(in_flight_max=1, timeouts=replace(PATIENT, queue_s=60.0))

    async def streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, _ = await read_request(reader)
        writer.write(STREAM if b"/events" in head else OK)
        await reader.read()

    async with door_before(streams, settings=settings) as door:
        readers = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(GET.replace(b"/x", b"/events"))
            await reader.readuntil(b":a\n")
            readers.append(writer)
        there = door.core.backends.members["g0"]
        assert (there.streams, there.in_flight) == (3, 0)
        assert statuses([await door.exchange(GET)]) == [200]
        for writer in readers:
            writer.close()
        await until(lambda: there.streams == 0, "the readers are counted off")
        assert there.in_flight == 0


async def test_a_gateway_that_is_full_is_not_a_gateway_that_fails() -> None:
    async with door_before(always(FULL), always(FULL)) as door:
        answers = [await door.exchange(GET) for _ in range(12)]
        assert [gateway.failures for gateway in door.core.backends.members.values()] == [0, 0]
    assert statuses(answers) == [503] * 12
    assert all(b"\r\nretry-after: 1\r\n" in answer and b"x-overloaded" not in answer for answer in answers)


async def test_who_has_given_up_waiting_takes_no_place_in_the_queue() -> None:
    settings = with_settings(in_flight_max=1, queue_max=1, timeouts=SHORT)
    async with peer(silent) as gateway, open_door([gateway.port], settings) as door:
        first = asyncio.create_task(door.exchange(GET))
        await until(lambda: gateway.connections == 1, "the gateway is full")
        assert statuses([await door.exchange(GET), await door.exchange(GET)]) == [503, 503]
        assert (door.core.books.ended["queue_timeout"], door.core.books.ended["queue_full"]) == (2, 0)
        assert statuses([await first]) == [504]


async def test_a_retry_that_waits_in_vain_for_room_was_not_carried_out_and_is_told_so() -> None:
    """The first gateway answered 503: nothing was done there, so the honest answer is 503, not 504."""
    release = asyncio.Event()

    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await release.wait()

    settings = with_settings(
        in_flight_max=1, timeouts=replace(SHORT, try_s=60.0, response_s=60.0, read_s=60.0, total_s=60.0)
    )
    async with (
        peer(always(BUSY)) as busy,
        peer(held) as full,
        open_door([full.port, busy.port], settings) as door,
    ):
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(GET)
        await until(lambda: full.connections == 1, "one gateway has all that it may have")
        answer = await door.exchange(GET, timeout_s=30.0)
        writer.close()
        release.set()
    assert statuses([answer]) == [503]
    assert b"\r\nretry-after: 1\r\n" in answer


async def drip(port: int, body_bytes: int, pieces: int) -> bytes:
    """Send that many of the body's bytes, one by one in fortieths of a second; what was answered until a little later."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % body_bytes)
    answer = asyncio.create_task(read_until_quiet(reader, 3.0))
    for _ in range(pieces):
        await asyncio.wait([answer], timeout=0.025)
        if answer.done():
            break
        writer.write(b"x")
    await asyncio.wait([answer], timeout=0.3)
    writer.close()
    return await answer


async def test_a_body_that_drips_is_given_up_and_is_nobodys_failure() -> None:
    """Each byte comes well before the deadline between two of them."""
    settings = with_settings(timeouts=replace(SHORT, body_grace_s=0.3))
    async with door_before(silent, settings=settings) as door:
        answer = await drip(door.port, 1000, 40)
        assert statuses([answer]) == [408]
        assert b"\r\nconnection: close\r\n" in answer
        assert [one.failures for one in door.core.backends.members.values()] == [0]


async def test_a_body_that_comes_slowly_but_steadily_is_served() -> None:
    """Longer under way than the grace and than the deadline between two pieces."""
    settings = with_settings(timeouts=replace(SHORT, body_grace_s=0.3, body_rate_min=10.0))
    async with door_before(always(OK), settings=settings) as door:
        assert statuses([await drip(door.port, 30, 30)]) == [200]


@pytest.mark.parametrize("head", [b'GET /" 200 0/0', b"GET /\x1b[2J\r\x0b\x85", b"GET /\\", b'"\xff'])
async def test_what_was_refused_cannot_forge_a_line_of_the_log(head: bytes) -> None:
    with NamedTemporaryFile() as file:
        log = AccessLog(file.name)
        async with open_door([], access_log=log) as door:
            await door.exchange(head + b" HTTP/1.1\r\nno header\r\n\r\n")
        log.close()
        (line,) = file.read().decode().splitlines()
    assert line.isprintable()
    assert re.fullmatch(
        r'\S+ 127\.0\.0\.1 "(?:[^"\\]|\\.)* HTTP/1\.1" (?:400|501) 0/0 \S+ - 0 refused -', line
    )
