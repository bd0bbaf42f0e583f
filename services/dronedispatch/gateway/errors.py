"""Errors of the core and of the store as problem documents: the one place that says which status each has."""

from __future__ import annotations

import math
from typing import Any

import structlog
from sanic import HTTPResponse, Request, Sanic

from dronedispatch.fleet.documents import Unreadable
from dronedispatch.gateway.core.export import NotAcceptable
from dronedispatch.gateway.core.problem_types import BY_NAME, BY_STATUS, PROBLEM_TYPES
from dronedispatch.gateway.core.refusal import BadField, BadParameter, FieldError, NoJson, NoSuchPath
from dronedispatch.kv.errors import KVError, OutcomeUnknown, Unauthorized, Unavailable
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.web import problem_answer, unexpected_problem

KNOWN = (NoJson, NotAcceptable, BadField, BadParameter, NoSuchPath, KVError, Unreadable)

log = structlog.get_logger()


def problem_of(exc: Exception) -> Problem:
    """The answer to a request that ended so."""
    if isinstance(exc, NoJson):
        return Problem(
            400,
            str(exc),
            field="body",
            type_uri=BY_NAME["malformed-body"].uri,
            errors=[FieldError("body", str(exc))],
        )
    if isinstance(exc, NotAcceptable):
        return Problem(406, str(exc), field="Accept")
    if isinstance(exc, BadField):
        return _refused(exc)
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


def _refused(exc: BadField) -> Problem:
    """One document for everything that is wrong: `field` and `detail` are the first's, `errors` names all."""
    status = 400 if isinstance(exc, BadParameter) else 404 if isinstance(exc, NoSuchPath) else 422
    errors = [FieldError(error.field or "body", error.detail) for error in exc.errors]
    detail = str(exc) if len(errors) == 1 else f"{exc}; and {len(errors) - 1} more, see errors"
    return Problem(status, detail, field=errors[0].field, errors=errors)


def name_type(problem: Problem) -> None:
    """Give the problem the type and title that the API documents for it."""
    known = _BY_URI.get(problem.type_uri) if problem.type_uri else BY_STATUS.get(problem.status)
    if known is not None:
        problem.type_uri, problem.title = known.uri, problem.title or known.title


_BY_URI = {one.uri: one for one in PROBLEM_TYPES}


def add_errors(app: Sanic[Any, Any]) -> None:
    """Answers the exceptions that handlers let pass."""
    app.ctx.name_problem_type = name_type

    async def answer(request: Request, exc: Exception) -> HTTPResponse:
        return problem_answer(request, _told(exc, request.path))

    # Each kind itself, not its base alone: after one unexpected ValueError on a path, Sanic takes its handler there for that
    # of all ValueErrors that it does not know by their own class.
    for kind in KNOWN:
        app.exception(kind)(answer)


def problem_below_sanic(exc: Exception, path: str) -> Problem:
    """The answer to a request on `path` that ended so where no handler of Sanic sees it: the same, and logged alike."""
    if isinstance(exc, Problem):
        problem = exc
    else:
        problem = _told(exc, path) if isinstance(exc, KNOWN) else unexpected_problem(path, exc)
    name_type(problem)
    return problem


def _told(exc: Exception, path: str) -> Problem:
    problem = problem_of(exc)
    if problem.status >= 500:
        log.warning("request failed", path=path, status=problem.status, error=repr(exc))
    return problem
