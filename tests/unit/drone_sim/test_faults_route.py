"""POST /faults: for operators only, and a problem document for whatever makes no sense."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from dronedispatch.drone_sim.core.craft import Craft
from dronedispatch.drone_sim.core.fleet_state import FleetState
from dronedispatch.drone_sim.faults import FaultInjector
from dronedispatch.drone_sim.routes import add_routes
from dronedispatch.fleet.drones import DroneType
from dronedispatch.fleet.positions import Point
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.collector import HttpResponse
from dronedispatch.runtime.settings import ProcessSettings, Secret
from dronedispatch.runtime.web import create_web
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.serving import serving

AUTHORISED = (("authorization", "Bearer let-me"),)


@dataclass
class Door:
    """A drone_sim with one drone, as an operator sees it."""

    port: int
    client: HttpClient
    state: FleetState
    faults: FaultInjector
    clock: FakeClock

    async def strike(
        self, headers: tuple[tuple[str, str], ...] = AUTHORISED, body: bytes | None = None, **fault: Any
    ) -> tuple[HttpResponse, dict[str, object]]:
        told = msgspec.json.encode({"drone_id": "drone-00001"} | fault) if body is None else body
        answer = await self.client.request(
            "POST", "127.0.0.1", self.port, "/faults", headers=headers, body=told, timeout_s=5.0
        )
        return answer, msgspec.json.decode(answer.body, type=dict[str, object])


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    clock, state = FakeClock(), FleetState()
    craft = Craft(id="drone-00001", type=DroneType.LIGHT, at=Point(0.0, 0.0), battery_pct=80.0)
    state.adopt(0, craft, None, 0)
    app = create_web("drone-sim", ProcessSettings(operator_token=Secret("let-me")), ready=lambda: None)
    faults = FaultInjector(state, clock)
    add_routes(app, lambda: faults)
    client = HttpClient(resend_on_reuse_reset=False)
    async with serving(app) as port:
        yield Door(port, client, state, faults, clock)
        await client.close()


async def test_a_drone_goes_silent_for_as_long_as_was_asked(door: Door) -> None:
    answer, _ = await door.strike(kind="silent", seconds=5)
    assert answer.status == 201
    assert door.faults.silent() == {"drone-00001"}
    door.clock.advance(5.1)
    assert door.faults.silent() == frozenset()


async def test_a_battery_drops_and_never_rises(door: Door) -> None:
    await door.strike(kind="battery", battery_pct=10)
    await door.strike(kind="battery", battery_pct=90)
    assert door.state.crafts["drone-00001"].battery_pct == 10.0


@pytest.mark.parametrize(
    ("fault", "status", "field"),
    [
        ({"kind": "silent", "seconds": -1}, 422, "seconds"),
        ({"kind": "silent", "seconds": 1e9}, 422, "seconds"),
        ({"kind": "battery"}, 422, "battery_pct"),
        ({"kind": "battery", "battery_pct": 101}, 422, "battery_pct"),
        ({"kind": "silent", "drone_id": "drone-77777"}, 404, "drone_id"),
        ({"kind": "explode"}, 400, None),
        ({"kind": "silent", "why": 1}, 400, None),
        ({"drone_id": 7}, 400, None),
        ({"body": b"{"}, 400, None),
        ({"body": b""}, 400, None),
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused_and_strikes_nobody(
    door: Door, fault: dict[str, Any], status: int, field: str | None
) -> None:
    answer, problem = await door.strike(**fault)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.get("field") == field
    assert door.faults.silent() == frozenset()
    assert door.state.crafts["drone-00001"].battery_pct == 80.0


@pytest.mark.parametrize("headers", [(), (("authorization", "Bearer wrong"),)])
async def test_without_the_operator_token_nothing_is_struck(
    door: Door, headers: tuple[tuple[str, str], ...]
) -> None:
    answer, _ = await door.strike(headers, kind="silent")
    assert answer.status == 401
    assert door.faults.silent() == frozenset()
