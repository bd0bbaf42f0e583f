"""plan_round: what each picture of the world leads to, under every policy, in whatever order its parts come."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.tuning import Policy, Tuning
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.fleet.positions import Point
from dronedispatch.kv.version import Version
from dronedispatch.testing.views import CALM, NOW_S, drone_at, flying, km, order, plan
from dronedispatch.testing.views import OPEN_SKY as CITY

NORTH_EAST = next(point for point in CITY.charge_points if point.id == "charge-north-east")
D, A, P = DeliveryStatus.DELIVERED, DeliveryStatus.ASSIGNED, DeliveryStatus.PENDING
FLOWN = DeliveryStatus.IN_PROGRESS
FAR, NEAR = km(-8, -8), km(8, 7)


def pairs(made: Plan) -> set[tuple[str, str]]:
    return {(assign.drone_id, assign.delivery_id) for assign in made.assigns}


def touched(made: Plan) -> list[str]:
    groups = (made.frees, made.charges, made.statuses, made.assigns, made.finishes)
    return [intent.drone_id for group in groups for intent in group]


def written(made: Plan) -> list[str]:
    groups = (made.advances, made.fails, made.undos, made.finishes, made.assigns)
    return [intent.delivery_id for group in groups for intent in group]


# -- advance and reconcile ------------------------------------------------------------------------------------------


def test_a_drone_at_the_origin_has_picked_up() -> None:
    made = plan(flying("d", "o", km(1, 1), done=1), order("o", km(1, 1), km(3, 3), status=A, drone_id="d"))
    assert [(advance.delivery_id, advance.to) for advance in made.advances] == [("o", FLOWN)]
    assert not made.frees


def test_a_drone_at_the_destination_has_delivered_and_is_freed_after_that_is_written() -> None:
    made = plan(
        flying("d", "o", km(3, 3), done=2), order("o", km(1, 1), km(3, 3), status=FLOWN, drone_id="d")
    )
    assert [(advance.delivery_id, advance.to) for advance in made.advances] == [("o", D)]
    assert [(free.drone_id, free.after_delivery) for free in made.frees] == [("d", "o")]
    assert made.again


def test_stops_done_of_older_orders_move_nothing() -> None:
    stale = flying("d", "o", km(1, 1), done=2, orders_seq=5, seen_seq=4)
    assert not plan(stale, order("o", km(8, 8), km(3, 3), status=A, drone_id="d")).advances


IDLE = {"status": DroneStatus.IDLE, "delivery_id": None}
CURES = {
    "an intent without its delivery's write is finished": ({}, {"status": P}, "finishes"),
    "an intent on an older version is freed": ({"delivery_version": "1.7"}, {"status": P}, "frees"),
    "an intent with the parcel on board is finished": (
        {"delivery_version": "1.7", "stops_done": 1},
        {"status": P},
        "finishes",
    ),
    "a drone whose delivery is with another is freed": ({}, {"status": A, "drone_id": "e"}, "frees"),
    "a drone whose delivery was cancelled is freed": ({}, {"status": DeliveryStatus.CANCELLED}, "frees"),
    "a delivery whose drone is idle is pending again": (IDLE, {"status": A}, "undos"),
    "a parcel that nobody carries has failed": (IDLE, {"status": FLOWN}, "fails"),
    "a silent drone loses what it has not picked up": ({"ticks_missed": 3}, {"status": A}, "undos"),
    "a parcel on board of a silent drone has failed": (
        {"ticks_missed": 3, "stops_done": 1},
        {"status": FLOWN},
        "fails",
    ),
}


@pytest.mark.parametrize(("drone", "delivery", "cure"), CURES.values(), ids=CURES)
def test_each_broken_pair_has_one_cure(drone: dict[str, Any], delivery: dict[str, Any], cure: str) -> None:
    holder = None if delivery["status"] is P else delivery.get("drone_id", "d")
    other = flying("e", "o", km(9, 9)) if holder == "e" else drone_at("e", km(9, 9))
    held = replace(flying("d", "o", km(5, 5)), **drone)
    made = plan(held, other, order("o", km(-5, -5), km(3, 3), **{"drone_id": holder, **delivery}))
    cures = {name: len(getattr(made, name)) for name in ("finishes", "frees", "undos", "fails")}
    assert cures[cure] == 1
    assert len(touched(made)) == len(set(touched(made)))


def test_a_busy_drone_without_a_delivery_is_freed() -> None:
    made = plan(replace(flying("d", "o", km(0, 0)), delivery_id=None), flying("e", "gone", km(0, 0)))
    assert {free.drone_id for free in made.frees} == {"d", "e"}


def test_a_whole_pair_is_left_alone() -> None:
    made = plan(flying("d", "o", km(-4, -5)), order("o", km(-5, -5), km(3, 3), status=A, drone_id="d"))
    assert made.writes == 0


# -- who may take an order --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize(
    "cannot",
    [
        {"status": DroneStatus.INACTIVE, "flying": False},
        {"status": DroneStatus.RETIRING, "flying": False},
        {"decommissioned": True},
        {"ticks_missed": 3},
        {"flying": False},
        {"type": DroneType.LIGHT},
        {"battery_pct": 9.0},
    ],
    ids=str,
)
def test_a_drone_that_cannot_gets_no_order_under_any_policy(policy: Policy, cannot: dict[str, Any]) -> None:
    drone = drone_at("d", km(1, 1), **cannot)
    made = plan(drone, order("o", km(1, 2), km(3, 3), weight_kg=9.0), tuning=replace(CALM, policy=policy))
    assert not made.assigns
    assert [hold.delivery_id for hold in made.holds] == ["o"]


@pytest.mark.parametrize("policy", list(Policy))
def test_a_drone_that_can_gets_the_order_under_every_policy(policy: Policy) -> None:
    made = plan(
        drone_at("d", km(1, 1)),
        order("o", km(1, 2), km(3, 3), weight_kg=9.0),
        tuning=replace(CALM, policy=policy),
    )
    assert pairs(made) == {("d", "o")}


def test_greedy_takes_the_exact_class_only_and_nearest_does_not() -> None:
    parts = drone_at("d", km(1, 1)), order("o", km(1, 2), km(3, 3), weight_kg=1.0)
    assert not plan(*parts, tuning=replace(CALM, policy=Policy.GREEDY)).assigns
    assert plan(*parts, tuning=replace(CALM, policy=Policy.NEAREST)).assigns


def test_matching_serves_both_where_nearest_first_sends_one_across_the_city() -> None:
    parts = (
        drone_at("a", km(0, 0)),
        drone_at("b", km(6, 0)),
        order("o1", km(2, 0), km(2, 3), created_s=NOW_S - 2),
        order("o2", km(-1, 0), km(-1, 3), created_s=NOW_S - 1),
    )
    assert pairs(plan(*parts, tuning=replace(CALM, policy=Policy.NEAREST))) == {("a", "o1"), ("b", "o2")}
    assert pairs(plan(*parts, tuning=replace(CALM, policy=Policy.MATCHING))) == {("b", "o1"), ("a", "o2")}
    assert pairs(plan(*parts)) == {("b", "o1"), ("a", "o2")}


# -- look-ahead, charging, swaps ----------------------------------------------------------------------------------------


def test_no_drone_is_sent_where_it_could_not_return_from_to_a_charge_point() -> None:
    # reserve, fetch, carry; it ends at the charge point
    enough = 5.0 + 2.0 * 1.15 * (3.0 + 4.0 * (1 + 0.1 / 10))
    far, near = NORTH_EAST.at, km(NORTH_EAST.at.x_m / 1000 - 4, NORTH_EAST.at.y_m / 1000)
    start = km(near.x_m / 1000 - 3, near.y_m / 1000)
    assert not plan(drone_at("d", start, battery_pct=enough - 0.1), order("o", near, far)).assigns
    assert plan(drone_at("d", start, battery_pct=enough + 0.1), order("o", near, far)).assigns


def test_an_idle_drone_charges_when_nothing_waits() -> None:
    made = plan(drone_at("d", km(4, 4), battery_pct=80.0))
    assert [(charge.drone_id, charge.charge_point) for charge in made.charges] == [("d", "charge-north-east")]


def plugged(**changes: Any) -> DroneSnapshot:
    charging = {"status": DroneStatus.CHARGING, "station": NORTH_EAST.id, "bound_for": NORTH_EAST.id}
    return drone_at("d", NORTH_EAST.at, stops=1, **charging, **changes)


def test_a_charging_drone_leaves_early_for_an_order_while_the_city_is_quiet() -> None:
    rest = [drone_at(f"x{i}", km(-9, -9), type=DroneType.LIGHT) for i in range(8)]
    made = plan(plugged(battery_pct=60.0), *rest, order("o", km(5, 4), km(4, 4), weight_kg=9.0))
    assert pairs(made) == {("d", "o")}


def test_a_charging_drone_charges_up_while_orders_wait() -> None:
    waiting = [order(f"o{i}", km(5, 4 + i / 9), km(-4, 4), weight_kg=9.0) for i in range(4)]
    made = plan(plugged(battery_pct=60.0), *waiting)
    assert not made.assigns
    assert "d" in {hold.drone_id for hold in made.holds}


def test_drones_are_sent_to_the_charge_point_where_they_find_a_place() -> None:
    drones = [drone_at(f"d{i}", km(0.5, 0.5), battery_pct=50.0) for i in range(4)]
    points = [charge.charge_point for charge in plan(*drones, city=CITY.with_capacity(1)).charges]
    assert sorted(points) == sorted(point.id for point in CITY.charge_points)


def test_a_charged_drone_is_idle_again() -> None:
    assert [free.cause for free in plan(plugged(stops_done=1)).frees] == ["charged"]


def swap_world(
    far: Point = FAR, near: Point = NEAR, **changes: Any
) -> list[DroneSnapshot | DeliverySnapshot]:
    held = order("o", km(8, 8), km(8, 5), status=A, drone_id="far", **changes)
    return [flying("far", "o", far), drone_at("near", near), held]


def test_an_order_goes_to_a_drone_that_has_come_free_next_to_it() -> None:
    made = plan(*swap_world())
    assert [(undo.delivery_id, undo.drone_id) for undo in made.undos] == [("o", "far")]
    assert [(free.drone_id, free.after_delivery) for free in made.frees] == [("far", "o")]
    assert made.again


@pytest.mark.parametrize(
    ("parts", "lag_s"),
    [
        (swap_world(), 1_000.0),
        (swap_world(undone=CALM.swaps_max), 0.0),
        (swap_world(far=km(8, 7.99), near=km(8, 8)), 0.0),
        (swap_world(far=km(8, 6), near=km(8, 6.3)), 0.0),
    ],
    ids=["rounds are slow", "it has moved often", "its drone is nearly there", "the gain is below the price"],
)
def test_an_order_that_a_swap_would_not_serve_stays_with_its_drone(
    parts: list[DroneSnapshot | DeliverySnapshot], lag_s: float
) -> None:
    assert not plan(*parts, lag_s=lag_s).undos


def test_of_two_equal_orders_the_older_and_the_more_urgent_one_is_served() -> None:
    drone = drone_at("d", km(0, 0))
    anywhere = km(1, 0), km(4, 0)
    for served in (
        order("old", *anywhere, created_s=NOW_S - 7200),
        order("urgent", *anywhere, priority=9),
        order("due", *anywhere, deadline_s=NOW_S + 600),
    ):
        assert pairs(plan(drone, served, order("any", km(0.9, 0), km(4, 0)))) == {("d", served.id)}


# -- service --------------------------------------------------------------------------------------------------------------


def test_a_decommissioned_drone_finishes_its_delivery_and_then_retires() -> None:
    carrying = replace(flying("d", "o", km(1, 1), done=1), decommissioned=True)
    assert plan(carrying, order("o", km(1, 1), km(3, 3), status=FLOWN, drone_id="d")).writes == 0
    made = plan(drone_at("d", km(1, 1), decommissioned=True))
    assert [(status.drone_id, status.to) for status in made.statuses] == [("d", DroneStatus.RETIRING)]


def test_a_backlog_wakes_its_class_and_the_next_heavier_one_when_that_is_not_enough() -> None:
    each = [(kind, i) for kind in DroneType for i in range(2)]
    asleep = [drone_at(f"{kind}{i}", km(i, 0), type=kind, status=DroneStatus.INACTIVE) for kind, i in each]
    waiting = [order(f"o{i}", km(i, 3), km(i, 5), weight_kg=1.0) for i in range(3)]
    made = plan(*asleep, *waiting, tuning=Tuning(ready_share=0.0))
    woken = sorted(status.drone_id for status in made.statuses if status.to is DroneStatus.IDLE)
    assert woken == ["light0", "light1", "medium0", "medium1"] or woken == ["light0", "light1", "medium0"]


def test_who_was_idle_for_long_without_need_retires_and_a_share_stays_ready() -> None:
    rested = [drone_at(f"d{i}", km(i, 0), status_s=NOW_S - 10_000) for i in range(8)]
    made = plan(*rested, tuning=Tuning(ready_share=0.25))
    assert len([status for status in made.statuses if status.to is DroneStatus.RETIRING]) == 6


# -- as a whole -------------------------------------------------------------------------------------------------------------


def crowd(seed: int) -> tuple[list[DroneSnapshot], list[DeliverySnapshot]]:
    rng = random.Random(seed)
    fleet: list[DroneSnapshot] = []
    deliveries: list[DeliverySnapshot] = []

    def place() -> Point:
        return km(rng.uniform(-9, 9), rng.uniform(-9, 9))

    for i in range(30):
        at, status = place(), rng.choice([P, A, FLOWN, DeliveryStatus.CANCELLED])
        ends = place(), place()
        name = f"d{rng.randrange(30):02d}" if status is not P else None
        made_s = NOW_S - rng.uniform(0, 4000)
        placed = order(f"o{i:02d}", *ends, status=status, drone_id=name, created_s=made_s)
        deliveries.append(replace(placed, weight_kg=rng.uniform(0.2, 10)))
        kind, battery_pct = rng.choice(list(DroneType)), rng.uniform(5, 100)
        kept = {"type": kind, "battery_pct": battery_pct, "version": Version(1, i + 1)}
        busy = flying(f"d{i:02d}", f"o{rng.randrange(32):02d}", at, done=rng.randrange(3), **kept)
        idle = drone_at(f"d{i:02d}", at, status=rng.choice(list(DroneStatus)), **kept)
        fleet.append(rng.choice([busy, replace(idle, delivery_id=None, ticks_missed=rng.choice([0, 0, 5]))]))
    return fleet, deliveries


@pytest.mark.parametrize("policy", list(Policy))
@pytest.mark.parametrize("seed", range(6))
def test_no_drone_and_no_delivery_has_two_intents_and_the_order_of_the_input_means_nothing(
    seed: int, policy: Policy
) -> None:
    fleet, deliveries = crowd(seed)
    tuning = Tuning(policy=policy)
    made = plan(*fleet, *deliveries, tuning=tuning)
    assert len(touched(made)) == len(set(touched(made)))
    assert len(written(made)) == len(set(written(made)))
    random.Random(seed).shuffle(fleet)
    random.Random(seed).shuffle(deliveries)
    assert plan(*fleet, *deliveries, tuning=tuning) == made


def test_a_plan_says_what_it_does_in_a_sentence() -> None:
    assert str(Plan()) == "nothing to do"
    assert str(plan(drone_at("d", km(1, 1)), order("o", km(1, 2), km(3, 3)))) == "assigned 1"
