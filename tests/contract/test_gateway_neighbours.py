"""The gateway when its neighbours are away, slow or faster than it, and what only operators and browsers ask for."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sanic import HTTPResponse, Request, Sanic

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, move_delivery
from dronedispatch.fleet.dispatch_state import DesiredState
from dronedispatch.fleet.documents import decode, delivery_key, drone_key, encode, telemetry_key
from dronedispatch.fleet.drones import Drone, DroneStatus, DroneType, Telemetry, drone_tags
from dronedispatch.fleet.positions import LatLon
from dronedispatch.gateway.core.idempotency import IdemRecord
from dronedispatch.gateway.sweep import sweep
from dronedispatch.kv.client import Cas, Op
from dronedispatch.kv.errors import Unavailable
from dronedispatch.kv.version import Version
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.settings import ProcessSettings
from dronedispatch.runtime.web import create_web, json_answer
from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.serving import serving
from support.gateway_client import OPERATOR, ORDER, ULID, Api, served_api


async def test_why_of_a_waiting_order_is_the_active_dispatchers_answer_and_a_standby_is_passed_over() -> None:
    standby, active = _dispatcher(None), _dispatcher({"summary": "no heavy drone is idle", "drones": []})
    async with serving(standby) as first, serving(active) as second:
        dispatchers = [Endpoint(str(port), "127.0.0.1", port) for port in (first, second)]
        async with served_api(MemoryGateway(dispatchers=dispatchers)) as api:
            placed = (await api.place())["id"]
            status, body, _ = await api.call("GET", f"/deliveries/{placed}/why")
    assert (status, body["summary"], body["status"]) == (200, "no heavy drone is idle", "pending")


async def test_why_of_a_parcel_on_board_is_its_record_and_what_the_dispatcher_knows_besides() -> None:
    async with (
        serving(_dispatcher({"summary": "is assigned", "doubt": "a wall"})) as active,
        served_api(MemoryGateway(dispatchers=[Endpoint("one", "127.0.0.1", active)])) as api,
    ):
        placed = (await api.place())["id"]
        await api.move(placed, DeliveryStatus.ASSIGNED, "drone-00001")
        _, told, _ = await api.call("GET", f"/deliveries/{placed}/why")
    assert told["summary"].startswith("given to drone-00001 at")
    assert told["summary"].endswith("; it fails unless that changes: a wall")


def _dispatcher(answer: dict[str, object] | None) -> Sanic[Any, Any]:
    app = create_web("dispatcher", ProcessSettings(registration="off"), ready=lambda: None)

    @app.get("/why/<delivery_id>", name="why")
    async def why(_request: Request, delivery_id: str) -> HTTPResponse:
        if answer is None:
            raise Problem(503, "stands by")
        return json_answer(answer | {"delivery_id": delivery_id})

    return app


async def test_a_store_that_is_away_is_503_and_leaves_the_gateway_ready(api: Api) -> None:
    def away(_op: Op) -> None:
        raise Unavailable("no coordinator is known", retry_after_s=2.5)

    api.gateway.kv.before = away
    for method, path, more in (
        ("POST", "/deliveries", {"json": ORDER}),
        ("GET", f"/deliveries/{ULID}", {}),
        ("POST", f"/deliveries/{ULID}/cancel", {}),
        ("GET", "/drones/d1", {}),
    ):
        status, body, headers = await api.call(method, path, **more)
        assert (status, headers["retry-after"]) == (503, "3"), path
        assert "nothing was stored" in body["detail"]
    status, health, _ = await api.call("GET", "/health")
    assert (status, health["ready"]) == (200, True)


async def test_a_record_that_cannot_be_read_is_passed_over_by_lists_and_never_overwritten(api: Api) -> None:
    placed = (await api.place())["id"]
    await api.gateway.kv.put(delivery_key(ULID), b"{broken", tags=("status=pending", "open=1"))
    _, body, _ = await api.call("GET", "/deliveries")
    assert [one["id"] for one in body["deliveries"]] == [placed]
    status, body, _ = await api.call("POST", f"/deliveries/{ULID}/cancel")
    assert status == 500
    assert "{broken" not in body["detail"]
    stored = await api.gateway.kv.get(delivery_key(ULID))
    assert stored is not None
    assert stored.value == b"{broken"


async def test_a_cancel_that_loses_a_race_decides_again_on_what_is_there(api: Api) -> None:
    placed = (await api.place())["id"]
    raced: list[str] = []

    def race(op: Op) -> None:
        if isinstance(op, Cas) and not raced:
            raced.append(op.key)
            item = api.gateway.kv.records[op.key]
            flying = decode(Delivery, item.value)
            for to in (DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS):
                flying = move_delivery(flying, to, at="2026-01-01T00:00:00.000Z", cause="race", drone_id="d1")
            api.gateway.kv.records[op.key] = msgspec.structs.replace(
                item, version=Version(1, item.version.n + 1), value=encode(flying)
            )

    api.gateway.kv.before = race
    status, body, _ = await api.call("POST", f"/deliveries/{placed}/cancel")
    assert (status, body["status_now"]) == (409, "in-progress")


async def test_keys_of_yesterday_are_swept_and_todays_stay(api: Api) -> None:
    await api.place(headers={"Idempotency-Key": "today"})
    [today] = api.stored("idem/")
    item = await api.gateway.kv.get(today)
    assert item is not None
    old = msgspec.structs.replace(decode(IdemRecord, item.value), created_at="2001-01-01T00:00:00.000Z")
    await api.gateway.kv.put("idem/old", encode(old))
    said = await sweep(api.gateway.kv, api.gateway.clock)
    assert said == "2 idempotency keys, 1 forgotten"
    assert await api.gateway.kv.get("idem/old") is None
    assert await api.gateway.kv.get(today) is not None


async def test_wishes_for_drones_are_left_for_the_dispatcher(api: Api) -> None:
    status, body, _ = await api.call("POST", "/drones/d1/decommission", headers=OPERATOR)
    assert (status, body["field"]) == (404, "drone_id")
    drone = Drone(id="d1", type=DroneType.LIGHT, status=DroneStatus.IDLE, status_at="t")
    await api.gateway.kv.put(drone_key("d1"), encode(drone), tags=drone_tags(drone))
    for action, wanted in (("decommission", "decommissioned"), ("recommission", "commissioned")):
        status, _, _ = await api.call("POST", f"/drones/d1/{action}", headers=OPERATOR)
        assert status == 202
        stored = await api.gateway.kv.get("wish/drone/d1")
        assert stored is not None
        assert (decode(DesiredState, stored.value).wanted, stored.tags) == (wanted, ("wish=1",))


async def test_drones_are_listed_joined_filtered_and_paged(api: Api) -> None:
    for number, kind in enumerate([DroneType.LIGHT, DroneType.HEAVY, DroneType.LIGHT]):
        status = DroneStatus.BUSY if number == 2 else DroneStatus.IDLE
        drone = Drone(id=f"d{number}", type=kind, status=status, status_at="t")
        await api.gateway.kv.put(drone_key(drone.id), encode(drone), tags=drone_tags(drone))
    seen = Telemetry(id="d0", pos=LatLon(41.9, 12.5), battery_pct=50.0, at="t")
    await api.gateway.kv.put(telemetry_key("d0"), encode(seen))
    _, body, _ = await api.call("GET", "/drones")
    assert {one["id"]: one["battery_pct"] for one in body["drones"]} == {"d0": 50.0, "d1": None, "d2": None}
    _, body, _ = await api.call("GET", "/drones?type=light&status=busy")
    assert [one["id"] for one in body["drones"]] == ["d2"]
    _, first, _ = await api.call("GET", "/drones?limit=2")
    _, second, _ = await api.call("GET", f"/drones?limit=2&after={first['next']}")
    assert [one["id"] for one in first["drones"] + second["drones"]] == ["d0", "d1", "d2"]


@pytest.mark.parametrize(
    "path", ["/deliveries", "/drones", "/zones", "/dashboard", "/docs", "/openapi.json", "/health"]
)
async def test_head_answers_like_get_without_a_body(api: Api, path: str) -> None:
    async with api.http.head(path) as answer:
        assert answer.status == 200
        assert await answer.read() == b""


async def test_the_dashboard_loads_nothing_from_elsewhere_and_files_are_asked_for_once(api: Api) -> None:
    status, page, headers = await api.call("GET", "/dashboard")
    assert status == 200
    assert b"//" not in page.replace(b"http://www.w3.org", b"")
    assert "default-src 'self'" in headers["content-security-policy"]
    status, _, _ = await api.call("GET", "/dashboard", headers={"If-None-Match": headers["etag"]})
    assert status == 304
    for name in ("css/theme.css", "js/main.js", "icon.svg"):
        status, _, _ = await api.call("GET", f"/dashboard/{name}")
        assert status == 200, name
