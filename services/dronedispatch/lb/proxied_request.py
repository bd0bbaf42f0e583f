"""One request's way through the load balancer: the I/O. What is decided when something goes wrong stands in
`core/request_life.py`, whose `RequestFacts` this object is.

Written as callbacks, not as a coroutine: a task and its futures for each request cost as much as all of this.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from dronedispatch.lb.attempt import await_body, find_backend
from dronedispatch.lb.core.answers import OVERLOADED, client_head, interim_head, is_event_stream
from dronedispatch.lb.core.heads import Refusal, RequestHead
from dronedispatch.lb.core.request_life import (
    Answered,
    BodyRefused,
    ClientGone,
    ClientStalled,
    Event,
    Expired,
    Lost,
    OwnAnswer,
    RequestState,
    Retry,
    Wait,
    after,
    answer_due_s,
    closed_under_us,
)
from dronedispatch.lb.core.retry import BODY_KEPT_BYTES_MAX, RETRY_STATUSES
from dronedispatch.lb.core.upload import Upload
from dronedispatch.lb.discard import Discard
from dronedispatch.lb.verdicts import carry_out, count_refusal
from dronedispatch.runtime.http.connection import Connection, Headers, Receiver
from dronedispatch.runtime.http.errors import Broken

if TYPE_CHECKING:
    from dronedispatch.lb.backends import Backend
    from dronedispatch.lb.ports import Books, ClientSide
    from dronedispatch.lb.proxy_core import ProxyCore
    from dronedispatch.lb.settings import Timeouts

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class ProxiedRequest(Receiver):
    """Times are those of the loop, in s; -1.0: it did not come to that. `ended` says how, and is empty while it lives."""

    __slots__ = (
        "_close",
        "_out",
        "_streaming",
        "address",
        "backend",
        "began_s",
        "body_done",
        "books",
        "bytes_out",
        "chunked_out",
        "client",
        "connect_s",
        "core",
        "ended",
        "give_up_s",
        "head",
        "head_s",
        "request_id",
        "response_s",
        "retry",
        "sent_s",
        "state",
        "status",
        "told",
        "tried",
        "tries",
        "unresolved",
        "upload",
        "upstream",
        "was_silent",
        "whole_body",
    )

    def __init__(
        self,
        core: ProxyCore,
        client: ClientSide,
        head: RequestHead,
        address: str,
        began_s: float,
        now_s: float,
    ) -> None:
        books: Books = core.books
        self.core = core
        self.client = client
        self.books = books
        self.head = head
        self.address = address
        self.began_s = began_s
        self.head_s = now_s
        self.give_up_s = now_s + core.timeouts.of(head.method)
        self.request_id = head.request_id or books.request_id()
        self.state = RequestState.QUEUED
        self.sent_s = self.response_s = -1.0
        self.connect_s = -1.0  # how long it took; 0.0: the connection was there
        self.status = 0  # what the client was told; 0: nothing yet
        self.tries = 0
        self.bytes_out = 0
        self.ended = ""
        self.body_done = not head.body_bytes
        self.told = self.unresolved = self.was_silent = False
        self.whole_body = b""  # all of it, where it came with the head
        self.upload: Upload | None = None  # where it did not
        self.backend: Backend | None = None
        self.tried: tuple[str, ...] = ()
        self.upstream: Connection | None = None
        self.retry: asyncio.TimerHandle | None = None
        self._out: list[bytes] = []
        self.chunked_out = self._close = False
        self._streaming = False  # the answer is an event stream

    # --- RequestFacts ---

    @property
    def timeouts(self) -> Timeouts:
        return self.core.timeouts

    @property
    def bytes_in(self) -> int:
        """Bytes of the request's body so far, without framing."""
        return len(self.whole_body) if self.upload is None else self.upload.bytes_in

    @property
    def body_kept(self) -> bool:
        """The body so far is still in memory."""
        return self.upload is None or self.upload.kept is not None

    @property
    def backend_id(self) -> str:
        """Who has it, or had it last."""
        if self.backend is not None:
            return self.backend.id
        return self.tried[-1] if self.tried else ""

    @property
    def any_untried(self) -> bool:
        """Somebody is left to ask, be it later."""
        return self.core.backends.has_untried(self.tried)

    @property
    def another(self) -> bool:
        """Retries are on, and somebody other than the present backend is left to ask."""
        return self.core.settings.retries and self.core.backends.has_untried((*self.tried, self.backend_id))

    @property
    def queue_full(self) -> bool:
        return len(self.core.backends.waiting) >= self.core.settings.queue_max

    def affordable(self, now_s: float) -> bool:
        """The retry budget has one more."""
        return self.core.budget.has(now_s)

    # --- the beginning ---

    def begin(self, data: bytes) -> bytes:
        """Admit or refuse, then try. `data`: what came with the head; returns what lies beyond the body."""
        core, client, head, now_s = self.core, self.client, self.head, self.head_s
        size = head.body_bytes
        if size:
            if 0 < size <= len(data) and size <= BODY_KEPT_BYTES_MAX and size <= core.body_bytes_max:
                self.body_done = True
                if size == len(data):
                    self.whole_body, data = data, b""
                else:
                    self.whole_body, data = data[:size], data[size:]
            else:
                try:
                    self.upload = Upload(size, core.body_bytes_max)
                except Refusal as refusal:
                    self._refuse(refusal)
                    return b""
                if data:
                    data = self.body(data)
                    if self.ended:
                        return b""
        wait_s = core.admission.wait_s(head, self.address, now_s)
        if wait_s:
            answer = OwnAnswer(429, "too many requests", "limited", retry_after_s=math.ceil(wait_s))
            carry_out(answer, self, now_s)
            return data
        if client.tokens_refused and head.shows_a_token:
            reason = "a token is taken over TLS only: ask https, or from the machine itself"
            carry_out(OwnAnswer(403, reason, "refused"), self, now_s)
            return data
        core.budget.request(now_s)
        if head.expects_continue and head.minor and not self.body_done and not self.bytes_in:
            client.transport.write(CONTINUE)
        find_backend(self, now_s)
        return data

    # --- the request's body ---

    def body(self, data: bytes) -> bytes:
        """Take what belongs to the body; return what lies beyond it."""
        upload, upstream = self.upload, self.upstream
        assert upload is not None
        try:
            payload, rest = upload.feed(data)
        except Refusal as refusal:
            self._refuse(refusal)
            return b""
        self.body_done = upload.done
        if upstream is None:
            if upload.is_over and not upload.done:
                self.client.pause()  # until there is somebody to send it to
            return rest
        upload.forget()
        if payload:
            upstream.write(payload)
        now_s = self.core.now()
        if not upload.done:
            await_body(self, now_s)
        else:
            upstream.whole = True
            if not self.status:
                self.state = RequestState.AWAITING
                self.client.deadline_s = answer_due_s(self, now_s)
        return rest

    def _refuse(self, refusal: Refusal) -> None:
        """The client sent what no backend shall see the end of."""
        self._drop_upstream()
        self.decide(BodyRefused(refusal.status, refusal.reason), self.core.now())

    # --- Receiver: what the backend answers ---

    def response_interim(self, status: int, headers: Headers) -> None:
        if status != 100 and self.head.minor == 1:  # 100 is answered here, before anybody is asked
            self.told = True
            self.client.transport.write(interim_head(status, headers))

    def response_head(self, status: int, headers: Headers, body_bytes: int | None) -> None:
        backend, head, core = self.backend, self.head, self.core
        assert backend is not None
        self.response_s = core.now()
        if status in RETRY_STATUSES:
            if OVERLOADED not in headers:  # full is not broken: nobody else would have more room without it
                core.backends.failed(backend, hard=False, reason=f"answered {status}")
        else:
            core.backends.succeeded(backend)
        if (status in RETRY_STATUSES or self.unresolved) and not self._may_pass(status, headers, body_bytes):
            return
        self.status = status
        self.state = RequestState.STREAMING
        chunked = False
        if body_bytes is None:
            if is_event_stream(headers):
                self._streaming = True
                core.backends.became_stream(backend)
            chunked = self.chunked_out = head.minor == 1
            self._close = not chunked
        if not head.keep_alive or core.connections.draining or not self.body_done:
            self._close = True
        self._out.append(
            client_head(
                status,
                headers,
                body_bytes=body_bytes,
                chunked=chunked,
                declared_only=status == 304 or head.method == b"HEAD",
                connection=b"close" if self._close else b"" if head.minor else b"keep-alive",
                request_id=self.request_id,
                date=self.books.date,
            )
        )

    def _may_pass(self, status: int, headers: Headers, body_bytes: int | None) -> bool:
        """Whether this answer is the client's; else it is put aside, and what is done instead is under way."""
        now_s = self.response_s
        unknown = (b"x-outcome", b"unknown") in headers
        verdict = after(Answered(status, unknown), self, now_s, self.core.rng)
        if not isinstance(verdict, Retry | OwnAnswer):
            count_refusal(verdict, self)
            return True
        self._let_go(body_bytes)
        carry_out(verdict, self, now_s)
        return False

    def response_body(self, piece: bytes) -> None:
        self.bytes_out += len(piece)
        if self.chunked_out:
            self._out += (b"%x\r\n" % len(piece), piece, b"\r\n")
        else:
            self._out.append(piece)

    def response_flush(self) -> None:
        client = self.client
        if self._out:
            client.transport.write(b"".join(self._out))
            self._out.clear()
        if not client.write_paused:
            client.deadline_s = self.core.now() + self.core.timeouts.stream_idle_s

    def response_end(self) -> None:
        self.upstream = None
        out = self._out
        if self.chunked_out:
            out.append(b"0\r\n\r\n")
        if out:
            self.client.transport.write(b"".join(out))
        self.finish("ok", self.core.now(), close=self._close)

    def response_lost(self, error: Broken) -> None:
        self.upstream = None
        core, backend = self.core, self.backend
        assert backend is not None
        now_s = core.now()
        event = Lost(error.reason, error.answered, error.looks_like_an_idle_close)
        if not closed_under_us(event, self):
            core.backends.failed(backend, hard=True, reason=error.reason)
        self.decide(event, now_s)

    def upstream_paused(self) -> None:
        self.client.pause()

    def upstream_resumed(self) -> None:
        self.client.resume()

    # --- the client's side ---

    def client_gone(self) -> None:
        """It closed, or vanished."""
        self._drop_upstream()
        self.decide(ClientGone(), self.core.now())

    def client_slow(self) -> None:
        if self.upstream is not None:
            self.upstream.pause()
        self.client.deadline_s = self.core.now() + self.core.timeouts.send_idle_s

    def client_ready(self) -> None:
        if self.upstream is not None:
            self.upstream.resume()
        self.client.deadline_s = self.core.now() + self.core.timeouts.stream_idle_s

    def expired(self) -> None:
        """The deadline has passed; the state tells what was awaited."""
        core, backend = self.core, self.backend
        now_s = core.now()
        stalled = self.client.write_paused
        event: Event = ClientStalled() if stalled else Expired()
        verdict = after(event, self, now_s, core.rng)
        if isinstance(verdict, Wait):
            carry_out(verdict, self, now_s)
            return
        if backend is not None:
            if self.state is RequestState.AWAITING:
                core.backends.failed(backend, hard=False, reason="no answer in time")
                backend.pool.close_idle()  # to a host that was cut off they are dead too: a connect says so in a second
                self.was_silent = True
            elif self.state is RequestState.STREAMING and not stalled:
                core.backends.failed(backend, hard=False, reason="its answer stopped in the middle")
        self._drop_upstream()
        carry_out(verdict, self, now_s)

    # --- the end ---

    def _let_go(self, body_bytes: int | None) -> None:
        """The rest of an answer that is not passed on: read it if it is short, for the connection's sake."""
        upstream, self.upstream = self.upstream, None
        assert upstream is not None
        if body_bytes is None or body_bytes > BODY_KEPT_BYTES_MAX or not self.body_done:
            upstream.drop()
        else:
            upstream.hand_over(Discard(upstream))

    def _drop_upstream(self) -> None:
        upstream, self.upstream = self.upstream, None
        if upstream is not None:
            upstream.drop()

    def decide(self, event: Event, now_s: float) -> None:
        """Something happened: do what the table says."""
        carry_out(after(event, self, now_s, self.core.rng), self, now_s)

    def finish(self, ended: str, now_s: float, *, close: bool) -> None:
        if self.ended:
            return
        self.ended = ended
        self.state = RequestState.ENDED
        if self.retry is not None:
            self.retry.cancel()
            self.retry = None
        self.books.record(self, now_s)
        backend = self.backend
        if backend is not None:
            self.backend = None
            self.core.backends.release(backend, streaming=self._streaming)
        self.client.done(now_s, close=close, linger=not self.body_done)
