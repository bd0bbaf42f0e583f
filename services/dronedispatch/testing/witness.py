"""An upstream that believes nothing: it says what it was sent, and whether one reader could read that in one way only."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec

_REQUEST_LINE = re.compile(rb"([A-Z-]+) ([!-\"$-~]+) HTTP/1\.[01]").fullmatch
_HEADER = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*)?)?)"
).fullmatch
_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}").fullmatch


class Violation(Exception):
    """What a proxy forwarded could be read in two ways, or in none."""


class Request(msgspec.Struct, frozen=True):
    """What arrived; `headers` with lower-case names."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass
class Witness:
    """All that reached the port, in the order of arrival."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        try:
            while (request := await self._read(reader)) is not None:
                self.requests.append(request)
                writer.write(answer_to(request))
                await writer.drain()
        except Violation as violation:
            self.violations.append(str(violation))
            writer.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            writer.transport.abort()
        finally:
            writer.close()
            self.tasks.discard(task)

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial.strip(b"\r\n") and not re.match(rb"[A-Z]+ /", error.partial):
                raise Violation(f"a beginning of something: {error.partial[:80]!r}") from error
            return None
        method, target, headers = read_strictly(head)
        named = dict(headers)
        if "transfer-encoding" in named:
            body = await self._chunks(reader)
        else:
            body = await reader.readexactly(int(named.get("content-length", "0")))
        return Request(method, target, headers, body)

    @staticmethod
    async def _chunks(reader: asyncio.StreamReader) -> bytes:
        body = b""
        while True:
            line = (await reader.readuntil(b"\r\n"))[:-2]
            if not _SIZE(line.partition(b";")[0]):
                raise Violation(f"chunk size {line!r}")
            size = int(line.partition(b";")[0], 16)
            if size == 0:
                break
            body += await reader.readexactly(size)
            if await reader.readexactly(2) != b"\r\n":
                raise Violation("a chunk longer than its size")
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            if not _HEADER(line[:-2]):
                raise Violation(f"trailer {line!r}")
        return body


def read_strictly(head: bytes) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    """Method, target and headers of a head that has one reading. Raises Violation."""
    start, *lines = head[:-4].split(b"\r\n")
    line = _REQUEST_LINE(start)
    if line is None:
        raise Violation(f"request line {start!r}")
    headers: list[tuple[str, str]] = []
    for text in lines:
        match = _HEADER(text)
        if match is None:
            raise Violation(f"header {text!r}")
        headers.append((match[1].decode().lower(), match[2].rstrip(b" \t").decode("latin-1")))
    names = [name for name, _ in headers]
    named = dict(headers)
    if names.count("host") != 1 or names.count("content-length") + names.count("transfer-encoding") > 1:
        raise Violation(f"Host or framing not once: {head!r}")
    if (
        not named.get("content-length", "0").isdecimal()
        or named.get("transfer-encoding", "chunked").lower() != "chunked"
    ):
        raise Violation(f"framing {head!r}")
    return line[1].decode(), line[2].decode(), tuple(headers)


def answer_to(request: Request) -> bytes:
    """200 with the target in a header, so that an answer can be matched to its question."""
    body = b"" if request.method == "HEAD" else f"{request.method} {request.target}".encode()
    return (
        f"HTTP/1.1 200 OK\r\nx-target: {request.target}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )


@asynccontextmanager
async def witness() -> AsyncIterator[Witness]:
    """A listening witness on the loopback."""
    made = Witness()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=1 << 20)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in made.tasks:
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)
        await server.wait_closed()
