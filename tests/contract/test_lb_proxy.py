"""The door between raw clients and scripted gateways, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

import pytest

from dronedispatch.testing.door import OpenDoor, open_door, read_until_quiet, with_settings
from dronedispatch.testing.peer import OK, always, answering, peer, read_request, silent
from support.lb_wire import GET, Seen, door_before
from support.waiting import deadline, in_time, until

pytestmark = pytest.mark.virtual_time


def post(body: bytes, *lines: bytes) -> bytes:
    head = b"".join(line + b"\r\n" for line in lines)
    return b"POST /x HTTP/1.1\r\nHost: a\r\n%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body)


async def talk(door: OpenDoor, *requests: bytes) -> list[bytes]:
    """Each request on one kept connection, each answer read before the next."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    answers = []
    for request in requests:
        writer.write(request)
        answers.append(await read_until_quiet(reader, 5.0, quiet_s=0.05))
    writer.close()
    return answers


def body_of(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


async def test_an_answer_comes_back_with_its_status_headers_and_body() -> None:
    wire = b"HTTP/1.1 201 Created\r\nLocation: /y\r\nContent-Length: 3\r\n\r\nabc"
    async with door_before(always(wire)) as door:
        answer = await door.exchange(GET)
    assert answer.startswith(b"HTTP/1.1 201 Created\r\nlocation: /y\r\n")
    assert body_of(answer) == b"abc"


async def test_requests_go_round_over_the_gateways() -> None:
    seen: list[Seen] = [[], [], []]
    async with door_before(*(always(OK, requests) for requests in seen)) as door:
        await talk(door, *[GET] * 9)
    assert [len(requests) for requests in seen] == [3, 3, 3]


async def test_client_and_gateway_connections_are_kept() -> None:
    async with peer(always(OK)) as gateway, open_door([gateway.port]) as door:
        answers = await talk(door, GET, GET, GET)
        assert gateway.connections == 1
        assert door.core.books.connections == 1
    assert [body_of(answer) for answer in answers] == [b"ok"] * 3


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head, _ = await read_request(reader)
            path = head.split()[1]
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    requests = b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50))
    async with door_before(script, script) as door:
        answer = await door.exchange(requests)
    bodies = [part.partition(b"\r\n\r\n")[2] for part in answer.split(b"HTTP/1.1 200 OK")[1:]]
    assert bodies == [b"/%d" % number for number in range(50)]


async def test_a_chunked_request_is_framed_anew_and_its_extensions_and_trailer_are_dropped() -> None:
    seen: Seen = []
    wire = (
        b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n" + GET
    )
    async with door_before(always(OK, seen)) as door:
        answer = await door.exchange(wire)
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert [body for _, body in seen] == [b"abcde", b""]
    assert b"x-t" not in seen[0][0].lower()


async def test_a_body_reaches_the_gateway_whole_with_its_length() -> None:
    seen: Seen = []
    body = bytes(range(256)) * 6000
    async with door_before(always(OK, seen)) as door:
        answers = await talk(door, post(b"hello"), post(body))
    assert [body_of(answer) for answer in answers] == [b"ok"] * 2
    assert [got for _, got in seen] == [b"hello", body]
    assert [b"\r\ncontent-length: %d\r\n" % len(got) in head for head, got in seen] == [True, True]


async def test_a_long_answer_streams_through_to_a_slow_reader() -> None:
    body = bytes(range(256)) * 40_000
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with door_before(answering(wire)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=4096)
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        received = await reader.readexactly(len(body))
        writer.close()
    assert b"content-length: %d" % len(body) in head
    assert received == body


