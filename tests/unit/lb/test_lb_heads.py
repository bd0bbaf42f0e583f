"""Which heads are let in, what is made of them, and what a gateway gets."""

from __future__ import annotations

import pytest

from dronedispatch.lb.core.forward import peer_lines, wire_prefix
from dronedispatch.lb.core.heads import CHUNKED, Refusal, RequestHead, read_head


def read(*lines: bytes, start: bytes = b"GET /x?y=1 HTTP/1.1", trusted: bool = False) -> RequestHead:
    return read_head(b"\r\n".join((start, *lines, b"", b"")), trusted=trusted)


HOST = b"Host: a.example:8080"


GET, POST = b"GET / HTTP/1.1", b"POST / HTTP/1.1"
HOSTS = (b" a, b", b" u@a", b" ", b" a:99999999", b"\ta")
LENGTHS = (b"1, 1", b"+1", b"-1", b"0x1", b"", b"1 1", b"99999999999999999999999", b"1\t")
CODINGS = (b"gzip", b"gzip, chunked", b"chunked, identity", b"identity", b"xchunked")
LINES = (b" X: folded", b"X y: a", b"X\x00: a", b"X: a\x00", b"X: a\x01", b": a", b"no colon")
PATHS = (b"/a#b", b"/\x7f", b"/\xe9", b"/a b", b" /", b"/ ", b"/a%2", b"/a%zz", b"/a%00b", b"x", b"*")
TARGETS = (b"/a/../../b", b"/..", b"http://a.example:8080/../b", b"http://b/", b"http://a.example:8080@b/")
PROTOCOLS = (b"HTTP/1.1 ", b"HTTP/1.2", b"HTTP/0.9", b"http/1.1")
REFUSED = [
    *[((), start, 400) for start in (GET, b"GET / HTTP/1.0", b"GET /")],
    *[((b"Host:" + host,), GET, 400) for host in HOSTS],
    *[((HOST, b"Content-Length: " + length), POST, 400) for length in LENGTHS],
    *[((HOST, b"Transfer-Encoding: " + coding), POST, 400) for coding in CODINGS],
    *[((HOST, line), GET, 400) for line in LINES],
    *[((HOST,), b"GET %b HTTP/1.1" % target, 400) for target in (*PATHS, *TARGETS)],
    *[((HOST,), b"GET / %b" % protocol, 400) for protocol in PROTOCOLS],
    *[((HOST,), start, 501) for start in (b"GET\t/ HTTP/1.1", b"get / HTTP/1.1", b"BREW / HTTP/1.1")],
    ((HOST, HOST), GET, 400),
    ((HOST, b"Content-Length: 1", b"Content-Length: 1"), POST, 400),
    ((HOST, b"Content-Length: 1", b"Content-Length: 2"), POST, 400),
    ((HOST, b"Content-Length: 1", b"Transfer-Encoding: chunked"), POST, 400),
    ((HOST, b"Transfer-Encoding: chunked", b"Content-Length: 1"), POST, 400),
    ((HOST, b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), POST, 400),
    ((HOST, b"Transfer-Encoding: chunked"), b"POST / HTTP/1.0", 400),
    ((HOST, b"Transfer-Encoding:\x0bchunked"), POST, 400),
    ((HOST, b"Transfer-Encoding : chunked"), POST, 400),
    ((HOST, b"transfer-encoding:\tchunked"), POST, 400),
    ((HOST, b"X: a", b"\tfolded"), GET, 400),
    ((HOST, b"X: a\rY: b"), GET, 400),
    ((HOST, b"X: a\nY: b"), GET, 400),
    ((HOST,), b"GET ftp://a.example:8080/ HTTP/1.1", 400),
    ((HOST,), b"CONNECT a.example:8080 HTTP/1.1", 400),
    ((HOST, b"Content-Length: 5"), b"GET / HTTP/1.0", 400),
    ((HOST,), b"TRACE / HTTP/1.1", 405),
    ((HOST,), b"GET / HTTP/2.0", 505),
    ((HOST, b"Expect: 200-ok"), GET, 417),
    ((HOST, *[b"X: 1"] * 101), GET, 431),
]


@pytest.mark.parametrize(("lines", "start", "status"), REFUSED)
def test_a_head_that_two_readers_could_read_differently_is_refused(
    lines: tuple[bytes, ...], start: bytes, status: int
) -> None:
    with pytest.raises(Refusal) as refused:
        read(*lines, start=start)
    assert refused.value.status == status
    assert refused.value.reason


@pytest.mark.parametrize(
    ("lines", "body_bytes"),
    [
        ((), 0),
        ((b"Content-Length: 0",), 0),
        ((b"Content-Length: 00012",), 12),
        ((b"Content-Length:12  ",), 12),
        ((b"Transfer-Encoding: chunked",), CHUNKED),
        ((b"transfer-encoding:Chunked",), CHUNKED),
        ((b"Connection: Upgrade", b"Upgrade: websocket", b"Content-Length: 3"), 3),
    ],
)
def test_the_body_is_framed_by_one_header_only(lines: tuple[bytes, ...], body_bytes: int) -> None:
    assert read(HOST, *lines, start=b"POST / HTTP/1.1").body_bytes == body_bytes


