"""Tries of a request: a backend is found and gets it, or another after a pause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dronedispatch.lb.core.forward import wire_prefix
from dronedispatch.lb.core.request_life import (
    NoPlace,
    NotConnected,
    RequestState,
    Resend,
    Retry,
    answer_due_s,
)
from dronedispatch.runtime.http.connection import Connection
from dronedispatch.runtime.http.errors import RequestNotSent

if TYPE_CHECKING:
    from dronedispatch.lb.backends import Backend
    from dronedispatch.lb.proxied_request import ProxiedRequest


def find_backend(request: ProxiedRequest, now_s: float) -> None:
    """Begin a try, or learn that there is no place."""
    core = request.core
    backend = core.backends.pick(request.tried, now_s)
    if backend is None:
        request.decide(NoPlace(), now_s)
        return
    request.backend = backend
    request.tries += 1
    connection = backend.pool.take(now_s)
    if connection is not None:
        request.connect_s = 0.0
        send(request, connection, now_s)
        return
    request.client.deadline_s = request.give_up_s
    request.state = RequestState.CONNECTING
    core.spawn(connect(request, backend, now_s))


def turn_came(request: ProxiedRequest) -> None:
    """It waited for a place, and there is one."""
    find_backend(request, request.core.now())


async def connect(request: ProxiedRequest, backend: Backend, began_s: float) -> None:
    """Send on a fresh connection."""
    core = request.core
    try:
        connection = await backend.pool.connect(max(0.001, request.give_up_s - began_s))
    except RequestNotSent as error:
        if not request.ended:
            core.backends.failed(backend, hard=True, reason=error.reason)
            request.decide(NotConnected(error.reason), core.now())
        return
    if request.ended:
        backend.pool.idle(connection)
        return
    now_s = core.now()
    request.connect_s = now_s - began_s
    send(request, connection, now_s)


def send(request: ProxiedRequest, connection: Connection, now_s: float) -> None:
    """The head, and what there is of the body, in one write."""
    request.upstream = connection
    request.sent_s = now_s
    client, head, upload = request.client, request.head, request.upload
    prefix = head.wire_prefix
    if not prefix:
        prefix = head.wire_prefix = wire_prefix(head, client.address, client.lines)
    if upload is not None and upload.kept:
        data = b"".join((prefix, request.request_id, b"\r\n\r\n", *upload.kept))
        upload.forget()
    else:
        data = b"%b%b\r\n\r\n%b" % (prefix, request.request_id, request.whole_body)
    connection.ask(request, data, head_only=head.method == b"HEAD", whole=request.body_done)
    if request.body_done:
        request.state = RequestState.AWAITING
        client.deadline_s = answer_due_s(request, now_s)
    else:
        request.state = RequestState.SENDING
        client.resume()
        await_body(request, now_s)


def await_body(request: ProxiedRequest, now_s: float) -> None:
    """The client has some time for the next piece, and what came earns time for the whole."""
    timeouts = request.core.timeouts
    slow_s = request.head_s + timeouts.body_grace_s + request.bytes_in / timeouts.body_rate_min
    request.client.deadline_s = min(now_s + timeouts.body_idle_s, slow_s)


def pause(verdict: Retry, request: ProxiedRequest, now_s: float) -> None:
    """Then another backend."""
    core, backend = request.core, request.backend
    assert backend is not None
    request.unresolved = verdict.unresolved
    request.state = RequestState.PAUSING
    if verdict.paid:
        core.budget.take(now_s)
    request.tried = (*request.tried, backend.id)
    request.backend = None
    core.backends.release(backend)
    request.books.retries += 1
    request.client.deadline_s = request.give_up_s
    request.retry = core.loop.call_later(verdict.pause_s, _pause_is_over, request)


def _pause_is_over(request: ProxiedRequest) -> None:
    request.retry = None
    request.state = RequestState.QUEUED
    find_backend(request, request.core.now())


def resend(verdict: Resend, request: ProxiedRequest, now_s: float) -> None:
    """The same backend, on a fresh connection."""
    core, backend = request.core, request.backend
    assert backend is not None
    request.books.resent += 1
    request.unresolved = verdict.unresolved
    request.state = RequestState.CONNECTING
    core.spawn(connect(request, backend, now_s))
