"""One kept connection to an upstream: bytes in, one response at a time out, to whoever asked.

Shared by every internal call (client.py) and by the load balancer's proxy. llhttp (httptools) refuses two
Content-Length, Content-Length with Transfer-Encoding, bare LF, NUL, folded lines and bad chunk sizes by itself;
here is what it leaves to its user: HEAD, an end by EOF, other codings, interim answers, and more bytes than asked for.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from httptools import HttpParserError, HttpResponseParser

from dronedispatch.runtime.http.errors import Broken, Malformed
from dronedispatch.runtime.http.whole_response import whole_response

HEAD_BYTES_MAX: Final = 65_536
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})

Headers = list[tuple[bytes, bytes]]


class Receiver(Protocol):
    """Who is told what an upstream answers: interim*, head, (body | flush)*, and at last either end or lost.

    A receiver may drop the connection in any of these; no further call comes then.
    """

    __slots__ = ()

    def response_interim(self, status: int, headers: Headers) -> None:
        """A 1xx other than 101 arrived (100 included)."""

    def response_head(self, status: int, headers: Headers, body_bytes: int | None) -> None:
        """`headers` have lower-case names, wire order. `body_bytes`: None if the length is not known beforehand;
        for HEAD and 304 the declared length is in `headers` alone and this is 0."""

    def response_body(self, piece: bytes) -> None: ...

    def response_flush(self) -> None:
        """All that had arrived has been handed over, and the response goes on."""

    def response_end(self) -> None:
        """The response was complete; the connection has already gone back, or away."""

    def response_lost(self, error: Broken) -> None:
        """No full response will come; the connection is closed."""

    def upstream_paused(self) -> None:
        """Stop writing: the kernel takes no more for now."""

    def upstream_resumed(self) -> None: ...


class Home(Protocol):
    """Where connections come from and return to: a pool."""

    def opened(self, connection: Connection) -> None: ...

    def idle(self, connection: Connection) -> None: ...

    def gone(self, connection: Connection) -> None: ...


class Connection(asyncio.Protocol):
    """At most one exchange at a time; `ask` starts one. Goes home to its pool between exchanges."""

    __slots__ = (
        "_answered",
        "_chunked",
        "_declared",
        "_dirty",
        "_done",
        "_head_only",
        "_headers",
        "_in_body",
        "_interim",
        "_keep",
        "_parser",
        "_quiet_bytes",
        "_receiver",
        "_until_eof",
        "home",
        "idle_since_s",
        "peer",
        "served",
        "transport",
        "whole",
    )

    def __init__(self, home: Home, peer: str) -> None:
        self.home = home
        self.peer = peer
        self.transport: asyncio.Transport = cast(asyncio.Transport, None)
        self.idle_since_s = 0.0
        self.served = 0
        self.whole = True
        self._receiver: Receiver | None = None
        self._parser = HttpResponseParser(self)
        self._headers: Headers = []
        self._head_only = False
        self._reset()

    def _reset(self) -> None:
        self._dirty = False  # nothing of an answer has been read since
        self._headers = []
        self._declared = -1
        self._chunked = self._in_body = self._interim = self._done = False
        self._answered = self._until_eof = False
        self._keep = True
        self._quiet_bytes = 0

    # --- what the asker does ---

    def ask(self, receiver: Receiver, data: bytes, *, head_only: bool, whole: bool = True) -> None:
        """Write the (first part of a) request. `head_only`: it is a HEAD, whose answer has no body.

        `whole`: nothing of the request is missing; else `write` brings the rest and sets `whole` with the last of it.
        A connection whose request was cut short by an early answer serves no other.
        """
        assert self._receiver is None
        self._receiver = receiver
        self._head_only = head_only
        self.whole = whole
        if self._dirty:
            self._reset()
        self.transport.write(data)

    def hand_over(self, receiver: Receiver) -> None:
        """The rest of the current response goes to `receiver`."""
        self._receiver = receiver

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def drop(self) -> None:
        """Forget the exchange and close at once: no further call reaches the receiver."""
        self._receiver = None
        self.transport.abort()

    def pause(self) -> None:
        if not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    # --- asyncio.Protocol ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.home.opened(self)

    def data_received(self, data: bytes) -> None:
        asker = self._receiver
        if asker is None:  # an answer that nobody asked for
            self.transport.abort()
            return
        if not self._dirty and not self._head_only and (found := whole_response(data)) is not None:
            self._take_whole(asker, *found)
            return
        self._dirty = self._answered = True
        self._quiet_bytes += len(data)
        excess = False
        try:
            self._parser.feed_data(data)
        except HttpParserError as error:  # HttpParserUpgrade is one of them
            if not self._done:
                self._lose(Malformed(self.peer, _reason(error), reused=self.served > 0, answered=True))
                return
            excess = True
        receiver = self._receiver
        if receiver is None:  # it let go of us in a callback
            return
        if self._done:
            self._finish(
                keep=self._keep and not excess and not (self._head_only and data[-4:] != b"\r\n\r\n")
            )
        elif self._quiet_bytes > HEAD_BYTES_MAX:
            self._lose(Malformed(self.peer, "head or trailer over the limit", answered=True))
        else:
            receiver.response_flush()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self.home.gone(self)
        if self._receiver is None:
            return
        if self._until_eof and error is None:
            self._finish(keep=False)
            return
        reason = "connection reset" if error is not None else "connection closed by the peer"
        self._lose(Broken(self.peer, reason, reused=self.served > 0, answered=self._answered))

    def pause_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.upstream_paused()

    def resume_writing(self) -> None:
        if self._receiver is not None:
            self._receiver.upstream_resumed()

    # --- httptools callbacks ---

    def on_message_begin(self) -> None:
        if self._done:
            raise ValueError("more than one response to a request")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:  # a trailer field: not forwarded, bounded by _quiet_bytes
            return
        name = name.lower()
        if name in _FRAMING:
            if name == b"content-length":
                self._declared = int(value)
            elif value.lower() == b"chunked" and not self._chunked:
                self._chunked = True
            else:
                raise ValueError("a transfer coding other than chunked")
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        receiver = self._receiver
        if receiver is None or self._done:
            raise ValueError("a response that nobody waits for")
        headers = self._headers
        if status < 200:
            if status <= 101 and status != 100:
                raise ValueError(f"status {status} was not asked for")
            self._interim = True
            self._headers = []
            receiver.response_interim(status, headers)
            return
        self._in_body = True
        self._keep = self._parser.should_keep_alive()
        if self._head_only or status in (204, 304):
            # llhttp knows 204 and 304 by itself; after HEAD it waits for a body, so we end and replace it.
            if self._head_only and not self._keep:
                self._keep = self._parser.get_http_version() == "1.1" and not _says_close(headers)
            receiver.response_head(status, headers, 0)
            self._done = self._head_only
            return
        if self._chunked:
            receiver.response_head(status, headers, None)
        elif self._declared >= 0:
            receiver.response_head(status, headers, self._declared)
        else:
            self._until_eof = True
            self._keep = False
            receiver.response_head(status, headers, None)

    def on_body(self, piece: bytes) -> None:
        if self._done or self._receiver is None:
            raise ValueError("a body that nobody waits for")
        self._quiet_bytes = 0
        self._receiver.response_body(piece)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
            self._declared = -1
            self._chunked = False
            return
        self._done = True

    # --- endings ---

    def _take_whole(self, receiver: Receiver, status: int, headers: Headers, body: bytes) -> None:
        receiver.response_head(status, headers, len(body))
        if body and self._receiver is not None:  # it may have let go of us, or handed us over
            self._receiver.response_body(body)
        if self._receiver is not None:
            self._finish(keep=True)

    def _finish(self, *, keep: bool) -> None:
        receiver = self._receiver
        assert receiver is not None
        self._receiver = None
        self.served += 1
        if self._head_only:
            self._parser = HttpResponseParser(self)
        if keep and self.whole and not self.transport.is_closing():
            self.home.idle(self)
        else:
            self.transport.close()
        receiver.response_end()

    def _lose(self, error: Broken) -> None:
        receiver = self._receiver
        self._receiver = None
        self.transport.abort()
        if receiver is not None:
            receiver.response_lost(error)


def _says_close(headers: Headers) -> bool:
    return any(name == b"connection" and b"close" in value.lower() for name, value in headers)


def _reason(error: HttpParserError) -> str:
    cause = error.__context__
    return f"no valid response: {cause if isinstance(cause, ValueError) else error}"