@pytest.mark.parametrize(
    ("start", "lines", "kept"),
    [
        (b"GET / HTTP/1.1", (), True),
        (b"GET / HTTP/1.1", (b"Connection: close",), False),
        (b"GET / HTTP/1.1", (b"Connection: Keep-Alive, CLOSE",), False),
        (b"GET / HTTP/1.1", (b"Connection:: close",), False),
        (b"GET / HTTP/1.1", (b"Connection: \tkeep-alive",), True),
        (b"GET / HTTP/1.0", (), False),
        (b"GET / HTTP/1.0", (b"Connection: keep-alive",), True),
    ],
)
def test_the_connection_is_kept_as_the_client_wishes(
    start: bytes, lines: tuple[bytes, ...], kept: bool
) -> None:
    assert read(HOST, *lines, start=start).keep_alive is kept


@pytest.mark.parametrize(
    ("start", "target"),
    [
        (b"GET /a/b?c=%20&d HTTP/1.1", b"/a/b?c=%20&d"),
        (b"GET http://a.example:8080/p?q HTTP/1.1", b"/p?q"),
        (b"GET http://A.Example:8080 HTTP/1.1", b"/"),
        (b"GET http://a.example:8080?q HTTP/1.1", b"/?q"),
        (b"GET /a/../b/..c?/../.. HTTP/1.1", b"/a/../b/..c?/../.."),
        (b"OPTIONS * HTTP/1.1", b"*"),
    ],
)
def test_the_target_becomes_a_path(start: bytes, target: bytes) -> None:
    assert read(HOST, start=start).target == target


@pytest.mark.parametrize(
    "line",
    [
        b"Connection: close",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: zz",
        b"Proxy-Authorization: zz",
        b"Proxy: evil",
        b"TE: trailers",
        b"Trailer: zz",
        b"Upgrade: h2c",
        b"HTTP2-Settings: zz",
        b"X-Forwarded-For: 1.2.3.4",
        b"X-Forwarded-Host: evil",
        b"X-Forwarded-Anything: evil",
        b"Forwarded: for=1.2.3.4",
        b"X-Real-IP: 1.2.3.4",
        b"Content_Length: 4",
        b"X-Request-ID: not valid; at all",
    ],
)
def test_what_is_not_for_the_gateway_is_dropped(line: bytes) -> None:
    wire = wire_prefix(read(HOST, line), "9.8.7.6", peer_lines("9.8.7.6")).lower()
    value = line.partition(b": ")[2].lower()
    assert value not in wire.replace(b"http/1.1", b"")


def test_names_in_connection_are_dropped_with_their_headers() -> None:
    request = read(HOST, b"X-One: 1", b"Connection: x-one, close", b"X-One-Two: 2", b"X-One: 3")
    assert request.lines == [b"x-one-two: 2"]
    assert not request.keep_alive


def test_a_key_that_connection_names_is_no_key() -> None:
    start = b"POST /deliveries HTTP/1.1"
    assert read(HOST, b"Idempotency-Key: k", start=start).keyed
    assert not read(HOST, b"Idempotency-Key: k", b"Connection: idempotency-key", start=start).keyed


@pytest.mark.parametrize(
    ("start", "remembered"),
    [
        (b"POST /deliveries HTTP/1.1", True),
        (b"POST /deliveries?x=1 HTTP/1.1", True),
        (b"POST http://a.example:8080/deliveries HTTP/1.1", True),
        (b"POST /deliveries/ HTTP/1.1", False),
        (b"POST /deliveries/D1/cancel HTTP/1.1", False),
        (b"POST /drones/D1/decommission HTTP/1.1", False),
        (b"PATCH /deliveries HTTP/1.1", False),
    ],
)
def test_a_key_counts_only_where_the_gateway_remembers_it(start: bytes, remembered: bool) -> None:
    assert read(HOST, b"Idempotency-Key: k", start=start).keyed is remembered


def test_the_gateway_gets_the_clients_headers_in_order_then_ours() -> None:
    request = read(HOST, b"B: 2", b"a: 1", b"B: 3", b"Content-Length: 4", start=b"PUT /x HTTP/1.1")
    assert wire_prefix(request, "9.8.7.6", peer_lines("9.8.7.6")) == (
        b"PUT /x HTTP/1.1\r\nhost: a.example:8080\r\nb: 2\r\na: 1\r\nb: 3\r\nx-forwarded-for: 9.8.7.6\r\n"
        b"x-forwarded-proto: http\r\ncontent-length: 4\r\nx-request-id: "
    )


def test_a_trusted_proxys_forwarding_headers_are_kept_and_continued() -> None:
    request = read(HOST, b"X-Forwarded-For: 1.2.3.4", b"X-Forwarded-Proto: https", trusted=True)
    wire = wire_prefix(request, "10.0.0.1", peer_lines("10.0.0.1"))
    assert b"\r\nx-forwarded-for: 1.2.3.4, 10.0.0.1\r\n" in wire
    assert wire.count(b"x-forwarded-proto") == 1
    assert b"x-forwarded-proto: https" in wire


def test_a_post_without_body_says_so() -> None:
    assert b"\r\ncontent-length: 0\r\n" in wire_prefix(read(HOST, start=POST), "a", peer_lines("a"))
