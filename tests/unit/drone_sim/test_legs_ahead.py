"""The legs of new orders are found together: of most of them a line is all that there is to find."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from dronedispatch.drone_sim.core.airspace import CityAirspace
from dronedispatch.drone_sim.core.craft import Craft
from dronedispatch.drone_sim.core.flight import Noise, legs_ahead
from dronedispatch.drone_sim.core.tick import Fleet, fly_fleet
from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.drones import Commands, DroneType, Stop, StopKind
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.paths import Paths
from dronedispatch.fleet.positions import Point
from dronedispatch.testing.fleet import PLANE, at_km

FETCH = Stop(kind=StopKind.PICKUP, pos=at_km(1.0, -2.0), delivery_id="d", weight_kg=1.0)
BRING = Stop(kind=StopKind.DROPOFF, pos=at_km(2.0, -2.0), delivery_id="d", weight_kg=1.0)
ORDERED = Craft(
    id="drone-00001",
    type=DroneType.LIGHT,
    at=PLANE.to_point(at_km(0.0, -2.0)),
    battery_pct=100.0,
    orders=Commands(seq=1, stops=(FETCH, BRING)),
)


def _flown(air: CityAirspace, ticks: int = 200) -> list[Craft]:
    """The one drone after each tick."""
    crafts = {ORDERED.id: ORDERED}
    after: list[Craft] = []
    for number in range(ticks):
        fleet = Fleet(crafts, {}, {}, cleared=frozenset(crafts))
        crafts = fly_fleet(
            fleet, number=number, dt_s=1.0, air=air, noise=Noise(0.0, 1), refresh_ticks=10
        ).crafts
        after.append(crafts[ORDERED.id])
    return after


def test_what_lies_ahead_of_new_orders_are_all_their_legs_and_of_a_leg_that_has_begun_none() -> None:
    air = CityAirspace(default_city(), FlightModel())
    spots = [ORDERED.at, *(PLANE.to_point(stop.pos) for stop in (FETCH, BRING) if stop.pos is not None)]
    assert legs_ahead(ORDERED, air) == list(itertools.pairwise(spots))
    assert legs_ahead(msgspec.structs.replace(ORDERED, path_revision=air.revision), air) == []


def test_straight_legs_of_an_order_are_flown_without_looking_for_a_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given
    asked: list[tuple[Point, Point]] = []
    route = Paths.route

    def looked_for(paths: Paths, start: Point, end: Point) -> tuple[Point, ...]:
        asked.append((start, end))
        return route(paths, start, end)

    monkeypatch.setattr(Paths, "route", looked_for)

    # when
    flown = _flown(CityAirspace(default_city(), FlightModel()))

    # then
    assert flown[-1].stops_done == 2
    assert asked == []
    with monkeypatch.context() as one_by_one:
        one_by_one.setattr(CityAirspace, "expect", lambda _air, _legs: None)
        assert _flown(CityAirspace(default_city(), FlightModel())) == flown
    assert len(asked) == 2


def test_a_leg_that_was_expected_is_forgotten_once_it_is_flown() -> None:
    air = CityAirspace(default_city(), FlightModel())
    leg = legs_ahead(ORDERED, air)[0]
    air.expect([leg])
    assert air.path(*leg) == (leg[1],)
    assert not air._straight
