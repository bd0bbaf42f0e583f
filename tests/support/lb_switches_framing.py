"""The rules of framing, each with a reader that lacks it. The corpus of payloads must then turn red.

llhttp refuses much by itself and cannot be told not to. There the lenient reader is played by mending the head before it is
read, as a parser that lets it pass would have understood it.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from contract import test_lb_proxy as proxying
from contract.test_lb_corpus import PAYLOADS
from contract.test_lb_corpus import (
    test_a_payload_is_forwarded_in_one_reading_or_refused_and_harms_nobody as judged,
)
from dronedispatch.lb.core import heads
from dronedispatch.lb.core.chunked import ChunkedBody
from dronedispatch.lb.core.heads import RequestHead, read_head
from dronedispatch.lb.core.upload import Upload
from support.rule_switches import Off, Switch, put
from unit.lb.test_lb_heads import test_a_head_that_two_readers_could_read_differently_is_refused as refused

HOST = b"Host: a.example:8080"
Mend = Callable[[bytes], bytes]

_PAYLOADS = {payload.name: payload for payload in PAYLOADS}


def lenient(*mends: Mend) -> Off:
    """A reader that understands what `mends` make of a head."""

    def read(head: bytes, *, trusted: bool) -> RequestHead:
        for mend in mends:
            head = mend(head)
        return read_head(head, trusted=trusted)

    return put({"downstream.read_head": read})


def lenient_chunks(*mends: Mend) -> Off:
    """A reader of chunks that understands what `mends` make of the bytes."""
    feed = ChunkedBody.feed

    def read(self: ChunkedBody, data: bytes) -> tuple[list[bytes], bytes]:
        for mend in mends:
            data = mend(data)
        return feed(self, data)

    return put({"core.chunked.ChunkedBody.feed": read})


def mend(pattern: bytes, by: bytes, *, count: int = 0) -> Mend:
    compiled = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return lambda head: compiled.sub(by, head, count=count)


def where(condition: bytes, then: Mend) -> Mend:
    """`then`, where the head has `condition`."""
    search = re.compile(condition, re.IGNORECASE).search
    return lambda head: then(head) if search(head) else head


def without_method(method: bytes) -> Off:
    """The method is served like any other, and its target taken for a path."""

    def off(patch: pytest.MonkeyPatch) -> None:
        patch.delitem(heads._METHODS_REFUSED, method)
        patch.setattr(RequestHead, "_path_of_absolute", lambda _self, url: b"/" + url)

    return off


def ignoring(header: bytes) -> Off:
    """The header has no meaning here."""
    return lambda patch: patch.setitem(heads._ACTIONS, header, RequestHead._drop)


def longer_chunk(self: ChunkedBody, line: bytes) -> None:
    """Whatever stands between a chunk's bytes and the line's end is forgotten."""
    _line(self, b"" if self._stage == "data end" else line)


def waiting(self: ChunkedBody, rest: bytes) -> None:
    self._buffer = rest


def as_it_came(self: Upload, data: bytes) -> tuple[bytes, bytes]:
    """The bytes of the client are forwarded."""
    payload, rest = _feed(self, data)
    if self._chunks is not None and self.kept:
        payload = self.kept[-1] = data[: len(data) - len(rest)]
    return payload, rest


_line, _feed = ChunkedBody._line, Upload.feed
TE_WINS = where(rb"\ntransfer-encoding *:", mend(rb"\r\ncontent-length *:[^\r]*", b""))
LONGER_CHUNK = put(
    {"core.chunked.ChunkedBody._line": longer_chunk, "core.chunked.ChunkedBody._wait": waiting}
)


def corpus(rule: str, off: Off, *names: str) -> list[Switch]:
    """One switch for each payload that must turn red."""
    return [Switch(f"{rule}: {name}", off, judged, (_PAYLOADS[name],)) for name in names]


def head(rule: str, off: Off, start: bytes, *lines: bytes) -> list[Switch]:
    """Where the corpus has no payload of the rule's own: a head of the unit tests."""
    return [Switch(rule, off, refused, ((HOST, *lines), start, 400))]


