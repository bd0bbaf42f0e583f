"""Orders that nothing can fly any more, and drones whose charge point is gone: said, moved on, ended."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from shapely import box

from dronedispatch.dispatcher.core.why import explain
from dronedispatch.fleet.city import City, parse_city
from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.drones import DroneStatus, DroneType
from dronedispatch.fleet.positions import Point
from dronedispatch.testing.views import CALM, NOW_S, drone_at, flying, km, order, plan, world
from dronedispatch.testing.views import OPEN_SKY as OPEN
from support.generated_cities import with_no_fly


def with_areas(*boxes_km: tuple[float, float, float, float]) -> City:
    walls = [box(*(1_000.0 * end for end in ends)) for ends in boxes_km]
    return parse_city(with_no_fly(OPEN, walls), "walled")


def around(x: float, y: float) -> City:
    """Four areas that overlap, 1 km about the place."""
    return with_areas(
        (x - 1, y + 0.7, x + 1, y + 1),
        (x - 1, y - 1, x + 1, y - 0.7),
        (x - 1, y - 1, x - 0.7, y + 1),
        (x + 0.7, y - 1, x + 1, y + 1),
    )


def given_up(city: City, after_s: float = CALM.give_up_after_s) -> dict[str, Any]:
    """A world in which the order "o" has been unflyable for so long."""
    return {"city": city, "unflyable_for_s": {"o": after_s}}


@pytest.mark.parametrize("end", ["origin", "destination"])
def test_an_order_whose_place_is_walled_in_waits_with_that_reason(end: str) -> None:
    ends = {"origin": (3.0, 3.0), "destination": (-4.0, 3.0)}
    parts = drone_at("d", km(0, 0)), order("o", km(*ends["origin"]), km(*ends["destination"]))
    made = plan(*parts, city=around(*ends[end]))
    assert not made.assigns
    assert f"its {end} cannot be reached" in made.holds[0].reason
    assert not made.fails
    told = explain(world(*parts, city=around(*ends[end])), NOW_S, "o")
    assert told is not None
    assert "cannot be reached" in told.summary


@pytest.mark.parametrize("at", [km(3, 0), km(-3, 0)])
def test_an_order_whose_place_lies_in_an_area_is_given_to_nobody(at: Point) -> None:
    x, y = at.x_m / 1000, at.y_m / 1000
    drones = [drone_at(f"drone-{n}", km(0, n)) for n in range(3)]
    made = plan(*drones, order("it", km(3, 0), km(-3, 0)), city=with_areas((x - 1, y - 1, x + 1, y + 1)))
    assert made.assigns == ()
    assert "no drone can fly it" in made.holds[0].reason


def test_it_fails_with_the_reason_when_that_has_lasted_too_long() -> None:
    parts = drone_at("d", km(0, 0)), order("o", km(3, 3), km(-4, 3))
    early = plan(*parts, **given_up(around(3, 3), CALM.give_up_after_s - 1))
    late = plan(*parts, **given_up(around(3, 3)))
    assert not early.fails
    assert [(fail.delivery_id, fail.drone_id) for fail in late.fails] == [("o", None)]
    assert "cannot be reached" in late.fails[0].cause


def test_an_order_whose_place_is_free_again_is_flown_and_forgotten_as_unflyable() -> None:
    made = plan(drone_at("d", km(0, 0)), order("o", km(3, 3), km(-4, 3)), **given_up(OPEN, 1e6))
    assert made.assigns
    assert not made.fails
    assert not made.unflyable


def test_a_trip_beyond_every_battery_is_told_with_the_limits_of_each_class() -> None:
    far = order("o", km(-9.4, -9.9), km(9.4, 9.9), weight_kg=10.0)
    made = plan(drone_at("d", km(0, 0), type=DroneType.HEAVY), far)
    assert "heavy: would need" in made.holds[0].reason
    assert "light: carries 3 kg at most" in made.holds[0].reason


def test_an_order_whose_only_class_was_taken_out_does_not_wait_for_it() -> None:
    heavy = drone_at("h", km(0, 0), decommissioned=True, status=DroneStatus.INACTIVE)
    light = drone_at("l", km(0, 0), type=DroneType.LIGHT)
    made = plan(heavy, light, order("o", km(1, 1), km(2, 2), weight_kg=9.0))
    assert "no heavy drone is in service" in made.unflyable["o"]


def test_an_order_that_only_waits_for_a_busy_drone_is_not_unflyable() -> None:
    held = order("a", km(1, 1), km(2, 2), status=DeliveryStatus.ASSIGNED, drone_id="d")
    assert not plan(flying("d", "a", km(0, 0)), held, order("o", km(1, 1), km(2, 2))).unflyable


CUT_OFF = {
    "walled in": ((4.0, 3.0), around(4, 3)),
    "in an area": ((4.0, 3.0), with_areas((3, 2, 5, 4))),
    "outside the city": ((400.0, 3.0), OPEN),
    "outside a city with areas": ((400.0, 3.0), with_areas((-3, 2, -2, 4))),
}


@pytest.mark.parametrize("where", CUT_OFF)
def test_a_drone_on_its_way_to_a_place_that_is_cut_off_gives_the_order_back(where: str) -> None:
    place, city = CUT_OFF[where]
    parcel = order("o", km(*place), km(-4, 3), status=DeliveryStatus.ASSIGNED, drone_id="d")
    made = plan(flying("d", "o", km(0, 0)), parcel, city=city)
    assert [undo.delivery_id for undo in made.undos] == ["o"]
    assert [free.drone_id for free in made.frees] == ["d"]


@pytest.mark.parametrize("where", CUT_OFF)
def test_a_parcel_on_board_whose_destination_is_cut_off_ends_after_the_bound_and_frees_its_drone(
    where: str,
) -> None:
    place, city = CUT_OFF[where]
    on_board = flying("d", "o", km(0, 0), done=1)
    parcel = order("o", km(-4, 3), km(*place), status=DeliveryStatus.IN_PROGRESS, drone_id="d")
    waits = plan(on_board, parcel, city=city)
    ends = plan(on_board, parcel, **given_up(city))
    assert not waits.fails
    told = explain(world(on_board, parcel, city=city), NOW_S, "o")
    assert told is not None
    assert told.doubt == waits.unflyable["o"]
    assert "cannot be reached any more" in waits.unflyable["o"]
    assert [(fail.delivery_id, fail.drone_id) for fail in ends.fails] == [("o", "d")]
    assert [free.drone_id for free in ends.frees] == ["d"]


UNSEEN = flying("d", "o", km(0, 0), done=1, flying=False)
ON_BOARD = order("o", km(-4, 3), km(4, 3), status=DeliveryStatus.IN_PROGRESS, drone_id="d")


def test_a_drone_of_which_no_place_is_known_is_cut_off_from_nothing() -> None:
    made = plan(UNSEEN, ON_BOARD, **given_up(around(0, 0)))
    assert not made.unflyable
    assert not made.fails


def test_a_parcel_that_fails_with_a_drone_of_which_no_place_is_known_was_seen_nowhere() -> None:
    ended = plan(UNSEEN, ON_BOARD, **given_up(with_areas((3, 2, 5, 4))))
    silent = plan(replace(UNSEEN, ticks_missed=CALM.silent_ticks), ON_BOARD)
    assert [fail.last_at for fail in (*ended.fails, *silent.fails)] == [None, None]


# -- a charge point that is gone ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [DroneStatus.CHARGING, DroneStatus.RETIRING])
@pytest.mark.parametrize(
    "stands", [{}, {"station": "gone"}, {"queued_at": "gone"}], ids=["flies", "charges", "waits"]
)
def test_a_drone_whose_charge_point_is_gone_goes_to_another_at_once(
    status: DroneStatus, stands: dict[str, str]
) -> None:
    retiring = status is DroneStatus.RETIRING
    changes = {"bound_for": "gone", "stops": 1, "battery_pct": 40.0, "decommissioned": retiring, **stands}
    drone = drone_at("d", km(4, 4), status=status, **changes)
    made = plan(drone)
    intents = made.charges if status is DroneStatus.CHARGING else made.statuses
    assert [(intent.drone_id, intent.charge_point) for intent in intents] == [("d", "charge-north-east")]
    assert "gone" in intents[0].cause


def test_a_drone_whose_charge_point_was_moved_goes_where_it_is_now() -> None:
    point = OPEN.charge_points[0]
    old = OPEN.plane.to_latlon(Point(point.at.x_m + 500.0, point.at.y_m))
    bound = {"status": DroneStatus.CHARGING, "bound_for": point.id, "bound_at": old}
    drone = drone_at("d", km(4, 4), stops=1, battery_pct=40.0, **bound)
    assert [charge.drone_id for charge in plan(drone).charges] == ["d"]
    assert not plan(replace(drone, bound_at=point.pos)).charges
