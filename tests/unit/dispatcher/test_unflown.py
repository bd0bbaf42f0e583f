"""A drone that nobody flies at the moment: its drone_sim is missing, or holds no slot of the fleet."""

from __future__ import annotations

from dataclasses import replace

from dronedispatch.dispatcher.core.world import UNFLOWN_TICKS
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.testing.views import flying, km, order, plan

A, FLOWN = DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS


def test_a_parcel_whose_drone_nobody_flies_waits_until_somebody_does() -> None:
    unflown = replace(flying("d", "o", km(5, 5), done=1), ticks_missed=UNFLOWN_TICKS)
    made = plan(unflown, order("o", km(-5, -5), km(3, 3), status=FLOWN, drone_id="d"))
    assert not made.fails and not made.frees


def test_an_order_that_was_not_picked_up_goes_to_another_drone_when_nobody_flies_its_own() -> None:
    unflown = replace(flying("d", "o", km(5, 5)), ticks_missed=UNFLOWN_TICKS)
    made = plan(unflown, order("o", km(-5, -5), km(3, 3), status=A, drone_id="d"))
    (undo,) = made.undos
    assert undo.cause == "d is flown by nobody at the moment, before pick-up"
