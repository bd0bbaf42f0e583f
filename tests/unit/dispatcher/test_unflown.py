"""A drone that nobody flies at the moment: its drone_sim is missing, or holds no slot of the fleet."""

from __future__ import annotations

from dataclasses import replace

from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import UNFLOWN_TICKS, DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.testing.views import NOW_S, flying, km, order

A, FLOWN = DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS


def plan(drone: DroneSnapshot, delivery: DeliverySnapshot) -> Plan:
    city = default_city().open_sky()
    return plan_round(World((drone,), (delivery,), city, tuning=Tuning(autoscale=False)), NOW_S)


def test_a_parcel_whose_drone_nobody_flies_waits_until_somebody_does() -> None:
    unflown = replace(flying("d", "o", km(5, 5), done=1), ticks_missed=UNFLOWN_TICKS)
    made = plan(unflown, order("o", km(-5, -5), km(3, 3), status=FLOWN, drone_id="d"))
    assert not made.fails and not made.frees


def test_an_order_that_was_not_picked_up_goes_to_another_drone_when_nobody_flies_its_own() -> None:
    unflown = replace(flying("d", "o", km(5, 5)), ticks_missed=UNFLOWN_TICKS)
    made = plan(unflown, order("o", km(-5, -5), km(3, 3), status=A, drone_id="d"))
    (undo,) = made.undos
    assert undo.cause == "d is flown by nobody at the moment, before pick-up"
