"""A fast path below Sanic, on the same port: whole, plain requests that a service wants to answer itself.

A Sanic handler costs about 100 us a request, more than the store's work for it. So a service may register a lane
(`app.ctx.fast_path`) that sees each request first. It takes what it knows and answers through `respond`; everything else,
and everything unusual (chunked bodies, Expect, repeated headers, pipelining, errors), goes to Sanic byte for byte.

A lane for one kind of request names its request line (`app.ctx.fast_line`): all else goes to Sanic unread, and so does what
has not come whole, so that Sanic's time limits hold. `app.ctx.fast_count` counts the answers in place of TALLY.
"""

from __future__ import annotations

import itertools
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from prometheus_client import REGISTRY
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from sanic.http import Stage
from sanic.server import HttpProtocol

from dronedispatch.runtime.web import REQUEST_ID, ServiceProcess

HEAD_BYTES_MAX: Final = 8_192
_HEADS_MAX: Final = 2_000
_NEVER: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade", b"connection"})
_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS: Final = frozenset({b"GET", b"PUT", b"POST", b"DELETE"})

Lane = Callable[["FastRequest"], bool]
"""Takes the request (True: `respond` will be called exactly once, now or later) or leaves it to Sanic (False)."""

Count = Callable[[bytes, int, float], None]
"""Takes the method, the status and the seconds of a request that has been answered."""

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_heads: dict[bytes, tuple[dict[bytes, bytes], int] | None] = {}


