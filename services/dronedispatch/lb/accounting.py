"""The books: what the data plane counts, and one line of the access log for each request."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from dronedispatch.lb.access_log import AccessLog
from dronedispatch.lb.core.access import Access, Stamp, as_json, as_text
from dronedispatch.lb.core.counters import ProxyCounters
from dronedispatch.runtime.clock import Clock

if TYPE_CHECKING:
    from dronedispatch.lb.proxied_request import ProxiedRequest


class Accounting(ProxyCounters):
    """See `lb/ports.py:Books`. `tick` keeps the date: no request pays for the clock."""

    __slots__ = ("_behind_s", "_clock", "_id_count", "_id_prefix", "_line", "_stamp", "access_log", "date")

    def __init__(self, clock: Clock, access_log: AccessLog | None, *, json: bool, now_s: float) -> None:
        super().__init__()
        self.access_log = access_log
        self.date = b""
        self._clock = clock
        self._stamp = Stamp()
        self._line = as_json if json else as_text
        self._id_prefix = secrets.token_hex(6).encode() + b"-"
        self._id_count = 0
        self._behind_s = 0.0
        self.tick(now_s)

    def tick(self, now_s: float) -> None:
        """Look at the wall clock. `now_s`: the loop's time."""
        wall_s = self._clock.wall_s()
        self._behind_s = wall_s - now_s
        self.date = self._stamp.date(wall_s)

    def request_id(self) -> bytes:
        """A new id, unique over processes and restarts."""
        self._id_count += 1
        return self._id_prefix + b"%x" % self._id_count

    def record(self, request: ProxiedRequest, now_s: float) -> None:
        """Count it and write its line: once, at its end."""
        status = request.status or 499
        began_s, ended = request.began_s, request.ended
        bytes_in, bytes_out = request.bytes_in, request.bytes_out
        self.answered(status, now_s - began_s, ended)
        self.bytes_in += bytes_in
        self.bytes_out += bytes_out
        log = self.access_log
        if log is None:
            return
        head_s, sent_s = request.head_s, request.sent_s
        connect_s, response_s = request.connect_s, request.response_s
        log.add(
            self._line(
                Access(
                    self._stamp.of(now_s + self._behind_s),
                    request.address,
                    request.head.line,
                    status,
                    bytes_in,
                    bytes_out,
                    int((head_s - began_s) * 1000),
                    -1 if sent_s < 0 else int((sent_s - head_s - connect_s) * 1000),
                    -1 if connect_s < 0 else int(connect_s * 1000),
                    -1 if response_s < 0 else int((response_s - sent_s) * 1000),
                    int((now_s - began_s) * 1000),
                    request.backend_id,
                    request.tries,
                    ended,
                    request.request_id.decode(),
                )
            )
        )

    def record_refusal(self, address: str, line: str, status: int, now_s: float) -> None:
        """A head that was refused is no request, but has a line and a place in the counters."""
        self.answered(status, 0.0, "refused")
        if self.access_log is not None:
            stamp = self._stamp.of(now_s + self._behind_s)
            entry = Access(stamp, address, line, status, 0, 0, 0, -1, -1, -1, 0, "", 0, "refused", "")
            self.access_log.add(self._line(entry))

    def reopen_log(self) -> None:
        """SIGHUP: the access log's file was moved away."""
        if self.access_log is not None:
            self.access_log.reopen()
