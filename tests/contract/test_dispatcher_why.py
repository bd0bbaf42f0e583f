"""The dispatcher's private GET /why: for holders of the store token, and only by the one that leads."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from sanic import Sanic

from dronedispatch.dispatcher import routes
from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.world import World
from dronedispatch.dispatcher.routes import add_routes
from dronedispatch.runtime.settings import ProcessSettings, Secret
from dronedispatch.runtime.web import create_web
from dronedispatch.testing.fleet import a_delivery
from dronedispatch.testing.serving import serving
from dronedispatch.testing.town import Town

TOKEN = {"Authorization": "Bearer for-tests"}


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    made = Town(speed=60.0)
    made.add_fleet(3)
    made.open_desk()
    await made.ticks(2)
    yield made
    await made.close()


def face(town: Town) -> Sanic[Any, Any]:
    settings = ProcessSettings(registration="off", store_token=Secret("for-tests"))
    app = create_web("dispatcher", settings, ready=lambda: None)
    add_routes(app, lambda: town.desks[0].rounds, town.clock)
    return app


async def ask(app: Sanic[Any, Any], path: str, headers: dict[str, str]) -> tuple[int, Any]:
    async with (
        serving(app) as port,
        aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http,
        http.get(path, headers=headers) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def test_an_order_that_waits_is_explained_drone_by_drone(town: Town) -> None:
    order = await town.order(a_delivery(weight_kg=99.0))
    await town.ticks(1)
    status, body = await ask(face(town), f"/why/{order.id}", TOKEN)
    assert (status, body["delivery_id"], body["status"]) == (200, order.id, "pending")
    assert {one["fits"] for one in body["drones"]} == {False}
    assert all(one["reason"] for one in body["drones"])


async def test_questions_asked_at_once_cost_one_round_and_a_new_order_is_known_all_the_same(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await town.order(a_delivery(weight_kg=99.0))
    await town.ticks(1)
    planned: list[float] = []

    def counted(world: World, now_s: float) -> Plan:
        planned.append(now_s)
        return plan_round(world, now_s)

    monkeypatch.setattr(routes, "plan_round", counted)
    explainer, rounds = routes.Explainer(town.clock), town.desks[0].rounds
    for _ in range(3):
        assert explainer.why(rounds, first.id) is not None
    assert len(planned) == 1
    second = await town.order(a_delivery(weight_kg=98.0))
    await town.bus.settled()
    await rounds.once()
    assert explainer.why(rounds, second.id) is not None
    assert len(planned) == 2


async def test_an_unknown_order_is_404_and_no_token_401(town: Town) -> None:
    status, body = await ask(face(town), "/why/nowhere", TOKEN)
    assert (status, body["field"]) == (404, "delivery_id")
    status, _ = await ask(face(town), "/why/nowhere", {})
    assert status == 401


async def test_a_standby_says_so(town: Town) -> None:
    town.desks[0].lead.leader = False
    status, _ = await ask(face(town), "/why/nowhere", TOKEN)
    assert status == 503
