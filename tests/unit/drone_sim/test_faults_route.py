"""POST /faults: for operators only, and a problem document for whatever makes no sense."""

from __future__ import annotations

from collections.abc import AsyncIterator

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


class Door:
    """A drone_sim with one drone, as an operator sees it."""

    def __init__(
        self, port: int, client: HttpClient, state: FleetState, faults: FaultInjector, clock: FakeClock
    ) -> None:
        self._port = port
        self._client = client
        self.state = state
        self.faults = faults
        self.clock = clock

    async def strike(
        self, body: bytes, headers: tuple[tuple[str, str], ...] = AUTHORISED
    ) -> tuple[HttpResponse, dict[str, object]]:
        answer = await self._client.request(
            "POST", "127.0.0.1", self._port, "/faults", headers=headers, body=body, timeout_s=5.0
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
    answer, _ = await door.strike(b'{"drone_id": "drone-00001", "kind": "silent", "seconds": 5}')
    assert answer.status == 201
    assert door.faults.silent() == {"drone-00001"}
    door.clock.advance(5.1)
    assert door.faults.silent() == frozenset()


async def test_a_battery_drops_and_never_rises(door: Door) -> None:
    await door.strike(b'{"drone_id": "drone-00001", "kind": "battery", "battery_pct": 10}')
    await door.strike(b'{"drone_id": "drone-00001", "kind": "battery", "battery_pct": 90}')
    assert door.state.crafts["drone-00001"].battery_pct == 10.0


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"drone_id": "drone-00001", "kind": "silent", "seconds": -1}', 422, "seconds"),
        (b'{"drone_id": "drone-00001", "kind": "silent", "seconds": 1e9}', 422, "seconds"),
        (b'{"drone_id": "drone-00001", "kind": "battery"}', 422, "battery_pct"),
        (b'{"drone_id": "drone-00001", "kind": "battery", "battery_pct": 101}', 422, "battery_pct"),
        (b'{"drone_id": "drone-77777", "kind": "silent"}', 404, "drone_id"),
        (b'{"drone_id": "drone-00001", "kind": "explode"}', 400, None),
        (b'{"drone_id": "drone-00001", "kind": "silent", "why": 1}', 400, None),
        (b'{"drone_id": 7}', 400, None),
        (b"{", 400, None),
        (b"", 400, None),
    ],
)
async def test_a_fault_that_makes_no_sense_is_refused_and_strikes_nobody(
    door: Door, body: bytes, status: int, field: str | None
) -> None:
    answer, problem = await door.strike(body)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.get("field") == field
    assert door.faults.silent() == frozenset()
    assert door.state.crafts["drone-00001"].battery_pct == 80.0


@pytest.mark.parametrize("headers", [(), (("authorization", "Bearer wrong"),)])
async def test_without_the_operator_token_nothing_is_struck(
    door: Door, headers: tuple[tuple[str, str], ...]
) -> None:
    answer, _ = await door.strike(b'{"drone_id": "drone-00001", "kind": "silent"}', headers)
    assert answer.status == 401
    assert door.faults.silent() == frozenset()
