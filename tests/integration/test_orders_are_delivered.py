from __future__ import annotations

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from scripts.local import traffic

from dronedispatch.fleet.city import default_city
from support import order_checks
from support.live_orders import becomes_delivered, nobody_is_idly_busy, placed
from support.live_system import Events, LiveSystem, eventually

pytestmark = pytest.mark.real

ORDERS = 200
HEAVY_KG = 8.0


def test_an_order_goes_through_every_state(healthy: LiveSystem) -> None:
    delivery_id = placed(healthy, seed=11)
    becomes_delivered(healthy, delivery_id)
    delivery = healthy.get(f"/deliveries/{delivery_id}")
    assert [line["to"] for line in delivery["history"]] == ["pending", "assigned", "in-progress", "delivered"]
    assert all(line["cause"] for line in delivery["history"])
    assert order_checks.wrong_lives([delivery]) == []


def test_200_orders_are_all_delivered_and_no_drone_is_shared_or_stranded(healthy: LiveSystem) -> None:
    rng = random.Random(7)
    bodies = [traffic.order(default_city(), rng) for _ in range(ORDERS)]
    with Events(healthy) as events:
        with ThreadPoolExecutor(4) as pool:
            each = pool.map(healthy.place_all, [bodies[n::4] for n in range(4)])
            ours = {delivery_id for ids in each for delivery_id in ids}
        assert len(ours) == ORDERS

        def all_delivered() -> bool:
            status = {one["id"]: one["status"] for one in healthy.deliveries()}
            return all(status[delivery_id] == "delivered" for delivery_id in ours)

        def all_told() -> bool:
            return {one["delivery_id"] for one in events.deliveries if one["status"] == "delivered"} >= ours

        eventually(all_delivered, f"all {ORDERS} orders are delivered", 150)
        eventually(all_told, "every delivery was told as an event", 10)
    stored = healthy.stored("delivery:")
    records = [stored[f"delivery:{delivery_id}"] for delivery_id in ours]
    assert order_checks.wrong_lives(records) == []
    assert order_checks.shared_drones(stored.values()) == []
    assert order_checks.shared_drones_in_events(events.deliveries) == []
    assert len({one["id"] for one in events.sightings}) == healthy.fleet_size
    assert order_checks.flat_batteries(events.sightings) == []
    assert order_checks.flat_batteries(healthy.stored("telemetry:").values()) == []


def test_no_drone_is_busy_without_a_delivery_when_all_is_done(healthy: LiveSystem) -> None:
    nobody_is_idly_busy(healthy)


def test_a_repeated_order_with_its_key_is_the_same_order(healthy: LiveSystem) -> None:
    body = traffic.order(default_city(), random.Random(5))
    key = {"Idempotency-Key": "integration-once"}
    with contextlib.closing(healthy.caller()) as caller:
        bodies = (body, body, {**body, "weight": 2.75})
        first, again, other = (caller.insist("POST", "/deliveries", one, key) for one in bodies)
    assert (first.status, again.status, other.status) == (201, 201, 422)
    assert first.document["id"] == again.document["id"]


def test_why_an_order_waits_is_told_drone_by_drone_through_the_door(healthy: LiveSystem) -> None:
    # Only the 24 heavy ones carry so much: some orders wait, however slowly they are placed.
    heavy = healthy.place(150, seed=13, weight=HEAVY_KG)
    told: list[dict[str, Any]] = []

    def one_waits() -> bool:
        for delivery_id in reversed(heavy):
            answer = healthy.get(f"/deliveries/{delivery_id}/why")
            if answer["status"] == "pending" and answer["drones"]:
                told.append(answer)
        return bool(told)

    eventually(one_waits, "an order that waits is explained", 20)
    for answer in told:
        assert answer["delivery_id"] in heavy
        assert answer["summary"]
        assert len({one["drone_id"] for one in answer["drones"]}) == healthy.fleet_size
        assert all(one["reason"] for one in answer["drones"])
        assert all(one["pickup_in_s"] is not None for one in answer["drones"] if one["fits"])
