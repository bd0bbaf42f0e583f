"""One whole response, gathered for whoever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from dronedispatch.runtime.http.connection import Connection, Headers
from dronedispatch.runtime.http.errors import Broken, Malformed, TimedOut


class HttpResponse:
    """A complete response. `headers`: lower-case names; the values of a repeated name are joined by ", "."""

    __slots__ = ("_headers", "_raw", "body", "status")

    def __init__(self, status: int, raw: Headers, body: bytes) -> None:
        self.status = status
        self.body = body
        self._raw = raw
        self._headers: dict[str, str] | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        if self._headers is None:
            found: dict[str, str] = {}
            for name, value in self._raw:
                key, text = name.decode("latin-1"), value.decode("latin-1")
                found[key] = f"{found[key]}, {text}" if key in found else text
            self._headers = found
        return self._headers


class Collector:
    """The receiver that gathers one response and wakes the caller."""

    __slots__ = ("_body_bytes", "_bytes_max", "_headers", "_pieces", "_status", "connection", "done")

    def __init__(self, connection: Connection, done: asyncio.Future[HttpResponse], bytes_max: int) -> None:
        self.connection = connection
        self.done = done
        self._bytes_max = bytes_max
        self._status = 0
        self._headers: Headers = []
        self._pieces: list[bytes] = []
        self._body_bytes = 0

    def response_interim(self, status: int, headers: Headers) -> None:
        """Of no use to a caller who wants the whole answer."""

    def response_head(self, status: int, headers: Headers, body_bytes: int | None) -> None:
        self._status = status
        self._headers = headers
        if body_bytes is not None and body_bytes > self._bytes_max:
            self._refuse(f"a body of {body_bytes} bytes, limit {self._bytes_max}")

    def response_body(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._body_bytes += len(piece)
        if self._body_bytes > self._bytes_max:
            self._refuse(f"a body of more than {self._bytes_max} bytes")

    def response_flush(self) -> None:
        """Nothing to hand on before the end."""

    def response_end(self) -> None:
        if not self.done.done():
            pieces = self._pieces
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.done.set_result(HttpResponse(self._status, self._headers, body))

    def response_lost(self, error: Broken) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def upstream_paused(self) -> None:
        """The body is in memory already; the transport's buffer holds what the kernel does not take."""

    def upstream_resumed(self) -> None:
        """See upstream_paused."""

    def expire(self) -> None:
        connection = self.connection
        connection.drop()
        self.response_lost(TimedOut(connection.peer, "no full answer in time", reused=connection.served > 0))

    def _refuse(self, reason: str) -> None:
        self.connection.drop()
        self.response_lost(Malformed(self.connection.peer, reason, answered=True))