async def test_an_answer_of_unknown_length_becomes_chunks_for_11_and_ends_with_the_connection_for_10() -> (
    None
):
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    async with door_before(always(wire)) as door:
        new = await door.exchange(GET)
        old = await door.exchange(b"GET /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
    assert body_of(new) == b"3\r\nabc\r\n0\r\n\r\n"
    assert body_of(old) == b"abc"
    assert b"connection: close" in old
    assert b"transfer-encoding" not in old


async def test_an_answer_that_ends_with_its_connection_ends_well() -> None:
    async with door_before(answering(b"HTTP/1.1 200 OK\r\n\r\nabc")) as door:
        assert body_of(await door.exchange(GET)) == b"3\r\nabc\r\n0\r\n\r\n"


async def test_server_sent_events_pass_one_by_one() -> None:
    more = asyncio.Event()

    async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for number in range(3):
            event = b"data: %d\n\n" % number
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await more.wait()
            more.clear()

    async with door_before(events) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        with contextlib.closing(writer):
            writer.write(GET)
            for number in range(3):
                async with deadline():
                    await reader.readuntil(b"data: %d\n\n\r\n" % number)
                more.set()


async def test_head_204_and_304_have_no_body_and_the_connection_serves_on() -> None:
    answers = (
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\nContent-Length: 7\r\n\r\n',
        OK,
    )
    async with door_before(answering(*answers)) as door:
        got = await talk(door, GET.replace(b"GET", b"HEAD"), GET, GET, GET)
    assert b"content-length: 500\r\n" in got[0]
    assert b"content-length" not in got[1]
    assert b"content-length: 7\r\n" in got[2]
    assert [body_of(answer) for answer in got] == [b"", b"", b"", b"ok"]


async def test_early_hints_pass_and_an_upstreams_100_does_not() -> None:
    wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    async with door_before(answering(wire)) as door:
        answer = await door.exchange(GET)
    assert answer.startswith(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_expect_100_is_answered_here_and_not_forwarded() -> None:
    seen: Seen = []
    async with door_before(always(OK, seen)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"PUT /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        async with deadline():
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        assert body_of(await read_until_quiet(reader, 2.0)) == b"ok"
        writer.close()
    assert b"expect" not in seen[0][0].lower()


async def test_hop_by_hop_headers_end_here_in_both_directions() -> None:
    seen: Seen = []
    wire = b"HTTP/1.1 200 OK\r\nConnection: x-one\r\nX-One: 1\r\nKeep-Alive: 5\r\nX-Two: 2\r\nContent-Length: 0\r\n\r\n"
    request = (
        b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nTE: trailers\r\nUpgrade: h2c\r\n"
        b"Proxy-Authorization: b\r\nX_Under: 1\r\nX-Stays: 1\r\n\r\n"
    )
    async with door_before(always(wire, seen)) as door:
        answer = (await door.exchange(request)).lower()
    head = seen[0][0].lower()
    for name in (b"x-mine", b"\r\nte:", b"upgrade", b"proxy-", b"x_under", b"\r\nconnection:"):
        assert name not in head
    assert b"\r\nx-stays: 1\r\n" in head
    assert b"x-one" not in answer
    assert b"keep-alive" not in answer
    assert b"\r\nx-two: 2\r\n" in answer


@pytest.mark.parametrize(
    ("trusted", "forwarded"), [("", b"127.0.0.1"), ("127.0.0.0/8", b"9.9.9.9, 127.0.0.1")]
)
async def test_forwarding_headers_are_believed_from_trusted_proxies_only(
    trusted: str, forwarded: bytes
) -> None:
    seen: Seen = []
    request = b"GET /x HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 9.9.9.9\r\nX-Real-IP: 9.9.9.9\r\n\r\n"
    settings = with_settings(trusted_proxies=trusted)
    async with door_before(always(OK, seen), settings=settings) as door:
        await door.exchange(request)
    assert b"\r\nx-forwarded-for: " + forwarded + b"\r\n" in seen[0][0]
    assert b"x-real-ip" not in seen[0][0].lower()


async def test_a_request_id_is_kept_if_valid_or_made_and_is_the_same_on_both_sides() -> None:
    seen: Seen = []
    async with door_before(always(OK, seen)) as door:
        kept = await door.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: abc-1\r\n\r\n")
        made = await door.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: a b;c\r\n\r\n")
    assert b"\r\nx-request-id: abc-1\r\n" in kept
    assert b"\r\nx-request-id: abc-1\r\n" in seen[0][0]
    fresh = made.split(b"x-request-id: ")[1].split(b"\r\n")[0]
    assert b"\r\nx-request-id: " + fresh + b"\r\n" in seen[1][0]
    assert b" " not in fresh


async def test_a_client_that_closed_its_sending_half_still_gets_its_answer() -> None:
    async with door_before(always(OK)) as door:
        assert body_of(await door.exchange(GET + GET, eof=True)).count(b"ok") == 2


async def test_a_client_that_vanishes_takes_its_request_at_the_gateway_with_it() -> None:
    ended = asyncio.Event()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await reader.read()
        ended.set()

    async with peer(script) as gateway, open_door([gateway.port]) as door:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        raw = writer.get_extra_info("socket")
        writer.write(GET)
        await until(lambda: gateway.connections == 1, "the request is at the gateway")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        async with deadline():
            await ended.wait()
        await until(lambda: door.core.books.ended["client_abort"] == 1, "the abort is counted")
        assert door.core.books.retries == 0


async def test_a_client_that_vanishes_in_the_middle_of_its_body_leaves_nothing_behind() -> None:
    async with peer(silent) as gateway, open_door([gateway.port]) as door:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(post(b"x" * 100)[:-50])
        await until(lambda: gateway.connections == 1, "the request is at the gateway")
        writer.close()
        await until(lambda: not door.core.connections.members, "the client is forgotten")
        assert [gateway.in_flight for gateway in door.core.backends.members.values()] == [0]


async def test_an_answer_cut_in_the_middle_is_cut_for_the_client_too() -> None:
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    async with door_before(answering(wire)) as door:
        answer = await door.exchange(GET)
        assert door.core.books.ended["upstream_cut"] == 1
    assert b"0\r\n\r\n" not in body_of(answer)


async def test_an_answer_cut_in_the_middle_resets_a_client_that_knows_no_chunks() -> None:
    wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"
    async with door_before(answering(wire)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"GET /x HTTP/1.0\r\nHost: a\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await in_time(reader.read())
        writer.close()


@pytest.mark.parametrize(
    "wire",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    ],
)
async def test_a_gateway_that_talks_garbage_is_answered_with_502(wire: bytes) -> None:
    async with door_before(answering(wire)) as door:
        answer = await door.exchange(GET)
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"application/problem+json" in answer


async def test_bytes_beyond_an_answer_never_reach_the_next_client() -> None:
    evil = OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    async with peer(always(evil)) as gateway, open_door([gateway.port]) as door:
        answers = [await door.exchange(GET) for _ in range(3)]
        assert gateway.connections == 3
    assert [body_of(answer) for answer in answers] == [b"ok"] * 3


async def test_no_gateway_is_503_at_once() -> None:
    async with open_door([]) as door:
        answer = await door.exchange(GET)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 1\r\n" in answer


async def test_an_early_answer_to_an_unfinished_body_arrives_and_closes() -> None:
    async def hasty(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
        await silent(reader, writer)

    async with peer(hasty) as gateway, open_door([gateway.port]) as door:
        answer = await door.exchange(post(b"x" * 1000)[:-500])
        again = await door.exchange(post(b"x" * 1000)[:-500])
        assert gateway.connections == 2
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer
    assert again.startswith(b"HTTP/1.1 413 ")
