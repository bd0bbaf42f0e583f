"""The short way of a plain answer reads what llhttp reads, and leaves everything else to it."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronedispatch.runtime.http import connection as module
from dronedispatch.runtime.http.connection import Connection, Headers
from dronedispatch.runtime.http.errors import Broken
from dronedispatch.runtime.http.whole_response import HEAD_BYTES_MAX, whole_response

PLAIN = b'HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nETag: "1-2"\r\nContent-Length: 3\r\n\r\nabc'
LINES = (
    b"Content-Length: 3",
    b"content-length: 0",
    b"Content-Length: +3",
    b"Content-Length: 3 ",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Proxy-Connection: close",
    b"X-A: b",
    b"X-A:b",
    b"X-A : b",
    b"X-A: b\tc ",
    b"X-A:",
    b" folded",
    b"X_A: b",
    b"X-A: \xe9",
    b"X-A: a\x00",
)
STARTS = (
    *(b"HTTP/1.1 %d X" % status for status in (100, 101, 103, 199, 200, 204, 304, 404, 503, 600, 999)),
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 200",
    b"HTTP/1.1  200 OK",
    b"HTTP/2 200 OK",
)
BODIES = (b"", b"abc", b"abcd", b"ab", b"3\r\nabc\r\n0\r\n\r\n", b"abcHTTP/1.1 200 OK\r\n\r\n")


class Told(asyncio.Transport):
    """The transport, the pool and the asker of one connection: what each of them was told."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[object] = []

    def write(self, data: object) -> None: ...
    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self.events.append("closed")

    def close(self) -> None:
        self.events.append("closed")

    def opened(self, connection: Connection) -> None: ...
    def idle(self, connection: Connection) -> None:
        self.events.append("kept")

    def gone(self, connection: Connection) -> None: ...
    def response_interim(self, status: int, headers: Headers) -> None:
        self.events.append(("interim", status, headers))

    def response_head(self, status: int, headers: Headers, body_bytes: int | None) -> None:
        self.events.append((status, headers, body_bytes))

    def response_body(self, piece: bytes) -> None:
        self.events.append(piece)

    def response_flush(self) -> None: ...
    def response_end(self) -> None:
        self.events.append("end")

    def response_lost(self, error: Broken) -> None:
        self.events.append(("lost", error.answered))

    def upstream_paused(self) -> None: ...
    def upstream_resumed(self) -> None: ...


def told(data: bytes, *, head_only: bool = False) -> list[object]:
    """All that a caller and a pool hear of one answer."""
    here = Told()
    connection = Connection(here, "peer")
    connection.connection_made(here)
    connection.ask(here, b"", head_only=head_only)
    connection.data_received(data)
    return here.events


def told_by_llhttp(data: bytes, *, head_only: bool = False) -> list[object]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "whole_response", lambda _: None)
        return told(data, head_only=head_only)


@given(
    st.sampled_from(STARTS),
    st.lists(st.sampled_from(LINES), max_size=4),
    st.sampled_from(BODIES),
    st.booleans(),
)
def test_both_ways_tell_the_same(start: bytes, lines: list[bytes], body: bytes, head_only: bool) -> None:
    data = b"\r\n".join((start, *lines, b"", body))
    assert told(data, head_only=head_only) == told_by_llhttp(data, head_only=head_only)


@given(st.integers(0, len(PLAIN) - 1), st.integers(0, 255))
def test_both_ways_tell_the_same_of_a_flipped_byte(at: int, byte: int) -> None:
    data = PLAIN[:at] + bytes([byte]) + PLAIN[at + 1 :]
    assert told(data) == told_by_llhttp(data)


def test_a_plain_answer_takes_the_short_way() -> None:
    headers = [(b"content-type", b"text/plain"), (b"etag", b'"1-2"'), (b"content-length", b"3")]
    assert whole_response(PLAIN) == (201, headers, b"abc")
    assert told(PLAIN) == [(201, headers, 3), b"abc", "kept", "end"]


@pytest.mark.parametrize(
    "data",
    [PLAIN[:-1], PLAIN + b"x", PLAIN.replace(b"201", b"304"), PLAIN.replace(b"ETag", b"E" * HEAD_BYTES_MAX)],
    ids=["short", "long", "bodyless", "large"],
)
def test_what_is_not_whole_or_not_plain_is_llhttps(data: bytes) -> None:
    assert whole_response(data) is None


def test_after_the_short_way_the_parser_serves_the_next_answer() -> None:
    here = Told()
    connection = Connection(here, "peer")
    connection.connection_made(cast(asyncio.Transport, here))
    for data in (PLAIN, PLAIN.replace(b"\r\nETag: ", b"\r\nETag:"), PLAIN):
        connection.ask(here, b"", head_only=False)
        connection.data_received(data)
    assert here.events == 3 * told(PLAIN)
