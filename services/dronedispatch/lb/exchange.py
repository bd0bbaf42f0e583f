"""One request's life: limited, sent to a gateway, perhaps to another, answered, logged.

Written as callbacks, not as a coroutine: a task and its futures for each request cost as much as all of this.
Order of the life: begin -> (queue) -> take or connect -> sent -> response head -> body -> end; `_finish` ends it from
anywhere, once. What a client is told is decided in exactly two places: `response_head` and `_answer`.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from typing import TYPE_CHECKING, Final

from dronedispatch.lb.core.answers import client_head, interim_head, own_answer
from dronedispatch.lb.core.forward import wire_head
from dronedispatch.lb.core.heads import Refusal, RequestHead
from dronedispatch.lb.core.retry import BODY_KEPT_BYTES_MAX, RETRY_STATUSES, may_repeat, why_no_retry
from dronedispatch.lb.core.upload import Upload
from dronedispatch.lb.discard import Discard
from dronedispatch.runtime.backoff import full_jitter
from dronedispatch.runtime.http.connection import Connection, Headers
from dronedispatch.runtime.http.errors import Broken, NotSent

if TYPE_CHECKING:
    from dronedispatch.lb.door import Door
    from dronedispatch.lb.downstream import Downstream
    from dronedispatch.lb.gateways import Gateway

BACKOFF_BASE_S: Final = 0.010
BACKOFF_CAP_S: Final = 0.050
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange:
    """A `Receiver` of what the gateway answers. `ended` is empty while it lives; times are those of the loop, in s."""

    __slots__ = (
        "_chunked_out",
        "_client",
        "_close",
        "_door",
        "_gateway",
        "_give_up_s",
        "_out",
        "_retry",
        "_tried",
        "_upload",
        "_upstream",
        "_wire_head",
        "address",
        "began_s",
        "body_done",
        "bytes_out",
        "connect_s",
        "ended",
        "head_s",
        "request",
        "response_s",
        "sent_s",
        "status",
        "tries",
    )

    def __init__(
        self,
        door: Door,
        client: Downstream,
        request: RequestHead,
        address: str,
        began_s: float,
        now_s: float,
    ) -> None:
        self._door = door
        self._client = client
        self.request = request
        self.address = address
        self.began_s = began_s
        self.head_s = now_s
        self.sent_s = self.response_s = -1.0
        self.connect_s = -1.0  # how long the connect took; 0.0: the connection was there
        self.ended = ""
        self.status = 0
        self.tries = 0
        self.bytes_out = 0
        self.body_done = not request.body_bytes
        self._upload: Upload | None = None
        self._tried: tuple[str, ...] = ()
        self._give_up_s = now_s + door.timeouts.total_s
        self._gateway: Gateway | None = None
        self._upstream: Connection | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._out: list[bytes] = []
        self._chunked_out = False
        self._close = False
        self._wire_head = b""
        if not request.request_id:
            request.request_id = door.request_id()

    @property
    def bytes_in(self) -> int:
        """Bytes of the request's body so far, without framing."""
        return 0 if self._upload is None else self._upload.bytes_in

    @property
    def gateway_id(self) -> str:
        """Who has it, or had it last."""
        if self._gateway is not None:
            return self._gateway.id
        return self._tried[-1] if self._tried else ""

    # --- the beginning ---

    def begin(self, data: bytes) -> bytes:
        """Admit or refuse, then try. `data`: what came with the head; returns what lies beyond the body."""
        door, request = self._door, self.request
        now_s = self.head_s
        if request.body_bytes:
            try:
                self._upload = Upload(request.body_bytes, door.body_bytes_max)
            except Refusal as refusal:
                self._refuse(refusal)
                return b""
            if data:
                data = self.body(data)
                if self.ended:
                    return b""
        if door.limiter is not None:
            wait_s = door.admit(self, now_s)
            if wait_s:
                self._answer(429, "too many requests", "limited", retry_after_s=math.ceil(wait_s))
                return data
        door.budget.request(now_s)
        if request.expects_continue and not self.body_done and not self.bytes_in:
            self._client.transport.write(CONTINUE)
        self._try(now_s)
        return data

    def _try(self, now_s: float) -> None:
        door = self._door
        gateway = door.table.pick(self._tried, now_s)
        if gateway is None:
            self._nobody(now_s)
            return
        self._gateway = gateway
        self.tries += 1
        connection = gateway.pool.take()
        if connection is not None:
            self.connect_s = 0.0
            self._send(connection, now_s)
            return
        self._client.deadline_s = self._give_up_s
        door.spawn(self._connect(gateway, now_s))

    def _nobody(self, now_s: float) -> None:
        door = self._door
        if not door.table.has_untried(self._tried):
            self._answer(503, "no gateway is available", "no_gateway", retry_after_s=1)
        elif len(door.table.waiting) >= door.settings.queue_max:
            self._answer(503, "every gateway is busy and the queue is full", "queue_full", retry_after_s=1)
        else:
            door.table.waiting.append(self._turn_came)
            self._client.deadline_s = min(now_s + door.timeouts.queue_s, self._give_up_s)

    def _turn_came(self) -> None:
        if not self.ended:
            self._try(self._door.now())

    async def _connect(self, gateway: Gateway, began_s: float) -> None:
        try:
            connection = await gateway.pool.connect(max(0.001, self._give_up_s - began_s))
        except NotSent as error:
            if not self.ended:
                self._failed(error.reason, sent=False)
            return
        if self.ended:
            gateway.pool.idle(connection)
            return
        now_s = self._door.now()
        self.connect_s = now_s - began_s
        self._send(connection, now_s)

    def _send(self, connection: Connection, now_s: float) -> None:
        self._upstream = connection
        self.sent_s = now_s
        client, upload = self._client, self._upload
        data = self._wire_head
        if not data:
            data = self._wire_head = wire_head(self.request, client.address, client.lines)
        if upload is not None and upload.kept:
            data = b"".join((data, *upload.kept))
            upload.forget()
        connection.ask(self, data, head_only=self.request.method == b"HEAD", whole=self.body_done)
        if self.body_done:
            client.deadline_s = now_s + self._door.timeouts.response_s
        else:
            client.resume()
            self._await_body(now_s)

    # --- the request's body ---

    def body(self, data: bytes) -> bytes:
        """Take what belongs to the body; return what lies beyond it."""
        upload, upstream = self._upload, self._upstream
        assert upload is not None
        try:
            payload, rest = upload.feed(data)
        except Refusal as refusal:
            self._refuse(refusal)
            return b""
        self.body_done = upload.done
        if upstream is None:
            if upload.is_over and not upload.done:
                self._client.pause()  # until there is somebody to send it to
            return rest
        upload.forget()
        upstream.whole = upload.done
        if payload:
            upstream.write(payload)
        now_s = self._door.now()
        if not upload.done:
            self._await_body(now_s)
        elif not self.status:
            self._client.deadline_s = now_s + self._door.timeouts.response_s
        return rest

    def _await_body(self, now_s: float) -> None:
        timeouts = self._door.timeouts
        slow_s = self.head_s + timeouts.body_grace_s + self.bytes_in / timeouts.body_rate_min
        self._client.deadline_s = min(now_s + timeouts.body_idle_s, slow_s)

    def _refuse(self, refusal: Refusal) -> None:
        """The client sent what no gateway shall see the end of."""
        self._drop_upstream()
        if self.status:
            self._cut("refused")
        else:
            self._answer(refusal.status, refusal.reason, "refused", close=True)

    # --- Receiver: what the gateway answers ---

    def response_interim(self, status: int, headers: Headers) -> None:
        if status != 100 and self.request.minor == 1:  # 100 is answered here, before anybody is asked
            self._client.transport.write(interim_head(status, headers))

    def response_head(self, status: int, headers: Headers, body_bytes: int | None) -> None:
        gateway, request, door = self._gateway, self.request, self._door
        assert gateway is not None
        self.response_s = door.now()
        if status in RETRY_STATUSES:
            door.table.failed(gateway, hard=False, reason=f"answered {status}")
            unknown = (b"x-outcome", b"unknown") in headers
            if self._why_no_retry(gateway, sent=True, unknown=unknown) is None:
                self._let_go(body_bytes)
                self._again(gateway)
                return
        else:
            door.table.succeeded(gateway)
        self.status = status
        unknown_length = body_bytes is None
        self._chunked_out = unknown_length and request.minor == 1
        if (
            not request.keep_alive
            or door.draining
            or not self.body_done
            or (unknown_length and not self._chunked_out)
        ):
            self._close = True
        self._out.append(
            client_head(
                status,
                headers,
                body_bytes=body_bytes,
                chunked=self._chunked_out,
                declared_only=status == 304 or request.method == b"HEAD",
                connection=b"close" if self._close else b"" if request.minor else b"keep-alive",
                request_id=request.request_id,
            )
        )

    def response_body(self, piece: bytes) -> None:
        self.bytes_out += len(piece)
        if self._chunked_out:
            self._out += (b"%x\r\n" % len(piece), piece, b"\r\n")
        else:
            self._out.append(piece)

    def response_flush(self) -> None:
        client = self._client
        if self._out:
            client.transport.write(b"".join(self._out))
            self._out.clear()
        if not client.write_paused:
            client.deadline_s = self._door.now() + self._door.timeouts.stream_idle_s

    def response_end(self) -> None:
        self._upstream = None
        out = self._out
        if self._chunked_out:
            out.append(b"0\r\n\r\n")
        if out:
            self._client.transport.write(b"".join(out))
        self._finish("ok", close=self._close)

    def response_lost(self, error: Broken) -> None:
        self._upstream = None
        gateway = self._gateway
        assert gateway is not None
        if self.status:
            self._door.table.failed(gateway, hard=True, reason=error.reason)
            self._cut("upstream_cut")
        elif error.looks_like_an_idle_close and self.connect_s == 0.0 and self._may_resend():
            # Kept connections get closed under us; once more on a fresh one, outside the budget.
            self._door.counters.resent += 1
            self._door.spawn(self._connect(gateway, self._door.now()))
        else:
            self._failed(error.reason, sent=True, retryable=not error.answered)

    def upstream_paused(self) -> None:
        self._client.pause()

    def upstream_resumed(self) -> None:
        self._client.resume()

    # --- the client's side ---

    def client_gone(self) -> None:
        """It closed, or vanished: nobody wants the answer any more, and it is not asked for again."""
        self._drop_upstream()
        self._finish("client_abort", close=True)

    def client_slow(self) -> None:
        if self._upstream is not None:
            self._upstream.pause()
        self._client.deadline_s = self._door.now() + self._door.timeouts.send_idle_s

    def client_ready(self) -> None:
        if self._upstream is not None:
            self._upstream.resume()
        self._client.deadline_s = self._door.now() + self._door.timeouts.stream_idle_s

    def expired(self) -> None:
        """The client's deadline has passed; what was awaited tells what to say."""
        gateway, sent = self._gateway, self._upstream is not None
        self._drop_upstream()
        if self._client.write_paused:
            self._cut("client_slow")
        elif gateway is None and not self.tries:
            self._answer(503, "every gateway is busy", "queue_timeout", retry_after_s=1)
        elif self.status:
            self._blame(gateway, "its answer stopped in the middle")
            self._cut("upstream_timeout")
        elif sent and not self.body_done:
            self._answer(408, "the body of the request did not come in time", "client_timeout", close=True)
        else:
            self._blame(gateway, "no answer in time")
            self._answer(504, "the gateway did not answer in time", "upstream_timeout")

    def _blame(self, gateway: Gateway | None, reason: str) -> None:
        if gateway is not None:
            self._door.table.failed(gateway, hard=False, reason=reason)

    # --- again ---

    def _body_kept(self) -> bool:
        return self._upload is None or self._upload.kept is not None

    def _may_resend(self) -> bool:
        return self._body_kept() and may_repeat(self.request.method, keyed=self.request.idempotency_key)

    def _why_no_retry(self, gateway: Gateway, *, sent: bool, unknown: bool = False) -> str | None:
        """Takes from the budget when there is nothing else against it."""
        door = self._door
        why_not = why_no_retry(
            method=self.request.method,
            keyed=self.request.idempotency_key,
            sent=sent,
            outcome_unknown=unknown,
            tries=self.tries,
            body_kept=self._body_kept(),
        )
        if why_not is not None:
            return why_not
        if not door.settings.retries or not door.table.has_untried((*self._tried, gateway.id)):
            return "no other gateway, or retries are off"
        now_s = door.now()
        if now_s >= self._give_up_s:
            return "no time left"
        if not door.budget.take(now_s):
            door.counters.without_budget += 1
            return "the budget is spent"
        return None

    def _failed(self, reason: str, *, sent: bool, retryable: bool = True) -> None:
        """This try came to nothing before a byte went to the client."""
        gateway = self._gateway
        assert gateway is not None
        self._door.table.failed(gateway, hard=True, reason=reason)
        if retryable and self._why_no_retry(gateway, sent=sent) is None:
            self._again(gateway)
        elif sent:
            self._answer(502, f"gateway: {reason}", "upstream_error")
        else:
            self._answer(503, f"gateway: {reason}", "upstream_error", retry_after_s=1)

    def _again(self, gateway: Gateway) -> None:
        door = self._door
        self._tried = (*self._tried, gateway.id)
        self._gateway = None
        door.table.release(gateway)
        door.counters.retries += 1
        self._client.deadline_s = self._give_up_s
        pause_s = full_jitter(self.tries - 1, base_s=BACKOFF_BASE_S, cap_s=BACKOFF_CAP_S, rng=door.rng)
        self._retry = door.loop.call_later(pause_s, self._retry_now)

    def _retry_now(self) -> None:
        self._retry = None
        self._try(self._door.now())

    def _let_go(self, body_bytes: int | None) -> None:
        """The rest of an answer that is not passed on: read it if it is short, for the connection's sake."""
        upstream, self._upstream = self._upstream, None
        assert upstream is not None
        if body_bytes is None or body_bytes > BODY_KEPT_BYTES_MAX or not self.body_done:
            upstream.drop()
        else:
            upstream.hand_over(Discard(upstream))

    # --- the end ---

    def _drop_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.drop()

    def _answer(
        self, status: int, reason: str, ended: str, *, close: bool = False, retry_after_s: int | None = None
    ) -> None:
        request, transport = self.request, self._client.transport
        close = close or not request.keep_alive or self._door.draining or not self.body_done
        self.status = status
        if not transport.is_closing():
            transport.write(
                own_answer(
                    status,
                    reason,
                    request.request_id,
                    close=close,
                    head_only=request.method == b"HEAD",
                    retry_after_s=retry_after_s,
                )
            )
        self._finish(ended, close=close)

    def _cut(self, ended: str) -> None:
        """A part of the answer is out and the rest will not come: never invent an end.

        An answer that ends with its connection is cut by a reset, or the client would take it for complete.
        """
        transport = self._client.transport
        raw = transport.get_extra_info("socket")
        if not self._chunked_out and raw is not None and not transport.is_closing():
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        self._finish(ended, close=True)

    def _finish(self, ended: str, *, close: bool) -> None:
        if self.ended:
            return
        self.ended = ended
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        door, gateway = self._door, self._gateway
        door.account(self)
        if gateway is not None:
            self._gateway = None
            self._tried = (gateway.id,)
            door.table.release(gateway)
        self._client.done(close=close, linger=not self.body_done)
