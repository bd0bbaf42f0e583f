"""Who may do what is the operator's: whoever shows the token, or the session of a browser that once showed it."""

from __future__ import annotations

from functools import wraps

from sanic import HTTPResponse, Request

from dronedispatch.gateway.core.session import COOKIE, session_until, why_no_cookie
from dronedispatch.runtime.auth import check_bearer
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.settings import Secret
from dronedispatch.runtime.web import Handler, process_of


class OperatorGate:
    """`clock` says whether a session still holds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def guard(self, handler: Handler) -> Handler:
        """Only the operator gets to the handler. Problem 401: neither token nor session."""

        @wraps(handler)
        async def guarded(request: Request, *args: object, **kwargs: object) -> HTTPResponse | None:
            self.check(request)
            return await handler(request, *args, **kwargs)

        return guarded

    def check(self, request: Request) -> None:
        """Raises Problem 401. A token that is shown counts; the session is looked at when none is."""
        wanted = process_of(request).settings.operator_token
        if "authorization" not in request.headers and self.until(request) is not None:
            host = request.headers.get("host", "")
            if (reason := why_no_cookie(request.method, host, request.headers)) is None:
                return
            raise Problem(401, reason, headers={"WWW-Authenticate": 'Bearer realm="operator"'})
        check_bearer(request.headers.get("authorization"), wanted, "operator")

    def until(self, request: Request) -> int | None:
        """Until when (seconds since 1970) the request's session holds; None: there is none."""
        value = request.cookies.get(COOKIE)
        return session_until(
            value, accepted(process_of(request).settings.operator_token), self._clock.wall_s()
        )


def accepted(token: Secret | None) -> tuple[str, ...]:
    """Every token that is taken: while it is rotated there are several."""
    return () if token is None else (token.value, *token.also)
