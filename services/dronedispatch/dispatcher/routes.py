"""The dispatcher's private HTTP face, for the gateways."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sanic import HTTPResponse, Request, Sanic

from dronedispatch.dispatcher.core.why import explain
from dronedispatch.dispatcher.rounds import Rounds
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.web import json_answer, require_token


def add_routes(app: Sanic[Any, Any], rounds: Callable[[], Rounds | None], clock: Clock) -> None:
    """GET /why/{delivery_id}, with the store token. `rounds()` is None while the process starts."""

    @app.get("/why/<delivery_id>", name="why")
    @require_token("store")
    async def why(_request: Request, delivery_id: str) -> HTTPResponse:
        active = rounds()
        world = None if active is None else active.snapshot()
        if world is None:
            raise Problem(503, "this dispatcher stands by", headers={"Retry-After": "1"})
        answer = explain(world, clock.wall_s(), delivery_id)
        if answer is None:
            raise Problem(404, f"no open delivery {delivery_id[:40]!r}", field="delivery_id")
        return json_answer(answer)
