"""One request's life: limited, sent to a gateway, perhaps to another, answered, logged.

Written as callbacks, not as a coroutine: a task and its futures for each request cost as much as all of this.
Order of the life: begin -> (queue) -> take or connect -> sent -> response head -> body -> end; `_finish` ends it from
anywhere, once. What a client is told is decided in two places: `response_head` and `Ending._answer`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from dronedispatch.lb.attempts import Attempts
from dronedispatch.lb.core.answers import OVERLOADED, client_head, interim_head, is_event_stream
from dronedispatch.lb.core.heads import Refusal, RequestHead
from dronedispatch.lb.core.retry import RETRY_STATUSES, may_be_own_doing
from dronedispatch.lb.core.upload import Upload
from dronedispatch.runtime.http.connection import Headers
from dronedispatch.runtime.http.errors import Broken

if TYPE_CHECKING:
    from dronedispatch.lb.downstream import Downstream

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange(Attempts):
    """The `Receiver` of what the gateway answers."""

    __slots__ = ("_close", "_out")

    def __init__(
        self, client: Downstream, request: RequestHead, address: str, began_s: float, now_s: float
    ) -> None:
        Attempts.__init__(self, client, request, address, began_s, now_s)
        self._out: list[bytes] = []
        self._close = False

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
        if self._client.tokens_refused and request.shows_a_token:
            self._answer(
                403, "a token is taken over TLS only: ask https, or from the machine itself", "refused"
            )
            return data
        door.budget.request(now_s)
        if request.expects_continue and request.minor and not self.body_done and not self.bytes_in:
            self._client.transport.write(CONTINUE)
        self._try(now_s)
        return data

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
            self._await_answer(now_s)
        return rest

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
            self._told = True
            self._client.transport.write(interim_head(status, headers))

    def response_head(self, status: int, headers: Headers, body_bytes: int | None) -> None:
        gateway, request, door = self._gateway, self.request, self._door
        assert gateway is not None
        self.response_s = door.now()
        if status in RETRY_STATUSES:
            if OVERLOADED not in headers:  # full is not broken: nobody else would have more room without it
                door.table.failed(gateway, hard=False, reason=f"answered {status}")
            unknown = (b"x-outcome", b"unknown") in headers
            if self._why_no_retry(gateway, sent=True, unknown=unknown) is None:
                if unknown:
                    self._lost()
                self._let_go(body_bytes)
                self._again(gateway)
                return
            misleading = self._unresolved and not unknown
        else:
            door.table.succeeded(gateway)
            misleading = self._unresolved and may_be_own_doing(status, request.method, keyed=request.keyed)
        if misleading:
            self._let_go(body_bytes)
            self._answer(504, "an earlier try may have been carried out", "unknown")
            return
        self.status = status
        unknown_length = body_bytes is None
        if unknown_length and is_event_stream(headers):
            self._streaming = True
            door.table.became_stream(gateway)
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
                date=door.date(),
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
            self._lost()
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
        door, gateway, sent = self._door, self._gateway, self._upstream is not None
        if sent and self.body_done and not self.status and gateway is not None:
            self._silent(gateway, door.now())
            return
        self._drop_upstream()
        if self._client.write_paused:
            self._cut("client_slow")
        elif self.status:
            if gateway is not None:
                door.table.failed(gateway, hard=False, reason="its answer stopped in the middle")
            self._cut("upstream_timeout")
        elif sent:
            self._answer(408, "the body of the request did not come in time", "client_timeout", close=True)
        elif (
            gateway is None
        ):  # it waits in the queue; `_answer` says 504 where an earlier try may have been carried out
            self._answer(503, "every gateway is busy", "queue_timeout", retry_after_s=1)
        else:
            self._answer(504, "no gateway answered in time", "upstream_timeout")
