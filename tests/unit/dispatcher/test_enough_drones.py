"""While drones that can fly an order stand by, asleep or behind empty ones, none waits for one that charges or is busy."""

from __future__ import annotations

from collections import Counter

import pytest

from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.testing.views import drone_at, km, order, plan

MANY = 25


def orders(count: int = MANY, **changes: object) -> list[DeliverySnapshot]:
    return [order(f"order-{n}", km(0.1 * n, 0), km(4, 4), **changes) for n in range(count)]


def test_charged_drones_behind_many_empty_ones_are_seen() -> None:
    near = [drone_at(f"empty-{n}", km(0.02 * n, 0.5), battery_pct=12.0) for n in range(120)]
    behind = [drone_at(f"full-{n}", km(0.03 * n, -5)) for n in range(80)]
    assert len(near + behind) * MANY > 4_000  # or all pairs would be looked at
    made = plan(*near, *behind, *orders())
    assert len(made.assigns) == MANY
    assert {assign.drone_id.partition("-")[0] for assign in made.assigns} == {"full"}


def charging(count: int) -> list[DroneSnapshot]:
    state = {"status": DroneStatus.CHARGING, "station": "x", "until_pct": 100.0, "battery_pct": 10.0}
    return [drone_at(f"charging-{n}", km(3, 3), type=DroneType.LIGHT, **state) for n in range(count)]


def asleep(kind: DroneType, count: int) -> list[DroneSnapshot]:
    return [drone_at(f"{kind}-{n}", km(1, n), type=kind, status=DroneStatus.INACTIVE) for n in range(count)]


@pytest.mark.parametrize(
    ("sleepers", "idle", "woken"),
    [
        ([(DroneType.LIGHT, 9)], 0, {"light": 5}),
        ([(DroneType.LIGHT, 9)], 3, {"light": 2}),
        ([(DroneType.LIGHT, 2), (DroneType.HEAVY, 9)], 0, {"light": 2, "heavy": 3}),
        ([(DroneType.LIGHT, 9)], 5, {}),
    ],
)
def test_sleepers_are_woken_for_orders_that_no_idle_drone_takes_however_many_charge(
    sleepers: list[tuple[DroneType, int]], idle: int, woken: dict[str, int]
) -> None:
    drones = charging(30) + [drone_at(f"idle-{n}", km(2, n), type=DroneType.LIGHT) for n in range(idle)]
    drones += [drone for kind, count in sleepers for drone in asleep(kind, count)]
    made = plan(*drones, *orders(5), tuning=Tuning(ready_share=0.0))
    told = [status.drone_id for status in made.statuses if status.to is DroneStatus.IDLE]
    assert Counter(name.partition("-")[0] for name in told) == Counter(woken)
