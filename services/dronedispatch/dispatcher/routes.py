"""The dispatcher's private HTTP face, for the gateways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sanic import HTTPResponse, Request, Sanic

from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.why import Why, explain
from dronedispatch.dispatcher.core.world import World
from dronedispatch.dispatcher.rounds import Rounds
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.web import json_answer, require_token

FRESH_S = 0.25


@dataclass(frozen=True, slots=True)
class _Planned:
    rounds: Rounds
    term: int
    at_s: float  # monotonic
    now_s: float  # wall
    world: World
    plan: Plan


class Explainer:
    """Explains from one plan whatever is asked within FRESH_S: a page full of questions costs one round."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._planned: _Planned | None = None

    def why(self, rounds: Rounds | None, delivery_id: str) -> Why | None:
        """None: no open delivery has that id. Raises Problem while these `rounds` stand by."""
        planned = self._of(rounds, fresh_s=FRESH_S)
        if all(delivery.id != delivery_id for delivery in planned.world.deliveries):
            planned = self._of(rounds, fresh_s=0.0)  # it may have come since
        return explain(planned.world, planned.now_s, delivery_id, planned.plan)

    def _of(self, rounds: Rounds | None, *, fresh_s: float) -> _Planned:
        world = None if rounds is None else rounds.snapshot()
        if rounds is None or world is None:
            raise Problem(503, "this dispatcher stands by", headers={"Retry-After": "1"})
        at_s, known = self._clock.monotonic_s(), self._planned
        if (
            known is None
            or (known.rounds, known.term) != (rounds, rounds.term)
            or at_s - known.at_s >= fresh_s
        ):
            now_s = self._clock.wall_s()
            known = _Planned(rounds, rounds.term, at_s, now_s, world, plan_round(world, now_s))
            self._planned = known
        return known


def add_routes(app: Sanic[Any, Any], rounds: Callable[[], Rounds | None], clock: Clock) -> None:
    """GET /why/{delivery_id}, with the store token. `rounds()` is None while the process starts."""
    explainer = Explainer(clock)

    @app.get("/why/<delivery_id>", name="why")
    @require_token("store")
    async def why(_request: Request, delivery_id: str) -> HTTPResponse:
        answer = explainer.why(rounds(), delivery_id)
        if answer is None:
            raise Problem(404, f"no open delivery {delivery_id[:40]!r}", field="delivery_id")
        return json_answer(answer)
