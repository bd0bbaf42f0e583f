"""The private face of drone_sim: faults on request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sanic import HTTPResponse, Request, Sanic

from dronedispatch.drone_sim.faults import Fault, FaultInjector, why_not
from dronedispatch.fleet.documents import Unreadable, decode
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.web import json_answer, require_token


def add_routes(app: Sanic[Any, Any], injector: Callable[[], FaultInjector]) -> None:
    """POST /faults and GET /faults, for operators."""

    @app.post("/faults", name="strike")
    @require_token("operator")
    async def strike(request: Request) -> HTTPResponse:
        try:
            fault = decode(Fault, request.body)
        except Unreadable as exc:
            raise Problem(400, str(exc)) from exc
        wrong = why_not(fault)
        if wrong is not None:
            raise Problem(422, f"{wrong[0]} {wrong[1]}", field=wrong[0])
        if not injector().strike(fault):
            raise Problem(404, f"no drone {fault.drone_id!r} is flown by this process", field="drone_id")
        return json_answer(fault, status=201)

    @app.get("/faults", name="faults")
    @require_token("operator")
    async def faults(_request: Request) -> HTTPResponse:
        return json_answer({"silent": sorted(injector().silent())})
