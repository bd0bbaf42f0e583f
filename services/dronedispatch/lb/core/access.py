"""One line of the access log for each request, with HAProxy's timers. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import formatdate
from typing import Final

import msgspec

ENCODER: Final = msgspec.json.Encoder()


class Access(msgspec.Struct, gc=False):
    """Times in ms, -1 where that stage was not reached; `ended` says how ("ok", "client_abort", "limited", ...)."""

    time: str
    client: str
    request: str
    status: int
    bytes_in: int
    bytes_out: int
    request_ms: int
    queue_ms: int
    connect_ms: int
    response_ms: int
    total_ms: int
    upstream: str
    tries: int
    ended: str
    request_id: str


def as_json(entry: Access) -> bytes:
    return ENCODER.encode(entry) + b"\n"


def as_text(entry: Access) -> bytes:
    """time client "request" status in/out Tq/Tw/Tc/Tr/Tt upstream tries ended id.

    The request line cannot break the line or leave its quotes: controls never got this far, quotes are escaped.
    """
    return (
        f'{entry.time} {entry.client} "{_escaped(entry.request)}" {entry.status} {entry.bytes_in}/{entry.bytes_out} '
        f"{entry.request_ms}/{entry.queue_ms}/{entry.connect_ms}/{entry.response_ms}/{entry.total_ms} "
        f"{entry.upstream or '-'} {entry.tries} {entry.ended} {entry.request_id or '-'}\n"
    ).encode("utf-8", "replace")


def _escaped(line: str) -> str:
    if '"' in line or "\\" in line or not line.isprintable():
        return line.encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return line


class Stamp:
    """UTC wall time as text, RFC 3339 with ms; the seconds are formatted once each."""

    __slots__ = ("_date", "_date_second", "_second", "_text")

    def __init__(self) -> None:
        self._second = -1
        self._text = ""
        self._date_second = -1
        self._date = b""

    def of(self, wall_s: float) -> str:
        second = int(wall_s)
        if second != self._second:
            self._second = second
            self._text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{self._text}.{int((wall_s - second) * 1000):03d}Z"

    def date(self, wall_s: float) -> bytes:
        """The value of a Date header (IMF-fixdate, RFC 9110 section 5.6.7)."""
        second = int(wall_s)
        if second != self._date_second:
            self._date_second = second
            self._date = formatdate(second, usegmt=True).encode()
        return self._date
