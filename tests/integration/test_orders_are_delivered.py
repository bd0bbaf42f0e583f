from __future__ import annotations

import contextlib
import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from scripts.local import traffic

from dronedispatch.fleet.city import default_city
from support import order_checks
from support.live_system import Events, LiveSystem, eventually

pytestmark = pytest.mark.real

ORDERS = 200
HEAVY_KG = 8.0


def place(system: LiveSystem, bodies: list[dict[str, object]]) -> list[str]:
    """Place orders one after another over one connection; the ids that were answered."""
    with contextlib.closing(system.caller()) as caller:
        answers = [caller.insist("POST", "/deliveries", body) for body in bodies]
    assert {answer.status for answer in answers} == {201}, [a for a in answers if a.status != 201][:3]
    return [str(answer.document["id"]) for answer in answers]


def test_an_order_goes_through_every_state(healthy: LiveSystem) -> None:
    rng = random.Random(11)
    [delivery_id] = place(healthy, [traffic.order(default_city(), rng)])
    eventually(
        lambda: healthy.get(f"/deliveries/{delivery_id}")["status"] == "delivered", "it is delivered", 30
    )
    delivery = healthy.get(f"/deliveries/{delivery_id}")
    assert [line["to"] for line in delivery["history"]] == ["pending", "assigned", "in-progress", "delivered"]
    assert all(line["cause"] for line in delivery["history"])
    assert order_checks.wrong_lives([delivery]) == []


def test_200_orders_are_all_delivered_and_no_drone_is_shared_or_stranded(healthy: LiveSystem) -> None:
    rng = random.Random(7)
    bodies = [traffic.order(default_city(), rng) for _ in range(ORDERS)]
    with Events(healthy) as events:
        with ThreadPoolExecutor(4) as pool:
            placed = [
                delivery_id
                for ids in pool.map(lambda part: place(healthy, part), [bodies[n::4] for n in range(4)])
                for delivery_id in ids
            ]
        assert len(set(placed)) == ORDERS

        def all_delivered() -> bool:
            status = {one["id"]: one["status"] for one in healthy.deliveries()}
            return all(status[delivery_id] == "delivered" for delivery_id in placed)

        eventually(all_delivered, f"all {ORDERS} orders are delivered", 150)
        eventually(
            lambda: (
                {event["delivery_id"] for event in events.deliveries if event["status"] == "delivered"}
                >= set(placed)
            ),
            "every delivery was told as an event",
            10,
        )
    stored = healthy.stored("delivery:")
    records = [stored[f"delivery:{delivery_id}"] for delivery_id in placed]
    assert order_checks.wrong_lives(records) == []
    assert order_checks.shared_drones(stored.values()) == []
    assert order_checks.shared_drones_in_events(events.deliveries) == []
    assert len({one["id"] for one in events.sightings}) == healthy.fleet_size
    assert order_checks.flat_batteries(events.sightings) == []
    assert order_checks.flat_batteries(healthy.stored("telemetry:").values()) == []


def test_no_drone_is_busy_without_a_delivery_when_all_is_done(healthy: LiveSystem) -> None:
    eventually(
        lambda: not order_checks.idle_hands(healthy.stored("drone:").values()), "busy means a delivery", 20
    )


def test_a_repeated_order_with_its_key_is_the_same_order(healthy: LiveSystem) -> None:
    body = traffic.order(default_city(), random.Random(5))
    with contextlib.closing(healthy.caller()) as caller:
        first, again = (
            caller.insist("POST", "/deliveries", body, {"Idempotency-Key": "integration-once"})
            for _ in range(2)
        )
        other = caller.insist(
            "POST", "/deliveries", {**body, "weight": 2.75}, {"Idempotency-Key": "integration-once"}
        )
    assert (first.status, again.status, other.status) == (201, 201, 422)
    assert first.document["id"] == again.document["id"]


def test_why_an_order_waits_is_told_drone_by_drone_through_the_door(healthy: LiveSystem) -> None:
    rng = random.Random(13)
    # Only the 24 heavy ones carry so much: some orders wait, however slowly they are placed.
    placed = place(healthy, [traffic.order(default_city(), rng) | {"weight": HEAVY_KG} for _ in range(150)])
    told: list[dict[str, Any]] = []

    def one_waits() -> bool:
        for delivery_id in reversed(placed):
            answer = healthy.get(f"/deliveries/{delivery_id}/why")
            if answer["status"] == "pending" and answer["drones"]:
                told.append(answer)
        return bool(told)

    eventually(one_waits, "an order that waits is explained", 20)
    for answer in told:
        assert answer["delivery_id"] in placed
        assert answer["summary"]
        assert len({one["drone_id"] for one in answer["drones"]}) == healthy.fleet_size
        assert all(one["reason"] for one in answer["drones"])
        assert all(one["pickup_in_s"] is not None for one in answer["drones"] if one["fits"])
