"""Searching deliveries by the beginning of an id and by time, and changing one only as it was read."""

from __future__ import annotations

import msgspec
import pytest
from ulid import ULID

from dronedispatch.fleet.deliveries import delivery_tags
from dronedispatch.fleet.documents import delivery_key, encode, stamp
from support.gateway_client import Api

BEGIN_S = 1_800_000_000.0


async def ordered_at(api: Api, seconds: int) -> str:
    """An order that was placed `seconds` after BEGIN_S; its id."""
    placed = await api.place()
    item, delivery = await api.delivery(placed["id"])
    at_s = BEGIN_S + seconds
    delivery = msgspec.structs.replace(delivery, id=str(ULID.from_timestamp(at_s)), created_at=stamp(at_s))
    await api.gateway.kv.put(delivery_key(delivery.id), encode(delivery), tags=delivery_tags(delivery))
    await api.gateway.kv.delete(item.key)
    return delivery.id


async def found(api: Api, **query: str) -> list[str]:
    status, body, _ = await api.call("GET", "/deliveries", params=query)
    assert status == 200, body
    return [one["id"] for one in body["deliveries"]]


async def test_orders_are_found_by_the_time_they_were_placed_at_its_ends_included(api: Api) -> None:
    ids = [await ordered_at(api, seconds) for seconds in (0, 10, 20, 30)]
    window = {"created_from": stamp(BEGIN_S + 10), "created_to": stamp(BEGIN_S + 20)}
    assert await found(api, **window) == [ids[2], ids[1]]
    assert await found(api, created_from=stamp(BEGIN_S + 21)) == [ids[3]]
    assert await found(api, created_to=stamp(BEGIN_S - 1)) == []
    assert await found(api, **window, status="delivered") == []


async def test_a_window_of_time_reads_no_order_beyond_it_and_its_pages_end(api: Api) -> None:
    ids = [await ordered_at(api, seconds) for seconds in range(0, 60, 10)]
    query = {"created_from": stamp(BEGIN_S + 20), "created_to": stamp(BEGIN_S + 40), "limit": "2"}
    status, first, _ = await api.call("GET", "/deliveries", params=query)
    assert (status, [one["id"] for one in first["deliveries"]]) == (200, [ids[4], ids[3]])
    status, second, _ = await api.call("GET", "/deliveries", params=query | {"after": first["next"]})
    assert (status, [one["id"] for one in second["deliveries"]], second["next"]) == (200, [ids[2]], None)


async def test_orders_are_found_by_the_beginning_of_their_id(api: Api) -> None:
    early, late = await ordered_at(api, 0), await ordered_at(api, 40 * 24 * 3600)
    shared = next(n for n in range(26) if early[n] != late[n])
    assert await found(api, id_prefix=early[: shared + 1]) == [early]
    assert await found(api, id_prefix=early[:shared]) == [late, early]
    assert await found(api, id_prefix=early) == [early]
    assert await found(api, id_prefix=late[: shared + 1], created_to=stamp(BEGIN_S)) == []


@pytest.mark.parametrize("change", ["cancel", "priority", "deadline"])
async def test_a_change_is_refused_for_a_record_that_is_not_the_one_that_was_read(
    api: Api, change: str
) -> None:
    placed = await api.place()
    path = f"/deliveries/{placed['id']}"
    bodies = {"cancel": {}, "priority": {"priority": 3}, "deadline": {"deadline": "2999-01-01T00:00:00Z"}}
    _, _, read = await api.call("GET", path)
    status, _, moved = await api.call("POST", f"{path}/priority", json={"priority": 1})
    assert (status, moved["etag"] != read["etag"]) == (200, True)
    stale = {"If-Match": read["etag"]}
    status, body, _ = await api.call("POST", f"{path}/{change}", json=bodies[change], headers=stale)
    assert (status, body["field"], body["status_now"]) == (412, "If-Match", "pending")
    assert body["type"] == "/problems/changed-since"
    _, _, now = await api.call("GET", path)
    assert now["etag"] == moved["etag"]
    several = {"If-Match": f'"0.0", {now["etag"]}'}
    status, _, _ = await api.call("POST", f"{path}/{change}", json=bodies[change], headers=several)
    assert status == 200
    _, _, last = await api.call("GET", path)
    weak = {"If-Match": f"W/{last['etag']}"}
    status, _, _ = await api.call("POST", f"{path}/{change}", json=bodies[change], headers=weak)
    assert status == 412
