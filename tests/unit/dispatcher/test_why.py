"""An explanation says what the round does: held against a recomputation that shares no code with it."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.tuning import Policy, Tuning
from dronedispatch.dispatcher.core.why import DroneReason, Why, explain
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.fleet.positions import Point
from dronedispatch.testing.views import NOW_S, drone_at, order, world
from dronedispatch.testing.views import OPEN_SKY as CITY

LIMIT_KG = {"light": 3.0, "medium": 7.0, "heavy": 10.0}


def spot(rng: random.Random) -> Point:
    return Point(rng.uniform(-8000, 8000), rng.uniform(-8000, 8000))


def drone(number: int, rng: random.Random) -> DroneSnapshot:
    idle, asleep = DroneStatus.IDLE, [DroneStatus.INACTIVE, DroneStatus.RETIRING]
    return drone_at(
        f"d{number:02d}",
        spot(rng),
        status=rng.choice([idle, idle, *asleep]),
        type=rng.choice(list(DroneType)),
        battery_pct=rng.uniform(5, 100),
        ticks_missed=rng.choice([0, 0, 0, 0, 99]),
        decommissioned=rng.random() < 0.1,
        flying=rng.random() < 0.95,
    )


def an_order(name: str, rng: random.Random) -> DeliverySnapshot:
    ends, weight_kg = (spot(rng), spot(rng)), rng.uniform(0.2, 10)
    return order(name, *ends, weight_kg=weight_kg, created_s=NOW_S - rng.uniform(0, 600))


def world_of(seed: int, policy: Policy = Policy.LOOKAHEAD) -> World:
    rng = random.Random(seed)
    parts = [drone(n, rng) for n in range(12)], [an_order(f"o{n}", rng) for n in range(3)]
    return world(*parts[0], *parts[1], tuning=Tuning(policy=policy))


def explained(seen: World, order_id: str) -> Why:
    answer = explain(seen, NOW_S, order_id)
    assert answer is not None
    return answer


def away(a: Point, b: Point) -> float:
    return math.hypot(a[0] - b[0], a[1] - b[1])


def energy_margin(one: DroneSnapshot, wanted: DeliverySnapshot) -> float:
    """By the numbers of the world: 2 % a km, a tenth more at full load, 15 % of doubt, 5 % of reserve."""
    retreat = min(away(wanted.destination, point.at) for point in CITY.charge_points)
    load = 1.0 + 0.1 * wanted.weight_kg / LIMIT_KG[one.type.value]
    way_m = away(one.at, wanted.origin) + away(wanted.origin, wanted.destination) * load + retreat
    return one.battery_pct - 5.0 - way_m / 1000.0 * 2.0 * 1.15


def out_of_service(one: DroneSnapshot) -> bool:
    return (
        one.decommissioned
        or not one.flying
        or one.ticks_missed >= Tuning().silent_ticks
        or one.status is not DroneStatus.IDLE
    )


@pytest.mark.parametrize("policy", [Policy.LOOKAHEAD, Policy.MATCHING])
@pytest.mark.parametrize("seed", range(40))
def test_every_reason_agrees_with_an_independent_recomputation(seed: int, policy: Policy) -> None:
    seen = world_of(seed, policy)
    by_id = {one.id: one for one in seen.drones}
    for wanted in seen.deliveries:
        answer = explained(seen, wanted.id)
        assert {one.drone_id for one in answer.drones} == by_id.keys()
        wrong = [one for one in answer.drones if contradicts(one, by_id[one.drone_id], wanted, policy)]
        assert wrong == []


def contradicts(told: DroneReason, one: DroneSnapshot, wanted: DeliverySnapshot, policy: Policy) -> bool:
    if out_of_service(one):
        return told.fits or told.payload_margin_kg is not None
    payload, energy = LIMIT_KG[one.type.value] - wanted.weight_kg, energy_margin(one, wanted)
    if told.payload_margin_kg is None or told.energy_margin_pct is None:
        return True
    if abs(told.payload_margin_kg - payload) > 0.01 or abs(told.energy_margin_pct - energy) > 0.05:
        return True
    if payload < 0:
        return told.fits or "parcel" not in told.reason
    if energy < 0:
        return (told.fits and policy is Policy.MATCHING) or "battery" not in told.reason
    return not told.fits or told.pickup_in_s is None


@pytest.mark.parametrize("seed", range(40))
def test_the_summary_is_what_the_round_decides(seed: int) -> None:
    seen = world_of(seed)
    plan = plan_round(seen, NOW_S)
    taken = {assign.delivery_id: assign.drone_id for assign in plan.assigns}
    held = {hold.delivery_id: hold.reason for hold in plan.holds}
    for wanted in seen.deliveries:
        answer = explained(seen, wanted.id)
        assert answer.summary == held.get(wanted.id, f"{taken.get(wanted.id)} takes it in this round")
        chosen = [one.drone_id for one in answer.drones if one.reason.startswith("is chosen")]
        assert wanted.id in held or chosen == [taken.get(wanted.id)]


def test_an_order_that_nobody_carries_has_no_drone_that_fits() -> None:
    seen = world_of(1)
    light = tuple(one for one in seen.drones if one.type is DroneType.LIGHT)
    heaviest = max(seen.deliveries, key=lambda one: one.weight_kg)
    answer = explained(replace(seen, drones=light), heaviest.id)
    assert not any(one.fits for one in answer.drones)


def test_an_order_that_flies_names_its_drone_and_an_unknown_one_is_none() -> None:
    seen = world_of(1)
    flown = order("f", Point(0, 0), Point(1, 1), status=DeliveryStatus.IN_PROGRESS, drone_id="d01")
    assert "d01" in explained(replace(seen, deliveries=(flown,)), "f").summary
    assert explain(seen, NOW_S, "nowhere") is None