class FastRequest:
    """One whole request. `target` is the raw request target, header names are lower-case bytes."""

    __slots__ = ("_began_s", "_protocol", "body", "headers", "method", "target")

    def __init__(
        self,
        protocol: FastProtocol,
        method: bytes,
        target: bytes,
        headers: Mapping[bytes, bytes],
        body: bytes,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self._protocol = protocol
        self._began_s = time.perf_counter()

    def respond(self, status: int, head: bytes, body: bytes) -> None:
        """Send the answer; `head`: further header lines, each ended by CRLF. Nothing happens if the client has gone."""
        self._protocol.answer(status, head, body, self.headers.get(b"x-request-id"))
        self._protocol.count(self.method, status, time.perf_counter() - self._began_s)


class Tally(Collector):
    """Requests by method and status class with a histogram of their times, in plain integers.

    prometheus_client's own counter and histogram take 5 us a request, a tenth of a PUT.
    """

    def __init__(self) -> None:
        self._buckets: dict[tuple[bytes, int], list[int]] = {}
        self._seconds: dict[tuple[bytes, int], float] = {}

    def count(self, method: bytes, status: int, seconds: float) -> None:
        """One request has been answered."""
        key = (method, status // 100)
        buckets = self._buckets.get(key)
        if buckets is None:
            buckets = self._buckets[key] = [0] * (len(_BOUNDS_S) + 1)
            self._seconds[key] = 0.0
        buckets[bisect_left(_BOUNDS_S, seconds)] += 1
        self._seconds[key] += seconds

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        family = HistogramMetricFamily(
            "dd_fast_lane_seconds", "Time to answer, below Sanic", labels=["method", "status"]
        )
        for (method, kind), buckets in self._buckets.items():
            sums = itertools.accumulate(buckets)
            named = [
                (str(bound), float(count)) for bound, count in zip((*_BOUNDS_S, "+Inf"), sums, strict=True)
            ]
            family.add_metric([method.decode(), f"{kind}xx"], named, self._seconds[method, kind])
        yield family


TALLY = Tally()
REGISTRY.register(TALLY)


def parse_headers(lines: bytes) -> tuple[dict[bytes, bytes], int] | None:
    """(headers, content length) of the lines behind the request line; None: Sanic shall look at it.

    Clients of ours send the same lines again and again, so the result is kept by the bytes.
    """
    if lines in _heads:
        return _heads[lines]
    if len(_heads) >= _HEADS_MAX:
        _heads.clear()
    found = _heads[lines] = _parse_headers(lines)
    return found


def _parse_headers(lines: bytes) -> tuple[dict[bytes, bytes], int] | None:
    headers: dict[bytes, bytes] = {}
    split = lines.split(b"\r\n")
    if not lines.count(b"\n") == lines.count(b"\r") == len(split) - 1 or b"\x00" in lines:
        return None
    for line in split:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not colon or not name or name.strip() != name or b" " in name or name in headers or name in _NEVER:
            return None
        headers[name] = value.strip(b" \t")
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or len(length) > 10 or b"host" not in headers:
        return None
    return headers, int(length)


class FastProtocol(HttpProtocol):
    """Sanic's protocol with the lane in front of it; `app.ctx.fast_path` and `app.ctx.process` must be set."""

    __slots__ = ("_busy", "_handed_over", "_lane", "_line", "_need", "_process", "_unread", "count")

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._lane: Lane = self.app.ctx.fast_path
        self._line: bytes = getattr(self.app.ctx, "fast_line", b"")
        self.count: Count = getattr(self.app.ctx, "fast_count", TALLY.count)
        self._process: ServiceProcess = self.app.ctx.process
        self._unread = bytearray()
        self._need = 0
        self._busy = False
        self._handed_over = False

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._handed_over and not self._sanic_is_idle():
            super().data_received(data)
            return
        self._handed_over = False
        self._time = time.monotonic()
        unread = self._unread
        if unread or self._busy:
            unread += data
            if self._busy:
                if len(unread) > self.request_max_size + HEAD_BYTES_MAX and self.transport is not None:
                    self.transport.abort()
                return
            if len(unread) < self._need:
                return
            data = bytes(unread)
            unread.clear()
        self._next(data)

    def _next(self, data: bytes) -> None:
        """Look at what has arrived while neither the lane nor Sanic is at work."""
        if not data.startswith(self._line):
            self._hand_over(data)
            return
        end = data.find(b"\r\n\r\n")
        if end < 0:
            if len(data) > HEAD_BYTES_MAX:
                self._hand_over(data)
            else:
                self._wait_for_more(data, 0)
            return
        line_end = data.find(b"\r\n")
        words = data[:line_end].split(b" ")
        parsed = parse_headers(data[line_end + 2 : end]) if line_end < end else None
        if parsed is None or len(words) != 3 or words[2] != b"HTTP/1.1" or words[0] not in _METHODS:
            self._hand_over(data)
            return
        headers, length = parsed
        total = end + 4 + length
        if length > self.request_max_size or len(data) > total:
            self._hand_over(data)
            return
        if len(data) < total:
            self._wait_for_more(data, total)
            return
        self._busy = True
        if self._lane(FastRequest(self, words[0], words[1], headers, data[end + 4 :])):
            return
        self._busy = False
        self._hand_over(data)

    def _wait_for_more(self, data: bytes, need: int) -> None:
        if self._line:
            self._hand_over(data)
            return
        self._unread += data
        self._need = need

    def _hand_over(self, data: bytes) -> None:
        self._handed_over = True
        super().data_received(data)

    def _sanic_is_idle(self) -> bool:
        http = self.http
        return http is not None and http.stage is Stage.IDLE and not self.recv_buffer

    def answer(self, status: int, head: bytes, body: bytes, request_id: bytes | None) -> None:
        """Write one response, then look at what has arrived meanwhile."""
        self._busy = False
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        lines = [_STATUS_LINES[status], head]
        if request_id is not None and REQUEST_ID.match(request_id.decode("latin-1")):
            lines.append(b"x-request-id: %b\r\n" % request_id)
        draining = self._process.draining
        if draining:
            lines.append(b"connection: close\r\n")
        if status != 204:
            lines.append(b"content-length: %d\r\n" % len(body))
        lines.append(b"\r\n")
        lines.append(body)
        transport.write(b"".join(lines))
        self._time = time.monotonic()
        if draining:
            self.close()
        elif self._unread:
            arrived = bytes(self._unread)
            self._unread.clear()
            self._next(arrived)

    def close_if_idle(self) -> bool:
        """See HttpProtocol."""
        if self._busy or self._unread:
            return False
        return bool(super().close_if_idle())
