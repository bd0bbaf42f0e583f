"""The lane below Sanic takes whole, plain requests; everything unusual reaches Sanic unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sanic import HTTPResponse, Request
from sanic.response import text

from dronedispatch.runtime.fast_path import FastRequest, parse_headers
from dronedispatch.runtime.settings import ProcessSettings
from dronedispatch.runtime.web import ServiceProcess, create_web
from dronedispatch.testing.serving import serving
from support.virtual_time import pass_time
from support.waiting import deadline, until

pytestmark = pytest.mark.virtual_time

PLAIN = b"PUT /fast HTTP/1.1\r\nhost: it\r\ncontent-length: 5\r\n\r\nhello"


class Served:
    """An app with a lane for /fast and a Sanic route for everything."""

    def __init__(self) -> None:
        self.app = create_web("kvfront", ProcessSettings(), ready=lambda: None)
        self.app.ctx.fast_path = self.take
        self.waiting: list[FastRequest] = []
        self.hold = False
        self.port = 0

        async def slow_road(request: Request, path: str) -> HTTPResponse:
            return text(f"sanic {request.method} /{path} {len(request.body)}")

        self.app.add_route(slow_road, "/<path:path>", methods=["GET", "PUT", "POST"], name="slow_road")

    @property
    def process(self) -> ServiceProcess:
        process = self.app.ctx.process
        assert isinstance(process, ServiceProcess)
        return process

    def take(self, request: FastRequest) -> bool:
        if not request.target.startswith(b"/fast"):
            return False
        if self.hold:
            self.waiting.append(request)
        else:
            request.respond(200, b"content-type: text/plain\r\n", b"lane " + request.body)
        return True


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    made = Served()
    async with serving(made.app) as port:
        made.port = port
        yield made


class Wire:
    """A connection that writes bytes and reads responses."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, *pieces: bytes) -> str:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await pass_time(0.01)
        return await self.answer()

    async def answer(self) -> str:
        """Status and body of the next response."""
        async with deadline():
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            body = await self.reader.readexactly(length)
        return f"{head[9:12].decode()} {body.decode()}"


@pytest.fixture
async def wire(served: Served) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    yield Wire(reader, writer)
    writer.close()


async def test_a_plain_request_is_answered_by_the_lane(wire: Wire) -> None:
    assert await wire.ask(PLAIN) == "200 lane hello"


async def test_a_request_in_pieces_is_answered_once_it_is_whole(wire: Wire) -> None:
    assert await wire.ask(*(PLAIN[at : at + 7] for at in range(0, len(PLAIN), 7))) == "200 lane hello"


async def test_lane_and_sanic_take_turns_on_one_connection(wire: Wire) -> None:
    other = b"PUT /other HTTP/1.1\r\nhost: it\r\ncontent-length: 3\r\n\r\nabc"
    for _ in range(3):
        assert await wire.ask(PLAIN) == "200 lane hello"
        assert await wire.ask(other) == "200 sanic PUT /other 3"
        assert await wire.ask(other[:40], other[40:]) == "200 sanic PUT /other 3"


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"PUT /fast HTTP/1.1\r\nhost: it\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"PUT /fast HTTP/1.1\r\nhost: it\r\nconnection: keep-alive\r\ncontent-length: 5\r\n\r\nhello",
        b"PUT /fast HTTP/1.1\r\nhost: it\r\nx-a: 1\r\nx-a: 2\r\ncontent-length: 5\r\n\r\nhello",
    ],
)
async def test_what_is_unusual_is_answered_by_sanic(wire: Wire, request_bytes: bytes) -> None:
    assert await wire.ask(request_bytes) == "200 sanic PUT /fast 5"


@pytest.mark.parametrize(
    "lines",
    [
        b"host: it\r\ncontent-length: 5\r\ncontent-length: 6",
        b"host: it\r\ncontent-length: +5",
        b"host: it\r\ncontent-length: 99999999999",
        b"host: it\r\nexpect: 100-continue",
        b"host: it\r\n folded: line",
        b"host: it\r\nname : value",
        b"host: it\r\nno colon",
        b"host: it\r\nx: a\nb",
        b"host: it\r\nx: a\x00b",
        b"content-length: 5",
        b": empty",
    ],
)
def test_headers_that_could_be_read_in_two_ways_are_not_for_the_lane(lines: bytes) -> None:
    assert parse_headers(lines) is None


def test_plain_headers_are_read_with_lower_case_names() -> None:
    assert parse_headers(b"Host: it\r\nContent-Length: 12\r\nX-A:  b ") == (
        {b"host": b"it", b"content-length": b"12", b"x-a": b"b"},
        12,
    )


async def test_pipelined_requests_are_answered_in_order(served: Served, wire: Wire) -> None:
    wire.writer.write(PLAIN + PLAIN.replace(b"hello", b"again"))
    assert [await wire.answer(), await wire.answer()] == ["200 sanic PUT /fast 5", "200 sanic PUT /fast 5"]
    served.hold = True
    wire.writer.write(PLAIN)
    await until_waiting(served, 1)
    wire.writer.write(PLAIN.replace(b"hello", b"later"))
    await pass_time(0.05)
    assert len(served.waiting) == 1
    served.waiting[0].respond(200, b"", b"first")
    assert await wire.answer() == "200 first"
    await until_waiting(served, 2)
    served.waiting[1].respond(200, b"", b"second")
    assert await wire.answer() == "200 second"


async def until_waiting(served: Served, count: int) -> None:
    await until(lambda: len(served.waiting) >= count, f"{count} requests are held")


async def test_an_answer_for_a_client_that_has_gone_is_dropped(served: Served, wire: Wire) -> None:
    served.hold = True
    wire.writer.write(PLAIN)
    await until_waiting(served, 1)
    wire.writer.close()
    await wire.writer.wait_closed()
    await pass_time(0.02)
    served.waiting[0].respond(200, b"", b"for nobody")


async def test_while_draining_the_answer_closes_the_connection(served: Served, wire: Wire) -> None:
    served.process.draining = True
    assert await wire.ask(PLAIN) == "200 lane hello"
    assert await wire.reader.read() == b""
    served.process.draining = False


async def test_a_request_id_is_answered_when_it_is_one(wire: Wire) -> None:
    wire.writer.write(PLAIN.replace(b"host: it", b"host: it\r\nx-request-id: abc-1"))
    head = await wire.reader.readuntil(b"\r\n\r\n")
    assert b"x-request-id: abc-1\r\n" in head
    await wire.reader.readexactly(10)
    wire.writer.write(PLAIN.replace(b"host: it", b"host: it\r\nx-request-id: a b<c>"))
    assert b"x-request-id" not in await wire.reader.readuntil(b"\r\n\r\n")


async def test_a_lane_of_one_request_line_leaves_to_sanic_what_has_another_or_has_not_come_whole() -> None:
    made = Served()
    made.app.ctx.fast_line = PLAIN[: PLAIN.index(b"\r\n") + 2]
    async with serving(made.app) as made.port:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.port)
        wire = Wire(reader, writer)
        assert await wire.ask(PLAIN) == "200 lane hello"
        assert await wire.ask(PLAIN.replace(b"PUT /fast ", b"PUT /fast/2 ")) == "200 sanic PUT /fast/2 5"
        assert await wire.ask(PLAIN[:30], PLAIN[30:]) == "200 sanic PUT /fast 5"
        assert await wire.ask(PLAIN[:-2], PLAIN[-2:]) == "200 sanic PUT /fast 5"
        assert await wire.ask(PLAIN) == "200 lane hello"
        writer.close()
