"""Errors of the core and of the store as problem documents: the one place that says which status each has."""

from __future__ import annotations

import math
from typing import Any

import structlog
from sanic import HTTPResponse, Request, Sanic

from dronedispatch.fleet.documents import Unreadable
from dronedispatch.gateway.core.body import BadField, NoJson
from dronedispatch.gateway.core.export import NotAcceptable
from dronedispatch.gateway.core.listing import BadParameter
from dronedispatch.kv.errors import KVError, OutcomeUnknown, Unauthorized, Unavailable
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.web import problem_answer

log = structlog.get_logger()


def problem_of(exc: Exception) -> Problem:
    """The answer to a request that ended so."""
    if isinstance(exc, NoJson):
        return Problem(400, str(exc), field="body")
    if isinstance(exc, NotAcceptable):
        return Problem(406, str(exc), field="Accept")
    if isinstance(exc, BadParameter):
        return Problem(400, str(exc), field=exc.field)
    if isinstance(exc, BadField):
        return Problem(422, str(exc), field=exc.field or "body")
    if isinstance(exc, OutcomeUnknown):
        return Problem(
            504,
            "the store cannot say whether this was stored; with an Idempotency-Key, ask again with the same one",
            headers={"X-Outcome": "unknown", "Retry-After": "1"},
        )
    if isinstance(exc, Unavailable):
        seconds = str(max(1, math.ceil(exc.retry_after_s)))
        return Problem(503, f"nothing was stored: {exc}", headers={"Retry-After": seconds})
    if isinstance(exc, Unauthorized):
        return Problem(503, "the store refuses this gateway's token", headers={"Retry-After": "30"})
    return Problem(500, "a record in the store is not what it should be, logged with this request id")


def add_errors(app: Sanic[Any, Any]) -> None:
    """Answers the exceptions that handlers let pass."""

    async def answer(request: Request, exc: Exception) -> HTTPResponse:
        problem = problem_of(exc)
        if problem.status >= 500:
            log.warning("request failed", path=request.path, status=problem.status, error=repr(exc))
        return problem_answer(request, problem)

    for kind in (NoJson, NotAcceptable, BadField, KVError, Unreadable):
        app.exception(kind)(answer)
