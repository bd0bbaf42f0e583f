"""plan_round: what each picture of the world leads to, under every policy, in whatever order its parts come."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dronedispatch.dispatcher.core.plan import (
    Advance,
    Assign,
    Charge,
    Fail,
    Finish,
    Free,
    Plan,
    SetStatus,
    Undo,
)
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.tuning import Policy, Tuning
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.kv.version import Version
from dronedispatch.testing.views import NOW_S, drone_at, flying, km, order

CITY = default_city().open_sky()
NORTH_EAST = next(point for point in CITY.charge_points if point.id == "charge-north-east")
CALM = Tuning(autoscale=False)
D, A, P = DeliveryStatus.DELIVERED, DeliveryStatus.ASSIGNED, DeliveryStatus.PENDING
FLOWN = DeliveryStatus.IN_PROGRESS


def world(*parts: DroneSnapshot | DeliverySnapshot, tuning: Tuning = CALM) -> World:
    drones = tuple(part for part in parts if isinstance(part, DroneSnapshot))
    return World(
        drones, tuple(part for part in parts if isinstance(part, DeliverySnapshot)), CITY, tuning=tuning
    )


def plan(*parts: DroneSnapshot | DeliverySnapshot, tuning: Tuning = CALM) -> Plan:
    return plan_round(world(*parts, tuning=tuning), NOW_S)


def pairs(made: Plan) -> set[tuple[str, str]]:
    return {(assign.drone_id, assign.delivery_id) for assign in made.assigns}


def touched(made: Plan) -> list[str]:
    groups: tuple[tuple[Free | Charge | SetStatus | Assign | Finish, ...], ...]
    groups = (made.frees, made.charges, made.statuses, made.assigns, made.finishes)
    return [intent.drone_id for group in groups for intent in group]


def written(made: Plan) -> list[str]:
    groups: tuple[tuple[Advance | Fail | Undo | Finish | Assign, ...], ...]
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


CURES = [
    ("an intent without its delivery's write is finished", {}, {"status": P}, "finishes"),
    ("an intent on an older version is freed", {"delivery_version": "1.7"}, {"status": P}, "frees"),
    (
        "an intent with the parcel on board is finished",
        {"delivery_version": "1.7", "stops_done": 1},
        {"status": P},
        "finishes",
    ),
    (
        "a drone whose delivery is with another is freed",
        {},
        {"status": A, "drone_id": "e"},
        "frees",
    ),
    (
        "a drone whose delivery was cancelled is freed",
        {},
        {"status": DeliveryStatus.CANCELLED, "drone_id": "d"},
        "frees",
    ),
    (
        "a delivery whose drone is idle is pending again",
        {"status": DroneStatus.IDLE, "delivery_id": None},
        {"status": A, "drone_id": "d"},
        "undos",
    ),
    (
        "a parcel that nobody carries has failed",
        {"status": DroneStatus.IDLE, "delivery_id": None},
        {"status": FLOWN, "drone_id": "d"},
        "fails",
    ),
    (
        "a silent drone loses what it has not picked up",
        {"ticks_missed": 3},
        {"status": A, "drone_id": "d"},
        "undos",
    ),
    (
        "a parcel on board of a silent drone has failed",
        {"ticks_missed": 3, "stops_done": 1},
        {"status": FLOWN, "drone_id": "d"},
        "fails",
    ),
]


@pytest.mark.parametrize(("rule", "drone", "delivery", "cure"), CURES, ids=[cure[0] for cure in CURES])
def test_each_broken_pair_has_one_cure(
    rule: str, drone: dict[str, object], delivery: dict[str, object], cure: str
) -> None:
    other = flying("e", "o", km(9, 9)) if delivery.get("drone_id") == "e" else drone_at("e", km(9, 9))
    held = replace(flying("d", "o", km(5, 5)), **drone)  # type: ignore[arg-type]
    made = plan(held, other, order("o", km(-5, -5), km(3, 3), **delivery))
    cures = {name: len(getattr(made, name)) for name in ("finishes", "frees", "undos", "fails")}
    assert cures[cure] == 1, rule
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
def test_a_drone_that_cannot_gets_no_order_under_any_policy(
    policy: Policy, cannot: dict[str, object]
) -> None:
    drone = replace(drone_at("d", km(1, 1)), **cannot)  # type: ignore[arg-type]
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
    enough = 5.0 + 2.0 * 1.15 * (
        3.0 + 4.0 * (1 + 0.1 / 10)
    )  # reserve, fetch, carry; it ends at the charge point
    far, near = NORTH_EAST.at, km(NORTH_EAST.at.x_m / 1000 - 4, NORTH_EAST.at.y_m / 1000)
    start = km(near.x_m / 1000 - 3, near.y_m / 1000)
    assert not plan(drone_at("d", start, battery_pct=enough - 0.1), order("o", near, far)).assigns
    assert plan(drone_at("d", start, battery_pct=enough + 0.1), order("o", near, far)).assigns


def test_an_idle_drone_charges_when_nothing_waits() -> None:
    made = plan(drone_at("d", km(4, 4), battery_pct=80.0))
    assert [(charge.drone_id, charge.charge_point) for charge in made.charges] == [("d", "charge-north-east")]


def test_a_charging_drone_leaves_early_for_an_order_while_the_city_is_quiet() -> None:
    plugged = drone_at(
        "d",
        NORTH_EAST.at,
        status=DroneStatus.CHARGING,
        station=NORTH_EAST.id,
        bound_for=NORTH_EAST.id,
        stops=1,
        battery_pct=60.0,
    )
    rest = [drone_at(f"x{i}", km(-9, -9), type=DroneType.LIGHT) for i in range(8)]
    made = plan(plugged, *rest, order("o", km(5, 4), km(4, 4), weight_kg=9.0))
    assert pairs(made) == {("d", "o")}


def test_a_charging_drone_charges_up_while_orders_wait() -> None:
    plugged = drone_at(
        "d",
        NORTH_EAST.at,
        status=DroneStatus.CHARGING,
        station=NORTH_EAST.id,
        bound_for=NORTH_EAST.id,
        stops=1,
        battery_pct=60.0,
    )
    waiting = [order(f"o{i}", km(5, 4 + i / 9), km(-4, 4), weight_kg=9.0) for i in range(4)]
    made = plan(plugged, *waiting)
    assert not made.assigns
    assert "d" in {hold.drone_id for hold in made.holds}


def test_drones_are_sent_to_the_charge_point_where_they_find_a_place() -> None:
    tight = replace(
        world(*[drone_at(f"d{i}", km(0.5, 0.5), battery_pct=50.0) for i in range(4)]),
        city=CITY.with_capacity(1),
    )
    points = [charge.charge_point for charge in plan_round(tight, NOW_S).charges]
    assert sorted(points) == sorted(point.id for point in CITY.charge_points)


def test_a_charged_drone_is_idle_again() -> None:
    full = drone_at(
        "d", NORTH_EAST.at, status=DroneStatus.CHARGING, station=NORTH_EAST.id, bound_for=NORTH_EAST.id
    )
    assert [free.cause for free in plan(replace(full, stops=1, stops_done=1)).frees] == ["charged"]


def swap_world(**changes: object) -> tuple[DroneSnapshot | DeliverySnapshot, ...]:
    held = order("o", km(8, 8), km(8, 5), status=A, drone_id="far", **changes)
    return flying("far", "o", km(-8, -8)), drone_at("near", km(8, 7)), held


def test_an_order_goes_to_a_drone_that_has_come_free_next_to_it() -> None:
    made = plan(*swap_world())
    assert [(undo.delivery_id, undo.drone_id) for undo in made.undos] == [("o", "far")]
    assert [(free.drone_id, free.after_delivery) for free in made.frees] == [("far", "o")]
    assert made.again
    assert not plan_round(replace(world(*swap_world()), lag_s=1_000.0), NOW_S).undos  # rounds are that slow


def test_an_order_that_has_moved_often_moves_no_more() -> None:
    assert not plan(*swap_world(undone=CALM.swaps_max)).undos


def test_an_order_whose_drone_is_nearly_there_is_not_swapped() -> None:
    close = flying("far", "o", km(8, 7.99)), drone_at("near", km(8, 8))
    assert not plan(*close, order("o", km(8, 8), km(8, 5), status=A, drone_id="far")).undos


def test_a_gain_below_the_price_of_a_swap_changes_nothing() -> None:
    made = plan(
        flying("far", "o", km(8, 6)),
        drone_at("near", km(8, 6.3)),
        order("o", km(8, 8), km(8, 5), status=A, drone_id="far"),
    )
    assert not made.undos


def test_of_two_equal_orders_the_older_and_the_more_urgent_one_is_served() -> None:
    drone = drone_at("d", km(0, 0))
    old = order("old", km(1, 0), km(4, 0), created_s=NOW_S - 7200)
    assert pairs(plan(drone, old, order("new", km(0.9, 0), km(4, 0)))) == {("d", "old")}
    urgent = order("urgent", km(1, 0), km(4, 0), priority=9)
    assert pairs(plan(drone, urgent, order("any", km(0.9, 0), km(4, 0)))) == {("d", "urgent")}
    due = order("due", km(1, 0), km(4, 0), deadline_s=NOW_S + 600)
    assert pairs(plan(drone, due, order("any", km(0.9, 0), km(4, 0)))) == {("d", "due")}


# -- service --------------------------------------------------------------------------------------------------------------


def test_a_decommissioned_drone_finishes_its_delivery_and_then_retires() -> None:
    carrying = replace(flying("d", "o", km(1, 1), done=1), decommissioned=True)
    assert plan(carrying, order("o", km(1, 1), km(3, 3), status=FLOWN, drone_id="d")).writes == 0
    made = plan(drone_at("d", km(1, 1), decommissioned=True))
    assert [(status.drone_id, status.to) for status in made.statuses] == [("d", DroneStatus.RETIRING)]


def test_a_backlog_wakes_its_class_and_the_next_heavier_one_when_that_is_not_enough() -> None:
    asleep = [
        drone_at(f"{kind}{i}", km(i, 0), type=kind, status=DroneStatus.INACTIVE)
        for kind in DroneType
        for i in range(2)
    ]
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
    for i in range(30):
        at, status = (
            km(rng.uniform(-9, 9), rng.uniform(-9, 9)),
            rng.choice([P, A, FLOWN, DeliveryStatus.CANCELLED]),
        )
        ends = km(rng.uniform(-9, 9), rng.uniform(-9, 9)), km(rng.uniform(-9, 9), rng.uniform(-9, 9))
        name = f"d{rng.randrange(30):02d}" if status is not P else None
        made_s = NOW_S - rng.uniform(0, 4000)
        deliveries.append(
            order(
                f"o{i:02d}",
                *ends,
                status=status,
                drone_id=name,
                created_s=made_s,
                weight_kg=rng.uniform(0.2, 10),
            )
        )
        kind = {
            "type": rng.choice(list(DroneType)),
            "battery_pct": rng.uniform(5, 100),
            "version": Version(1, i + 1),
        }
        busy = flying(f"d{i:02d}", f"o{rng.randrange(32):02d}", at, done=rng.randrange(3), **kind)
        idle = drone_at(f"d{i:02d}", at, status=rng.choice(list(DroneStatus)), **kind)
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
