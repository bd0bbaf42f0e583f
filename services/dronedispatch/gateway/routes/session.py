"""/session: an operator signs in with the token once, and the browser keeps a cookie that no script can read."""

from __future__ import annotations

import secrets

from sanic import HTTPResponse, Request

from dronedispatch.fleet.documents import stamp
from dronedispatch.gateway.core.parameters import no_query
from dronedispatch.gateway.core.problem_types import BY_NAME
from dronedispatch.gateway.core.session import (
    PLAIN_S,
    SESSION_S,
    cookie,
    is_loopback,
    new_session,
    why_no_session_here,
)
from dronedispatch.gateway.core.views import SessionView
from dronedispatch.gateway.routes import input as given
from dronedispatch.gateway.routes.operator import OperatorGate
from dronedispatch.runtime.auth import check_bearer
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.web import json_answer, process_of

FRESH = {"Cache-Control": "no-store"}


class SessionRoutes:
    """Handlers."""

    def __init__(self, gate: OperatorGate, clock: Clock, bytes_max: int) -> None:
        self._gate = gate
        self._clock = clock
        self._bytes_max = bytes_max

    async def show(self, request: Request) -> HTTPResponse:
        no_query(given.arguments(request))
        return json_answer(_view(self._gate.until(request)), headers=FRESH)

    async def begin(self, request: Request) -> HTTPResponse:
        no_query(given.arguments(request))
        given.no_body(request, self._bytes_max)
        proto = request.headers.get("x-forwarded-proto")
        if (reason := why_no_session_here(proto, _client(request))) is not None:
            raise Problem(403, reason, type_uri=BY_NAME["wants-tls"].uri)
        token = process_of(request).settings.operator_token
        check_bearer(request.headers.get("authorization"), token, "operator")
        assert token is not None
        life_s = SESSION_S if proto == "https" else PLAIN_S
        value, until_s = new_session(token.value, self._clock.wall_s(), secrets.token_hex(16), life_s)
        kept = cookie(value, life_s=life_s, secure=proto == "https")
        return json_answer(_view(until_s), headers=FRESH | {"Set-Cookie": kept})

    async def end(self, request: Request) -> HTTPResponse:
        no_query(given.arguments(request))
        given.no_body(request, self._bytes_max)
        gone = cookie("", life_s=0, secure=request.headers.get("x-forwarded-proto") == "https")
        return json_answer(_view(None), headers=FRESH | {"Set-Cookie": gone})


def _client(request: Request) -> str:
    """The nearest hop that is not this machine itself, or else the nearest: a proxy on this machine speaks for others.

    Without hops the peer's own address. A forged hop can only make the rule stricter.
    """
    told = request.headers.get("x-forwarded-for", "")
    hops = [hop.strip() for hop in told.split(",") if hop.strip()] or [str(request.ip)]
    return next((hop for hop in reversed(hops) if not is_loopback(hop)), hops[-1])


def _view(until_s: int | None) -> SessionView:
    return SessionView(signed_in=until_s is not None, until=None if until_s is None else stamp(until_s))
