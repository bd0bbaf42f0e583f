"""The chunked coding of a request body (RFC 9112 section 7.1), read strictly, to the byte where it ends."""

from __future__ import annotations

import re
from typing import Final

from dronedispatch.lb.core.heads import Refusal

LINE_BYTES_MAX: Final = 256
TRAILER_BYTES_MAX: Final = 4096

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?").fullmatch
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*").fullmatch


class ChunkedBody:
    """Feed it bytes; it gives the payload, and after the end what lies beyond.

    Extensions and trailer fields are checked and dropped: a balancer that forwards them lends them meaning.
    """

    __slots__ = ("_buffer", "_left", "_stage", "_trailer_bytes", "done")

    def __init__(self) -> None:
        self._buffer = b""
        self._left = 0
        self._stage = "size"
        self._trailer_bytes = 0
        self.done = False

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """Return (payload pieces, bytes beyond the end). The latter is empty until `done`. Raises Refusal."""
        pieces: list[bytes] = []
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        at = 0
        while not self.done:
            if self._stage == "data":
                piece = data[at : at + self._left]
                if not piece:
                    return pieces, b""
                at += len(piece)
                self._left -= len(piece)
                pieces.append(piece)
                if self._left == 0:
                    self._stage = "data end"
                continue
            line_end = data.find(b"\n", at, at + LINE_BYTES_MAX)
            if line_end < 0:
                self._wait(data[at:])
                return pieces, b""
            if line_end == at or data[line_end - 1] != 0x0D:
                raise Refusal(400, "bare LF in a chunked body")
            self._line(data[at : line_end - 1])
            at = line_end + 1
        return pieces, data[at:]

    def _wait(self, rest: bytes) -> None:
        if len(rest) >= LINE_BYTES_MAX:
            raise Refusal(400, "a chunk line over the limit")
        if self._stage == "data end" and rest not in (b"", b"\r"):
            raise Refusal(400, "a chunk longer than its size")
        self._buffer = rest

    def _line(self, line: bytes) -> None:
        if self._stage == "size":
            match = _SIZE(line)
            if match is None:
                raise Refusal(400, "a chunk size that is not hexadecimal")
            self._left = int(match[1], 16)
            self._stage = "data" if self._left else "trailer"
        elif self._stage == "data end":
            if line:
                raise Refusal(400, "a chunk longer than its size")
            self._stage = "size"
        elif not line:
            self.done = True
        else:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > TRAILER_BYTES_MAX or not _FIELD(line):
                raise Refusal(400, "a trailer that is malformed or over the limit")
