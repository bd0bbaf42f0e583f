"""Finding a gateway for one request, and another when the first fails. What the client is told is decided above."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from dronedispatch.lb.core.forward import wire_head
from dronedispatch.lb.core.heads import RequestHead
from dronedispatch.lb.core.retry import BODY_KEPT_BYTES_MAX, SAFE, may_repeat, why_no_retry
from dronedispatch.lb.discard import Discard
from dronedispatch.lb.ending import Ending
from dronedispatch.runtime.backoff import full_jitter
from dronedispatch.runtime.http.connection import Connection
from dronedispatch.runtime.http.errors import NotSent

if TYPE_CHECKING:
    from dronedispatch.lb.downstream import Downstream
    from dronedispatch.lb.gateways import Gateway

BACKOFF_BASE_S: Final = 0.010
BACKOFF_CAP_S: Final = 0.050


class Attempts(Ending):
    """The gateway's side of a request; `Exchange` is the receiver of the answer."""

    __slots__ = ("_give_up_s", "_told", "_upstream", "_was_silent", "_wire_head")

    def __init__(
        self, client: Downstream, request: RequestHead, address: str, began_s: float, now_s: float
    ) -> None:
        Ending.__init__(self, client, request, address, began_s, now_s)
        door = self._door
        self._give_up_s = now_s + door.timeouts.total_s
        self._upstream: Connection | None = None
        self._wire_head = b""
        self._was_silent = False  # a gateway was given up for its silence
        self._told = False  # a byte of an upstream went to the client
        if not request.request_id:
            request.request_id = door.request_id()

    # --- a try ---

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
            self._await_answer(now_s)
        else:
            client.resume()
            self._await_body(now_s)

    def _await_answer(self, now_s: float) -> None:
        """The whole request is sent. Who may ask another gateway does so soon, once; the others can only wait.

        Once: where two say nothing it is what lies behind them, and the second's own words are worth waiting for.
        """
        timeouts = self._door.timeouts
        limit_s = timeouts.response_s if self._was_silent or not self._may_resend() else timeouts.try_s
        self._client.deadline_s = min(now_s + limit_s, self._give_up_s)

    def _await_body(self, now_s: float) -> None:
        timeouts = self._door.timeouts
        slow_s = self.head_s + timeouts.body_grace_s + self.bytes_in / timeouts.body_rate_min
        self._client.deadline_s = min(now_s + timeouts.body_idle_s, slow_s)

    # --- again ---

    def _body_kept(self) -> bool:
        return self._upload is None or self._upload.kept is not None

    def _may_resend(self) -> bool:
        return self._body_kept() and may_repeat(self.request.method, keyed=self.request.keyed)

    def _why_no_retry(self, gateway: Gateway, *, sent: bool, unknown: bool = False) -> str | None:
        """Takes from the budget when there is nothing else against it, and the request had been sent."""
        door = self._door
        why_not = why_no_retry(
            method=self.request.method,
            keyed=self.request.keyed,
            sent=sent,
            outcome_unknown=unknown,
            tries=self.tries,
            body_kept=self._body_kept(),
        )
        if why_not is not None or self._told:
            return why_not or "the client was told something already"
        if not door.settings.retries or not door.table.has_untried((*self._tried, gateway.id)):
            return "no other gateway, or retries are off"
        now_s = door.now()
        if now_s >= self._give_up_s:
            return "no time left"
        if sent and not door.budget.take(now_s):
            door.counters.without_budget += 1
            return "the budget is spent"
        return None

    def _failed(self, reason: str, *, sent: bool, retryable: bool = True) -> None:
        """This try came to nothing before a byte went to the client."""
        gateway = self._gateway
        assert gateway is not None
        self._door.table.failed(gateway, hard=True, reason=reason)
        if sent:
            self._lost()
        if retryable and self._why_no_retry(gateway, sent=sent) is None:
            self._again(gateway)
        elif sent:
            self._answer(502, f"gateway: {reason}", "upstream_error")
        else:
            self._answer(503, f"gateway: {reason}", "upstream_error", retry_after_s=1)

    def _lost(self) -> None:
        """A try was sent and will not be answered, or cannot say what it did."""
        self._unresolved = self._unresolved or self.request.method not in SAFE

    def _silent(self, gateway: Gateway, now_s: float) -> None:
        """No byte of an answer came in `try_s`: ask another gateway, or wait on where none may be asked.

        Without the budget a store that pauses would get every request three times.
        """
        end_s = min(self.sent_s + self._door.timeouts.response_s, self._give_up_s)
        if now_s < end_s and self._why_no_retry(gateway, sent=True) is not None:
            self._client.deadline_s = end_s
            return
        self._door.table.failed(gateway, hard=False, reason="no answer in time")
        gateway.pool.close_idle()  # to a host that was cut off they are dead too: a connect says so in a second
        self._lost()
        self._was_silent = True
        self._drop_upstream()
        if now_s < end_s:
            self._again(gateway)
        else:
            self._answer(504, "the gateway did not answer in time", "upstream_timeout")

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

    def _drop_upstream(self) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.drop()
