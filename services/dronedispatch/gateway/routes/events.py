"""/events and /figures: what happens, while it happens."""

from __future__ import annotations

import asyncio

from sanic import HTTPResponse, Request
from sanic.response import raw

from dronedispatch.gateway.core import export
from dronedispatch.gateway.core.headers import LAST_EVENT_ID
from dronedispatch.gateway.core.history import history_query, series_csv, series_ndjson
from dronedispatch.gateway.core.parameters import parameters
from dronedispatch.gateway.core.stream import RETRY_MS, EventParameters, Reader, parse_topics
from dronedispatch.gateway.feed import Feed
from dronedispatch.gateway.history import FiguresHistory
from dronedispatch.gateway.routes import input as given
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.web import json_answer

BEAT_S = 1.0  # a page that has heard nothing for three of these says that it is stale
PACE_S = 0.05  # changes that come closer together travel together
PIECES_MAX = 2000  # a second, to all readers of a process: a crowd is told more at a time, less often


class EventRoutes:
    """Handlers."""

    def __init__(self, feed: Feed, history: FiguresHistory, clock: Clock, watchers_max: int) -> None:
        self._feed = feed
        self._history = history
        self._clock = clock
        self._watchers_max = watchers_max

    async def figures(self, request: Request) -> HTTPResponse:
        kind = export.negotiate(request.headers.get("accept", ""))
        asked = given.arguments(request)
        headers = {"Cache-Control": "no-store", "Vary": "Accept"}
        if not asked and kind == export.JSON:
            return json_answer(await self._feed.figures(), headers=headers)
        found = await self._history.read(history_query(asked, self._clock.wall_s()))
        if kind == export.JSON:
            return json_answer(found, headers=headers)
        body = series_csv(found) if kind == export.CSV else series_ndjson(found)
        name = "figures.csv" if kind == export.CSV else "figures.ndjson"
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return raw(body, content_type=f"{kind}; charset=utf-8", headers=headers)

    async def stream(self, request: Request) -> None:
        asked = parameters(EventParameters, given.arguments(request))
        topics = parse_topics(asked.topics)
        seen = given.header(request, LAST_EVENT_ID) or asked.last_event_id or None
        if self._feed.watchers >= self._watchers_max:
            raise Problem(
                503,
                f"{self._watchers_max} streams are open here",
                headers={"Retry-After": "1", "X-Overloaded": "1"},
            )
        reader = Reader(self._feed.board, topics, seen)
        self._feed.enter(topics)
        try:
            await self._write(request, reader)
        finally:
            self._feed.leave(topics)

    async def _write(self, request: Request, reader: Reader) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        response = await request.respond(content_type="text/event-stream", headers=headers)
        assert response is not None
        await response.send(f"retry: {RETRY_MS}\n\n".encode())
        beat_s = -BEAT_S  # the first piece begins with one
        while not self._feed.closing:
            now_s = self._clock.monotonic_s()
            piece = reader.next_bytes(self._clock.wall_s())
            if now_s - beat_s >= BEAT_S:
                beat_s = now_s
                piece += reader.beat(self._clock.wall_s())
            if piece:
                await response.send(piece)
                await asyncio.sleep(max(PACE_S, self._feed.watchers / PIECES_MAX))
            else:
                await self._feed.news(BEAT_S)
        await response.eof()
