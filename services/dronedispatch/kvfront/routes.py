"""What a coordinator answers other coordinators, beside the store's API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sanic import HTTPResponse, Request, Sanic

from dronedispatch.kvfront.peers import Opinion
from dronedispatch.replication.effects import Pulse
from dronedispatch.replication.links import Links
from dronedispatch.runtime.web import json_answer, require_token


def add_routes(app: Sanic[Any, Any], links: Callable[[], Links]) -> None:
    """Add GET /opinion/{replica}: what this coordinator sees of it, just now."""

    @app.get("/opinion/<replica:str>", name="opinion", unquote=True)
    @require_token("store")
    async def opinion(_request: Request, replica: str) -> HTTPResponse:
        if links().get(replica) is None:
            return json_answer(Opinion(replica, None))
        return json_answer(Opinion(replica, await links().ping(replica) is Pulse.ALIVE))
