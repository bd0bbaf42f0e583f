"""The gateway's HTTP face on memory twins: what each request is answered, and what it leaves in the store."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import ZONES_KEY, decode, delivery_key
from dronedispatch.fleet.messages import DELIVERY_REQUESTS
from dronedispatch.gateway.lists import Lists
from dronedispatch.kv.client import Cas, Op
from dronedispatch.kv.errors import KVError, OutcomeUnknown, Unavailable
from dronedispatch.kv.version import Version
from support.gateway_client import OPERATOR, ORDER, ULID, Api


async def test_a_201_names_a_delivery_that_is_in_the_store_and_tells_the_dispatcher(api: Api) -> None:
    status, body, headers = await api.call("POST", "/deliveries", json=ORDER)
    assert status == 201
    assert headers["location"] == f"/deliveries/{body['id']}"
    assert body["status"] == "pending"
    assert 0 <= body["eta"]["confidence"] <= 1
    stored = await api.gateway.kv.get(delivery_key(body["id"]))
    assert stored is not None
    assert decode(Delivery, stored.value).weight_kg == 2.5
    assert set(stored.tags) == {"status=pending", "open=1"}
    [message] = api.gateway.publisher.bodies(DELIVERY_REQUESTS)
    told = msgspec.json.decode(message)
    assert told["delivery_id"] == body["id"]
    assert (told["told"]["version"], told["told"]["record"]["id"]) == (str(stored.version), body["id"])


async def test_a_delivery_is_read_back_with_its_history_and_timestamps(api: Api) -> None:
    placed = await api.place()
    status, body, _ = await api.call("GET", f"/deliveries/{placed['id']}")
    assert status == 200
    assert body["created_at"] == placed["created_at"]
    assert body["history"][0]["to"] == "pending"
    assert body["history"][0]["from"] is None


async def test_the_same_key_and_body_get_the_same_201_and_one_delivery(api: Api) -> None:
    first = await api.place(headers={"Idempotency-Key": "k1"})
    again = await api.place(headers={"Idempotency-Key": "k1"})
    assert again == first
    assert len(api.stored("delivery:")) == 1


async def test_the_same_key_with_another_body_is_422_and_stores_nothing(api: Api) -> None:
    await api.place(headers={"Idempotency-Key": "k1"})
    status, body, _ = await api.call(
        "POST", "/deliveries", json=ORDER | {"weight": 3}, headers={"Idempotency-Key": "k1"}
    )
    assert (status, body.get("field")) == (422, "Idempotency-Key")
    assert len(api.stored("delivery:")) == 1


def failing(error: KVError) -> Callable[[Op], None]:
    """With it ends each write of a delivery."""

    def fail(op: Op) -> None:
        if isinstance(op, Cas) and op.key.startswith("delivery:"):
            raise error

    return fail


async def test_an_attempt_cut_short_between_its_two_writes_is_finished_by_the_next(api: Api) -> None:
    api.gateway.kv.before = failing(Unavailable("down"))
    status, _, headers = await api.call("POST", "/deliveries", json=ORDER, headers={"Idempotency-Key": "k1"})
    assert status == 503
    assert "retry-after" in headers
    api.gateway.kv.before = lambda _op: None
    placed = await api.place(headers={"Idempotency-Key": "k1"})
    assert api.stored("delivery:") == [delivery_key(placed["id"])]


async def test_an_unknown_outcome_is_504_and_the_key_makes_the_repetition_safe(api: Api) -> None:
    api.gateway.kv.after = failing(OutcomeUnknown("lost"))
    status, _, headers = await api.call("POST", "/deliveries", json=ORDER, headers={"Idempotency-Key": "k1"})
    assert (status, headers["x-outcome"]) == (504, "unknown")
    api.gateway.kv.after = lambda _op: None
    placed = await api.place(headers={"Idempotency-Key": "k1"})
    assert api.stored("delivery:") == [delivery_key(placed["id"])]


def order(**members: str) -> str:
    """The text of an order with other texts for some of its members; an empty one is left out."""
    right = {"origin": '{"lat":41.89,"lon":12.49}', "destination": '{"lat":41.9,"lon":12.5}', "weight": "1"}
    return "{" + ",".join(f'"{name}":{text}' for name, text in (right | members).items() if text) + "}"


BAD_BODIES: list[tuple[str, int, str]] = [
    ("", 400, "body"),
    ("{", 400, "body"),
    ("[1]", 422, "body"),
    ("null", 422, "body"),
    ("\xff", 400, "body"),
    ("[" * 100_00, 400, "body"),
    (order(origin='{"lat":NaN,"lon":12.49}'), 400, "body"),
    (order(origin='{"lat":41.89,"lon":Infinity}'), 400, "body"),
    (order(origin='{"lat":1e999,"lon":12.49}'), 422, "origin.lat"),
    (order(origin=""), 422, "origin"),
    (order(origin='{"lat":41.89}'), 422, "origin.lon"),
    (order(origin='{"lat":51.5,"lon":0}'), 422, "origin"),
    (order(destination='{"lat":41.9035,"lon":12.453}'), 422, "destination"),
    (order(destination='{"lat":41.89,"lon":12.49}'), 422, "destination"),
    (order(weight="10.1"), 422, "weight"),
    (order(priority="10"), 422, "priority"),
    (order(deadline='"soon"'), 422, "deadline"),
    (order(deadline='"2001-01-01T00:00:00Z"'), 422, "deadline"),
]


@pytest.mark.parametrize(("raw", "status", "field"), BAD_BODIES)
async def test_a_bad_order_is_refused_with_its_fields_name_and_nothing_is_stored(
    api: Api, raw: str, status: int, field: str
) -> None:
    answered, body, headers = await api.call(
        "POST", "/deliveries", data=raw.encode("latin-1"), headers={"Content-Type": "application/json"}
    )
    assert (answered, body["field"]) == (status, field)
    assert headers["content-type"] == "application/problem+json"
    assert [key for key in api.gateway.kv.records if not key.startswith("figures:")] == []
    assert api.gateway.publisher.handed == []


@pytest.mark.parametrize(
    ("method", "path", "status", "field"),
    [
        ("GET", "/deliveries?status=lost", 400, "status"),
        ("GET", "/deliveries?limit=0", 400, "limit"),
        ("GET", "/deliveries?after=x", 400, "after"),
        ("GET", "/deliveries?drone=a%20b", 400, "drone"),
        ("GET", "/deliveries?colour=red", 400, "colour"),
        ("GET", "/deliveries/" + "x" * 3000, 404, "delivery_id"),
        ("GET", "/deliveries/%00", 404, "delivery_id"),
        ("GET", "/deliveries/01ARZ3NDEKTSV4RRFFQ69G5FAV", 404, "delivery_id"),
        ("GET", "/drones/" + "x" * 300, 404, "drone_id"),
        ("GET", "/drones?type=huge", 400, "type"),
        ("GET", "/zones?x=1", 400, "x"),
        ("GET", "/events?topics=all", 400, "topics"),
        ("GET", "/dashboard/../settings.py", 404, None),
        ("GET", "/nowhere", 404, None),
        ("DELETE", "/deliveries", 405, None),
        ("PATCH", "/zones", 405, None),
        ("POST", "/deliveries/01ARZ3NDEKTSV4RRFFQ69G5FAV/cancel", 404, "delivery_id"),
        ("POST", "/drones/d1/decommission", 401, None),
        ("PUT", "/zones", 401, None),
        ("GET", "/metrics", 401, None),
    ],
)
async def test_a_bad_request_is_a_problem_document(
    api: Api, method: str, path: str, status: int, field: str | None
) -> None:
    answered, body, headers = await api.call(method, path)
    assert answered == status
    assert headers["content-type"] == "application/problem+json"
    assert body["status"] == status
    assert body.get("field") == field


async def test_a_refusal_stays_one_after_an_error_of_ours_on_the_same_path(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ValueError("an error of ours")

    with monkeypatch.context() as patched:
        patched.setattr(Lists, "drones", broken)
        patched.setattr(Lists, "versioned_delivery", broken)
        assert (await api.call("GET", "/drones"))[0] == 500
        assert (await api.call("GET", f"/deliveries/{ULID}"))[0] == 500
    assert (await api.call("GET", "/drones?limit=0"))[0] == 400
    assert (await api.call("GET", "/deliveries/none"))[0] == 404


async def test_another_content_type_is_415_and_an_oversized_body_413(api: Api) -> None:
    status, body, _ = await api.call(
        "POST", "/deliveries", data=b"a=b", headers={"Content-Type": "text/plain"}
    )
    assert (status, body["field"]) == (415, "Content-Type")
    status, body, _ = await api.call("POST", "/deliveries", json=ORDER | {"x": "y" * 20_000})
    assert (status, body["field"]) == (413, "body")
    status, body, _ = await api.call("POST", "/deliveries", data=io.BytesIO(b" " * 3_000_000))
    assert (status, body["status"]) == (413, 413)


async def test_lists_are_newest_first_and_pages_follow_the_cursor(api: Api) -> None:
    placed = [(await api.place())["id"] for _ in range(5)]
    _, first, _ = await api.call("GET", "/deliveries?limit=3")
    _, second, _ = await api.call("GET", f"/deliveries?limit=3&after={first['next']}")
    found = [one["id"] for one in first["deliveries"] + second["deliveries"]]
    assert found == sorted(placed, reverse=True)
    assert second["next"] is None


async def test_lists_filter_by_status_and_drone(api: Api) -> None:
    placed = [(await api.place())["id"] for _ in range(3)]
    await api.move(placed[1], DeliveryStatus.ASSIGNED, drone_id="d7")
    for query, wanted in (
        ("status=assigned", [placed[1]]),
        ("drone=d7", [placed[1]]),
        ("status=pending&drone=d7", []),
        ("status=pending", sorted([placed[0], placed[2]], reverse=True)),
    ):
        _, body, _ = await api.call("GET", f"/deliveries?{query}")
        assert [one["id"] for one in body["deliveries"]] == wanted


async def test_exports_have_a_row_for_every_delivery(api: Api) -> None:
    placed = {(await api.place())["id"] for _ in range(7)}
    _, rows, headers = await api.call("GET", "/deliveries", headers={"Accept": "text/csv"})
    assert headers["content-type"].startswith("text/csv")
    lines = rows.decode().split("\r\n")
    assert lines[0].startswith("id,status,origin_lat")
    assert {line.split(",")[0] for line in lines[1:] if line} == placed
    _, rows, _ = await api.call("GET", "/deliveries?limit=2", headers={"Accept": "application/x-ndjson"})
    assert len([msgspec.json.decode(line) for line in rows.splitlines()]) == 2


async def test_cancel_ends_an_order_once_and_not_when_it_is_on_board(api: Api) -> None:
    placed = (await api.place())["id"]
    status, body, _ = await api.call("POST", f"/deliveries/{placed}/cancel")
    assert (status, body["status"]) == (200, "cancelled")
    status, again, _ = await api.call("POST", f"/deliveries/{placed}/cancel")
    assert (status, again) == (200, body)
    flying = (await api.place())["id"]
    await api.move(flying, DeliveryStatus.ASSIGNED, drone_id="d1")
    await api.move(flying, DeliveryStatus.IN_PROGRESS)
    status, body, _ = await api.call("POST", f"/deliveries/{flying}/cancel")
    assert (status, body["status_now"]) == (409, "in-progress")


async def test_priority_and_deadline_change_while_it_is_open(api: Api) -> None:
    placed = (await api.place())["id"]
    status, body, _ = await api.call("POST", f"/deliveries/{placed}/priority", json={"priority": 9})
    assert (status, body["priority"]) == (200, 9)
    status, body, _ = await api.call(
        "POST", f"/deliveries/{placed}/deadline", json={"deadline": "2999-01-01T00:00:00+01:00"}
    )
    assert (status, body["deadline"]) == (200, "2998-12-31T23:00:00.000Z")
    status, body, _ = await api.call("POST", f"/deliveries/{placed}/deadline", json={"deadline": None})
    assert (status, body["deadline"]) == (200, None)
    await api.call("POST", f"/deliveries/{placed}/cancel")
    status, _, _ = await api.call("POST", f"/deliveries/{placed}/priority", json={"priority": 1})
    assert status == 409


async def test_zones_are_replaced_by_the_operator_and_by_version(api: Api) -> None:
    status, city, headers = await api.call("GET", "/zones")
    assert (status, headers["etag"]) == (200, '"0"')
    city["features"] = [one for one in city["features"] if one["properties"]["kind"] != "no_fly"]
    status, _, headers = await api.call("PUT", "/zones", json=city, headers=OPERATOR | {"If-Match": '"0"'})
    assert status == 200
    status, body, _ = await api.call("PUT", "/zones", json=city, headers=OPERATOR | {"If-Match": '"0"'})
    assert (status, body["field"]) == (412, "If-Match")
    vatican = ORDER | {"destination": {"lat": 41.9035, "lon": 12.453}}
    status, _, _ = await api.call("POST", "/deliveries", json=vatican)
    assert status == 201
    status, body, _ = await api.call(
        "PUT", "/zones", json={"type": "FeatureCollection", "features": []}, headers=OPERATOR
    )
    assert (status, body["field"]) == (422, "features")


async def test_who_replaces_the_zones_is_answered_what_he_stored_whoever_came_after_him(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (dict(default_city().document) | {"name": name} for name in ("First", "Second"))
    put, etags = api.gateway.kv.put, list[str]()

    async def overtaken(key: str, value: bytes, **options: Any) -> Version:
        version = await put(key, value, **options)
        if key == ZONES_KEY and not etags:
            etags.append("")
            _, _, headers = await api.call("PUT", "/zones", json=second, headers=OPERATOR)
            etags[0] = headers["etag"]
        return version

    monkeypatch.setattr(api.gateway.kv, "put", overtaken)
    status, body, headers = await api.call("PUT", "/zones", json=first, headers=OPERATOR)
    assert (status, body["name"]) == (200, "First")
    assert headers["etag"] != etags[0]
    assert f'"{api.gateway.feed.board.zones_etag}"' == etags[0]


async def test_why_answers_without_a_dispatcher_only_for_what_is_decided(api: Api) -> None:
    placed = (await api.place())["id"]
    status, _, headers = await api.call("GET", f"/deliveries/{placed}/why")
    assert (status, "retry-after" in headers) == (503, True)
    await api.call("POST", f"/deliveries/{placed}/cancel")
    status, body, _ = await api.call("GET", f"/deliveries/{placed}/why")
    assert (status, body["status"]) == (200, "cancelled")
    assert "cancelled by request" in body["summary"]
