"""The upstream half against scripted peers on real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.collector import HttpResponse
from dronedispatch.runtime.http.errors import Broken, Malformed, RequestNotSent, TimedOut
from dronedispatch.runtime.http.heads import request_head
from dronedispatch.testing.peer import OK, Script, answering, peer, read_request, silent
from support.waiting import deadline

pytestmark = pytest.mark.virtual_time


@asynccontextmanager
async def client(*, resend: bool = False, **options: float) -> AsyncIterator[HttpClient]:
    made = HttpClient(resend_on_reuse_reset=resend, **options)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        await made.close()


def echoing(bodies: list[bytes]) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            _, body = await read_request(reader)
            bodies.append(body)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))

    return script


async def get(http: HttpClient, port: int, method: str = "GET", timeout_s: float = 5.0) -> HttpResponse:
    return await http.request(method, "127.0.0.1", port, "/x", timeout_s=timeout_s)


async def test_a_body_with_content_length_comes_back_whole_and_the_connection_is_kept() -> None:
    async with peer(answering(OK, OK)) as there, client() as http:
        answers = [await get(http, there.port), await get(http, there.port)]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"ok"), (200, b"ok")]
    assert there.connections == 1


async def test_header_names_are_lower_case_and_repeated_values_are_joined() -> None:
    wire = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n"
    async with peer(answering(wire)) as there, client() as http:
        answer = await get(http, there.port)
    assert answer.headers["x-a"] == "1, 2"


async def test_a_chunked_body_is_put_together_and_its_trailer_is_dropped() -> None:
    wire = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: 1\r\n\r\n"
    )
    async with peer(answering(wire, OK)) as there, client() as http:
        answer = await get(http, there.port)
        assert (await get(http, there.port)).body == b"ok"
    assert answer.body == b"abcde"
    assert "t" not in answer.headers
    assert there.connections == 1


async def test_a_body_without_length_ends_with_the_connection() -> None:
    async with peer(answering(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")) as there, client() as http:
        assert (await get(http, there.port)).body == b"until the end"


@pytest.mark.parametrize("framing", [b"Content-Length: 700\r\n", b"Transfer-Encoding: chunked\r\n", b""])
async def test_the_answer_to_head_has_no_body_and_the_connection_serves_on(framing: bytes) -> None:
    async with peer(answering(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n", OK)) as there, client() as http:
        head = await get(http, there.port, "HEAD")
        after = await get(http, there.port)
    assert (head.status, head.body, after.body) == (200, b"", b"ok")


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified\r\nContent-Length: 5"])
async def test_204_and_304_have_no_body_and_the_connection_serves_on(status: bytes) -> None:
    async with peer(answering(b"HTTP/1.1 " + status + b"\r\n\r\n", OK)) as there, client() as http:
        assert (await get(http, there.port)).body == b""
        assert (await get(http, there.port)).body == b"ok"
    assert there.connections == 1


async def test_interim_answers_are_passed_over() -> None:
    wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK
    async with peer(answering(wire)) as there, client() as http:
        assert (await get(http, there.port)).body == b"ok"


async def test_a_body_of_the_request_arrives_whole() -> None:
    bodies: list[bytes] = []
    sent = bytes(range(256)) * 4096
    async with peer(echoing(bodies)) as there, client() as http:
        answer = await http.request("PUT", "127.0.0.1", there.port, "/x", body=sent, timeout_s=5)
    assert answer.body == sent
    assert bodies == [sent]


async def test_a_refused_connect_is_definite() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        async with client(resend=True) as http:
            with pytest.raises(RequestNotSent):
                await get(http, held.getsockname()[1])


async def test_an_address_that_can_be_none_is_definite() -> None:
    async with client(resend=True) as http:
        with pytest.raises(RequestNotSent):
            await http.request("GET", "gateway..example", 80, "/", timeout_s=5)


async def test_a_connect_that_takes_too_long_is_definite() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):  # fill the backlog: the next SYN gets no answer
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        async with client(connect_timeout_s=0.05) as http:
            with pytest.raises(RequestNotSent):
                await get(http, full.getsockname()[1])


async def test_an_answer_that_does_not_come_is_timed_out_and_indefinite() -> None:
    async with peer(silent) as there, client(resend=True) as http:
        for _ in range(2):
            with pytest.raises(TimedOut):
                await get(http, there.port, timeout_s=0.05)
    assert there.connections == 2


async def test_an_answer_cut_in_its_body_is_broken() -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    async with peer(answering(wire)) as there, client(resend=True) as http:
        with pytest.raises(Broken) as caught:
            await get(http, there.port)
    assert caught.value.answered
    assert there.connections == 1


@pytest.mark.parametrize(
    "wire",
    [
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"T: 1\r\n" * 12_000,
    ],
    ids=lambda wire: repr(wire[:60]),
)
async def test_an_answer_that_is_no_clean_http_is_malformed(wire: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(wire)
        await reader.read()

    async with peer(script) as there, client() as http:
        with pytest.raises(Malformed):
            await get(http, there.port)


async def test_a_body_over_the_limit_is_refused() -> None:
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"
    async with peer(answering(wire)) as there, client(response_bytes_max=10) as http:
        with pytest.raises(Malformed):
            await get(http, there.port)


async def test_bytes_beyond_the_framing_cost_the_connection_and_never_reach_the_next_caller() -> None:
    async with (
        peer(answering(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", OK)) as there,
        client() as http,
    ):
        assert (await get(http, there.port)).body == b"ok"
        assert (await get(http, there.port)).body == b"ok"
    assert there.connections == 2


async def test_a_kept_connection_that_closes_is_resent_once_if_allowed() -> None:
    heads = 0

    async def one_each(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heads
        for answer in (OK, b""):
            await reader.readuntil(b"\r\n\r\n")
            heads += 1
            writer.write(answer)

    async with peer(one_each) as there, client(resend=True) as http:
        assert [(await get(http, there.port)).body for _ in range(2)] == [b"ok", b"ok"]
    assert (there.connections, heads) == (2, 3)


async def test_on_the_stores_hops_a_kept_connection_that_closes_is_broken_not_resent() -> None:
    async with peer(answering(OK, b"")) as there, client(resend=False) as http:
        await get(http, there.port)
        with pytest.raises(Broken) as caught:
            await get(http, there.port)
    assert caught.value.looks_like_an_idle_close
    assert there.connections == 1


async def test_an_idle_connection_older_than_the_limit_is_not_used() -> None:
    async with peer(answering(OK, OK)) as there, client(idle_timeout_s=-1.0) as http:
        await get(http, there.port)
        await get(http, there.port)
    assert there.connections == 2


async def test_at_most_connections_max_are_open_and_the_rest_wait() -> None:
    bodies: list[bytes] = []
    async with peer(echoing(bodies)) as there, client(connections_max=3) as http:
        answers = await asyncio.gather(*(get(http, there.port) for _ in range(20)))
    assert len(answers) == 20
    assert there.connections == 3


async def test_a_call_that_finds_no_free_connection_in_time_is_definite() -> None:
    async with peer(silent) as there, client(connections_max=1) as http:
        first = asyncio.create_task(get(http, there.port, timeout_s=0.2))
        await asyncio.wait([first], timeout=0.01)
        with pytest.raises(RequestNotSent):
            await get(http, there.port, timeout_s=0.02)
        with pytest.raises(TimedOut):
            await first


async def test_a_cancelled_call_closes_its_connection() -> None:
    closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()

    async with peer(silent) as there, client() as http:
        call = asyncio.create_task(get(http, there.port))
        await asyncio.wait([call], timeout=0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        async with deadline():
            await closed.wait()


@pytest.mark.parametrize(
    ("method", "target", "headers"),
    [
        ("GET", "/a b", ()),
        ("GET", "/a\r\nX: y", ()),
        ("GET", "/a#b", ()),
        ("G T", "/", ()),
        ("GET", "/", (("x", "a\r\nb: c"),)),
        ("GET", "/", (("x y", "a"),)),
        ("GET", "/", (("Content-Length", "3"),)),
        ("GET", "/", (("Transfer-Encoding", "chunked"),)),
    ],
)
def test_a_head_that_could_split_the_message_is_refused(
    method: str, target: str, headers: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(ValueError):
        request_head(method, "a:1", target, headers, 0)


def test_a_post_without_body_says_so_and_a_get_says_nothing() -> None:
    assert b"content-length: 0\r\n" in request_head("POST", "a:1", "/", (), 0)
    assert b"content-length" not in request_head("GET", "a:1", "/", (), 0)