NAME = rb"\r\n[!#$%&'*+.^_`|~0-9a-z-]*[^!#$%&'*+.^_`|~0-9a-z\r\n: -][^:\r\n]*:[^\r]*"
FRAMING: tuple[Switch, ...] = (
    *corpus("Content-Length with Transfer-Encoding", lenient(TE_WINS), "cl-te", "te-cl"),
    *corpus("several Content-Length", lenient(mend(rb"(\r\ncontent-length:[^\r]*)\r\ncontent-length:[^\r]*", rb"\1")),
            "cl-twice-different", "cl-twice-same"),
    *corpus("a Content-Length that is no number",
            lenient(mend(rb"(\r\ncontent-length:) *[+\"]?(\d+)[^\r]*", rb"\1 \2")), "cl-plus", "cl-list", "cl-float",
            "cl-quoted"),
    *corpus("a Transfer-Encoding other than exactly chunked",
            lenient(mend(rb"(\r\ntransfer-encoding:)[^\r]*chunked[^\r]*", rb"\1 chunked"), TE_WINS), "te-xchunked",
            "te-gzip-chunked", "te-chunked-semicolon", "te-chunked-identity"),
    *corpus("Transfer-Encoding twice",
            lenient(mend(rb"(\r\ntransfer-encoding:[^\r]*)\r\ntransfer-encoding:[^\r]*", rb"\1")), "te-twice",
            "te-twice-same"),
    *corpus("chunked on HTTP/1.0",
            lenient(where(rb"\ntransfer-encoding:", mend(rb" HTTP/1\.0", b" HTTP/1.1", count=1))), "te-http10"),
    *corpus("bare LF", lenient(mend(rb"(?<!\r)\n", b"\r\n")), "header-bare-lf", "cl-lf-after"),
    *corpus("bare CR", lenient(mend(rb"\r(?!\n)", b"\r\n")), "header-bare-cr"),
    *corpus("NUL", lenient(mend(rb"\0", b"")), "header-nul", "cl-nul"),
    *corpus("control characters in a value", lenient(mend(rb"[\x01\x7f]", b"")), "header-control"),
    *corpus("obs-fold", lenient(mend(rb"\r\n[ \t]+", b" ")), "header-obs-fold", "cl-folded"),
    *corpus("space before the colon", lenient(mend(rb"\s+:", b":")), "header-space-colon", "cl-space-before-colon"),
    *corpus("names that are no tokens", lenient(mend(NAME, b"")), "header-name-paren", "header-name-8bit"),
    *corpus("no Host", lenient(mend(rb"\A(?!.*\nhost:)(.*)\r\n\Z", b"\\1Host: a\r\n\r\n")), "host-none"),
    *corpus("several Host", lenient(mend(rb"(\r\nhost:[^\r]*)\r\nhost:[^\r]*", rb"\1")), "host-twice"),
    *corpus("a Host that is no host", put({"core.heads._HOST": lambda _value: True}), "host-at", "host-comma"),
    *corpus("a target's authority that differs from Host", lenient(mend(rb"^GET http://[^/]+/", b"GET /")),
            "target-absolute-other", "target-absolute-userinfo"),
    *corpus("CONNECT", without_method(b"CONNECT"), "connect"),
    *corpus("TRACE", without_method(b"TRACE"), "trace"),
    *corpus("'#' in the target", put({"core.heads._TARGET_BYTES": bytes(range(256))}), "target-fragment"),
    *corpus("control characters in the target", lenient(mend(rb"[\x01\x7f]", b"")), "target-control", "target-del"),
    *corpus("a tab around Host and lengths", put({"core.heads._TAB_IN_FRAMING": lambda _head: None}), "host-tab"),
    *corpus("other versions", lenient(mend(rb" HTTP/1\.2", b" HTTP/1.1", count=1)), "version-12"),
    *corpus("other expectations", ignoring(b"expect"), "expect-other"),
    *corpus("100 headers", put({"core.heads.HEADERS_MAX": 10_000}), "many-headers"),
    *corpus("a head of 16 KiB", put({"downstream.HEAD_BYTES_MAX": 1 << 20}), "long-header"),
    *corpus("chunk sizes are hexadecimal",
            put({"core.chunked._SIZE": re.compile(rb"\s*(?:0x)?\+?([0-9A-Fa-f]+)[^;]*(?:;.*)?", re.DOTALL).fullmatch}),
            "chunk-0x", "chunk-trailing-space", "chunk-ext-nul"),
    *corpus("a chunk as long as its size", LONGER_CHUNK, "chunk-too-long"),
    *corpus("bare LF in chunks", lenient_chunks(mend(rb"(?<!\r)\n", b"\r\n")), "chunk-bare-lf-size",
            "chunk-bare-lf-end"),
    *corpus("trailers are fields", put({"core.chunked._FIELD": lambda _line: True}), "chunk-trailer-bad"),
    Switch("framed anew", put({"core.upload.Upload.feed": as_it_came}),
           proxying.test_a_chunked_request_is_framed_anew_and_its_extensions_and_trailer_are_dropped),
    *head("a path that leaves its root", put({"core.heads._climbs_out": lambda _url: False}), b"GET /.. HTTP/1.1"),
    *head("an escape that is none", put({"core.heads._BAD_ESCAPE": lambda _url: None}), b"GET /a%zz HTTP/1.1"),
    *head("a body with GET of HTTP/1.0", put({"core.heads._BODYLESS_10": frozenset()}), b"GET / HTTP/1.0",
          b"Content-Length: 5"),
)  # fmt: skip
