"""What `core/request_life.py` decided of a request, carried out."""

from __future__ import annotations

import socket
import struct
from functools import partial
from typing import TYPE_CHECKING, Final

from dronedispatch.lb.attempt import pause, resend, turn_came
from dronedispatch.lb.core.answers import own_answer
from dronedispatch.lb.core.request_life import (
    BUDGET_SPENT,
    Cut,
    OwnAnswer,
    Pass,
    RequestState,
    Resend,
    Retry,
    Verdict,
    Wait,
)

if TYPE_CHECKING:
    from dronedispatch.lb.proxied_request import ProxiedRequest

RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


def carry_out(verdict: Verdict, request: ProxiedRequest, now_s: float) -> None:
    """Not for `Pass`: whoever has the answer in hand passes it on."""
    count_refusal(verdict, request)
    if request.state is RequestState.QUEUED:  # who waits no longer must not keep others from waiting
        request.core.backends.waiting.pop(request, None)
    match verdict:
        case Retry():
            pause(verdict, request, now_s)
        case Resend():
            resend(verdict, request, now_s)
        case Wait():
            if request.state is RequestState.QUEUED:
                request.core.backends.waiting[request] = partial(turn_came, request)
            request.client.deadline_s = verdict.until_s
        case OwnAnswer():
            answer(verdict, request, now_s)
        case Cut():
            cut(verdict, request, now_s)
        case Pass():
            raise AssertionError("there is no answer to pass on")


def count_refusal(verdict: Verdict, request: ProxiedRequest) -> None:
    """A retry that only the budget forbade has its own counter."""
    if isinstance(verdict, Wait | OwnAnswer | Pass) and verdict.why_not == BUDGET_SPENT:
        request.books.without_budget += 1


def answer(verdict: OwnAnswer, request: ProxiedRequest, now_s: float) -> None:
    """Tell the client that there will be no answer of a backend."""
    head, transport = request.head, request.client.transport
    close = (
        verdict.close
        or not head.keep_alive
        or request.core.connections.draining
        or not request.body_done
        or not head.minor
    )
    request.unresolved = verdict.unresolved
    request.status = verdict.status
    if not transport.is_closing():
        transport.write(
            own_answer(
                verdict.status,
                verdict.reason,
                request.request_id,
                close=close,
                head_only=head.method == b"HEAD",
                retry_after_s=verdict.retry_after_s,
                outcome_unknown=verdict.unresolved,
                date=request.books.date,
            )
        )
    request.finish(verdict.ended, now_s, close=close)


def cut(verdict: Cut, request: ProxiedRequest, now_s: float) -> None:
    """A part of the answer is out and the rest will not come: never invent an end.

    An answer that ends with its connection is cut by a reset, or the client would take it for complete.
    """
    transport = request.client.transport
    raw = transport.get_extra_info("socket")
    if not request.chunked_out and raw is not None and not transport.is_closing():
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    transport.abort()
    request.finish(verdict.ended, now_s, close=True)
