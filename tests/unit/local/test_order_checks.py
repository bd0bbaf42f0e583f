"""The judge of the integration tests finds what is planted, and acquits what is right."""

from __future__ import annotations

from typing import Any

import pytest

from support import order_checks


def at(second: int) -> str:
    return f"2026-01-01T00:00:{second:02}.000Z"


def delivered(name: str, drone: str, begin: int) -> dict[str, Any]:
    moves = [
        (None, "pending"),
        ("pending", "assigned"),
        ("assigned", "in-progress"),
        ("in-progress", "delivered"),
    ]
    history = [
        {"from": source, "to": to, "at": at(begin + n), "drone_id": drone, "cause": "x"}
        for n, (source, to) in enumerate(moves)
    ]
    return {
        "id": name,
        "status": "delivered",
        "created_at": at(begin),
        "assigned_at": at(begin + 1),
        "picked_up_at": at(begin + 2),
        "delivered_at": at(begin + 3),
        "history": history,
    }


def event(seq: int, delivery: str, status: str, drone: str | None, term: int = 1) -> dict[str, Any]:
    return {"term": term, "seq": seq, "delivery_id": delivery, "status": status, "drone_id": drone}


def test_two_deliveries_one_after_the_other_on_one_drone_are_right() -> None:
    both = [delivered("a", "d1", 0), delivered("b", "d1", 2)]
    assert order_checks.wrong_lives(both) == []
    assert order_checks.shared_drones(both) == []


def test_two_deliveries_at_once_on_one_drone_are_found() -> None:
    assert order_checks.shared_drones([delivered("a", "d1", 0), delivered("b", "d1", 1)]) == [
        "d1 held a and b"
    ]
    assert order_checks.shared_drones([delivered("a", "d1", 0), delivered("b", "d2", 1)]) == []


def test_a_delivery_that_is_still_held_excludes_every_later_one() -> None:
    held = delivered("a", "d1", 0)
    held["history"] = held["history"][:2]
    assert order_checks.shared_drones([held, delivered("b", "d1", 30)]) == ["d1 held a and b"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: one.update(status="in-progress"),
        lambda one: one.update(picked_up_at=None),
        lambda one: one.update(assigned_at=at(40)),
        lambda one: one["history"].pop(1),
        lambda one: one["history"][2].update(at=at(59)),
        lambda one: one["history"].append(
            {"from": "delivered", "to": "pending", "at": at(50), "drone_id": None}
        ),
    ],
)
def test_a_life_that_cannot_be_is_found(spoil: Any) -> None:
    one = delivered("a", "d1", 0)
    spoil(one)
    assert order_checks.wrong_lives([one]) != []


def test_events_that_give_a_drone_twice_are_found_across_leaders_and_out_of_order() -> None:
    events = [event(1, "b", "assigned", "d1", term=2), event(7, "a", "assigned", "d1")]
    assert order_checks.shared_drones_in_events(events) == ["d1 was given b while it held a"]


def test_events_of_a_swap_before_pick_up_are_right() -> None:
    events = [
        event(1, "a", "assigned", "d1"),
        event(2, "a", "pending", None),
        event(3, "b", "assigned", "d1"),
        event(4, "a", "assigned", "d2"),
        event(5, "b", "in-progress", "d1"),
        event(6, "b", "delivered", "d1"),
        event(7, "c", "assigned", "d1"),
    ]
    assert order_checks.shared_drones_in_events(events) == []


def test_an_empty_battery_is_found_and_an_unknown_one_is_not_empty() -> None:
    drones: list[dict[str, Any]] = [
        {"id": "a", "battery_pct": 0.0},
        {"id": "b", "battery_pct": None},
        {"id": "c", "battery_pct": 0.1},
    ]
    assert order_checks.flat_batteries(drones) == ["a: 0.0 %"]


def test_busy_without_a_delivery_and_a_delivery_without_busy_are_found() -> None:
    drones: list[dict[str, Any]] = [
        {"id": "a", "status": "busy", "delivery_id": None},
        {"id": "b", "status": "idle", "delivery_id": "x"},
        {"id": "c", "status": "busy", "delivery_id": "y"},
        {"id": "d", "status": "charging", "delivery_id": None},
    ]
    assert order_checks.idle_hands(drones) == ["a is busy with None", "b is idle with x"]
