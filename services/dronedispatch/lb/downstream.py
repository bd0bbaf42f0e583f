"""One client's connection: heads are cut from the bytes, one request at a time is answered, the rest waits."""

from __future__ import annotations

import asyncio
import math
from typing import Final, cast

from dronedispatch.lb.core.answers import own_answer
from dronedispatch.lb.core.forward import peer_lines
from dronedispatch.lb.core.heads import HEAD_BYTES_MAX, Refusal, RequestHead, read_head
from dronedispatch.lb.core.identity import client_address, is_loopback, is_trusted, limiter_key
from dronedispatch.lb.proxied_request import ProxiedRequest
from dronedispatch.lb.proxy_core import ProxyCore

PIPELINED_BYTES_MAX: Final = 65_536
REMEMBERED_BYTES_MAX: Final = 4_096
_END: Final = b"\r\n\r\n"
_NOT_READ: Final = RequestHead(trusted=False)  # what no bytes are equal to


class Downstream(asyncio.Protocol):
    """`deadline_s` is what `Deadlines` looks at; `request` the one that is being answered, if any.

    The last head is remembered with its reading: a client that asks the same again, as one that polls does, is not parsed
    again.
    """

    __slots__ = (
        "_buffer",
        "_core",
        "_head",
        "_head_bytes",
        "_pumping",
        "_reading",
        "address",
        "began_s",
        "deadline_s",
        "half_closed",
        "lines",
        "lingering",
        "party",
        "request",
        "tokens_refused",
        "transport",
        "trusted",
        "write_paused",
    )

    def __init__(self, core: ProxyCore) -> None:
        self._core = core
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.request: ProxiedRequest | None = None
        self.address = ""
        self.party = (
            ""  # whom its connections are counted with: an IPv4 address, or the /64 of an IPv6 customer
        )
        self.lines = b""
        self.trusted = False
        self.tokens_refused = False  # plain from another machine: a token shown here has been read by others
        self.deadline_s = math.inf
        self.began_s = 0.0
        self.half_closed = False
        self.lingering = False
        self.write_paused = False
        self._buffer = b""
        self._head_bytes = b""
        self._head = _NOT_READ
        self._pumping = False
        self._reading = True

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        core = self._core
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if peer else "unknown"
        tls = transport.get_extra_info("sslcontext") is not None
        self.lines = peer_lines(self.address, tls=tls)
        self.trusted = bool(core.trusted) and is_trusted(self.address, core.trusted)
        here = transport.get_extra_info("sockname")
        from_here = is_loopback(self.address) or bool(here and peer and here[0] == peer[0])
        self.tokens_refused = not (tls or self.trusted or core.settings.plain == "everybody" or from_here)
        self.party = limiter_key(self.address)
        self.deadline_s = core.now() + core.timeouts.head_s
        if not core.connections.came(self):
            self._answer_and_close(503, "too many connections", retry_after_s=1)

    def data_received(self, data: bytes) -> None:
        request = self.request
        if request is None:
            if self.lingering:
                return
            self._buffer = self._buffer + data if self._buffer else data
            if not self.write_paused:
                self._pump()
            elif len(self._buffer) > PIPELINED_BYTES_MAX:
                self.pause()
        elif request.body_done:
            self._buffer += data
            if len(self._buffer) > PIPELINED_BYTES_MAX:
                self.pause()
        else:
            self._buffer = request.body(data)

    def eof_received(self) -> bool:
        request = self.request
        self.half_closed = True
        # Its answer may still be wanted: closing one's own half is legal. With half a body there is none to come.
        return request is not None and request.body_done

    def connection_lost(self, error: Exception | None) -> None:
        self._core.connections.left(self)
        self.deadline_s = math.inf
        if self.request is not None:
            self.request.client_gone()

    def pause_writing(self) -> None:
        self.write_paused = True
        if self.request is not None:
            self.request.client_slow()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self.request is not None:
            self.request.client_ready()
            return
        self.resume()
        if self._buffer:
            self._pump()

    # --- ClientSide ---

    def pause(self) -> None:
        if self._reading and not self.transport.is_closing():
            self._reading = False
            self.transport.pause_reading()

    def resume(self) -> None:
        if not self._reading and not self.transport.is_closing():
            self._reading = True
            self.transport.resume_reading()

    def done(self, now_s: float, *, close: bool, linger: bool) -> None:
        """The request is over. `linger`: the client may still be sending what nobody will read."""
        self.request = None
        if self.transport.is_closing():
            return
        if close or (self.half_closed and _END not in self._buffer):
            self._close(linger=linger)
            return
        if not self._reading and not self.write_paused:
            self.resume()
        core = self._core
        core.connections.crowd.rests(self, self.party)
        self.deadline_s = now_s + (1.0 if core.connections.draining else core.timeouts.keep_alive_s)
        if self._buffer and not self._pumping and not self.write_paused:
            self._pump()

    def cut(self) -> None:
        """Close so that the client knows: with a reset when nothing else tells it that the answer is incomplete."""
        self.transport.abort()

    def expired(self) -> None:
        """The deadline has passed."""
        self.deadline_s = math.inf
        request = self.request
        if request is not None:
            request.expired()
        elif self._buffer and not self.lingering and not self.write_paused:
            self._answer_and_close(408, "the head of the request did not come in time")
        else:
            close = self.transport.abort if self.lingering or self.write_paused else self.transport.close
            close()

    # --- heads ---

    def _pump(self) -> None:
        self._pumping = True
        try:
            while self._buffer and self.request is None and not self.write_paused:
                if self.lingering or self.transport.is_closing() or not self._next():
                    return
        finally:
            self._pumping = False

    def _next(self) -> bool:
        """Cut one head from the buffer and begin its request; False when it is not complete or was refused."""
        data = self._buffer
        core = self._core
        now_s = core.now()
        end = data.find(_END)
        if end <= 0 or end > HEAD_BYTES_MAX or data[0] == 0x0D:
            return self._incomplete(data, now_s)
        if end + 4 == len(data):
            self._buffer = b""
        else:
            self._buffer = data[end + 4 :]
            data = data[: end + 4]
        began_s = self.began_s or now_s
        self.began_s = 0.0
        if data == self._head_bytes:
            head = self._head
        else:
            try:
                head = read_head(data, trusted=self.trusted)
            except Refusal as refusal:
                self._refuse(refusal, data, now_s)
                return False
            if end <= REMEMBERED_BYTES_MAX:
                self._head_bytes, self._head = data, head
        address = self.address
        if self.trusted:
            address = client_address(address, head.forwarded_for, core.trusted)
        core.connections.crowd.busy(self, self.party)
        request = self.request = ProxiedRequest(core, self, head, address, began_s, now_s)
        rest, self._buffer = self._buffer, b""
        rest = request.begin(rest)
        if not self.lingering:
            self._buffer = rest
        return True

    def _incomplete(self, data: bytes, now_s: float) -> bool:
        if data[:2] == b"\r\n":  # one empty line before a request is to be ignored (RFC 9112, section 2.2)
            self._buffer = data[2:]
            if self._buffer[:2] != b"\r\n":
                return True
            self._refuse(Refusal(400, "empty lines instead of a request"), data, now_s)
        elif len(data) > HEAD_BYTES_MAX:
            status = 431 if b"\r\n" in data[:HEAD_BYTES_MAX] else 414
            self._refuse(Refusal(status, f"a head of more than {HEAD_BYTES_MAX} bytes"), data, now_s)
        elif data.count(b"\n") != data.count(b"\r\n") or not (data[:1].isalpha() or data[:2] == b"\r"):
            self._refuse(Refusal(400, "not the head of an HTTP request"), data, now_s)
        elif not self.began_s:
            self.began_s = now_s
            self.deadline_s = now_s + self._core.timeouts.head_s
        return False

    def _refuse(self, refusal: Refusal, data: bytes, now_s: float) -> None:
        line = data[:256].partition(b"\r\n")[0].partition(b"\n")[0].decode("latin-1")
        self._core.books.record_refusal(self.address, line, refusal.status, now_s)
        self._answer_and_close(refusal.status, refusal.reason)

    def _answer_and_close(self, status: int, reason: str, *, retry_after_s: int | None = None) -> None:
        self.transport.write(
            own_answer(
                status, reason, b"", close=True, retry_after_s=retry_after_s, date=self._core.books.date
            )
        )
        self._close(linger=True)

    def _close(self, *, linger: bool) -> None:
        """Closing a socket with unread bytes resets it, and the reset may overtake our answer: so read on for a while."""
        self._buffer = b""
        if not linger or self.half_closed or self.transport.is_closing():
            self.deadline_s = math.inf
            self.transport.close()
            return
        self.lingering = True
        self.resume()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.deadline_s = self._core.now() + self._core.timeouts.linger_s
