"""Motion: constant speed, consumption by distance and payload, charging, orders that change in the air."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronedispatch.drone_sim.core.craft import Craft, craft_of, load_kg, telemetry_of, with_orders
from dronedispatch.drone_sim.core.flight import Noise, fly, plugged
from dronedispatch.fleet.drones import Commands, DroneStatus, DroneType, Stop, StopKind
from dronedispatch.fleet.positions import Point
from dronedispatch.testing.airspace import OpenSky
from dronedispatch.testing.fleet import AT, a_drone

SKY = OpenSky()
QUIET = Noise(share=0.0, seed=1)
HOME = Point(0.0, 0.0)
GOAL = SKY.plane.to_point(SKY.plane.to_latlon(Point(1000.0, 0.0)))


def stop(kind: StopKind, x_m: float, y_m: float = 0.0, **more: object) -> Stop:
    return msgspec.structs.replace(Stop(kind=kind, pos=SKY.plane.to_latlon(Point(x_m, y_m))), **more)


def craft(*stops: Stop, battery_pct: float = 80.0, at: Point = HOME) -> Craft:
    orders = Commands(seq=1 if stops else 0, stops=stops)
    return Craft(id="drone-1", type=DroneType.LIGHT, at=at, battery_pct=battery_pct, orders=orders)


DELIVERY = (
    stop(StopKind.PICKUP, 1000.0, delivery_id="d", weight_kg=2.0),
    stop(StopKind.DROPOFF, 3000.0, delivery_id="d", weight_kg=2.0),
)


def test_a_drone_without_orders_is_the_same_drone_a_tick_later() -> None:
    parked = craft()
    assert fly(parked, 60.0, SKY, QUIET) is parked


@pytest.mark.parametrize("goal_m", [500.0, 5_000.0, 20_000.0])
def test_the_speed_does_not_depend_on_the_way_that_remains(goal_m: float) -> None:
    flown = fly(craft(stop(StopKind.HOLD, 0.0), stop(StopKind.PICKUP, goal_m)), 10.0, SKY, QUIET)
    assert flown.at.x_m == pytest.approx(100.0)
    assert flown.odometer_m == pytest.approx(100.0)
    assert flown.speed_mps == 10.0


def test_time_that_remains_after_a_stop_is_flown_towards_the_next() -> None:
    flown = fly(craft(*DELIVERY), 150.0, SKY, QUIET)
    assert flown.stops_done == 1
    assert flown.at.x_m == pytest.approx(1500.0)


def test_a_parcel_on_board_costs_battery_and_an_empty_flight_less() -> None:
    there = fly(craft(*DELIVERY), 100.0, SKY, QUIET)
    done = fly(there, 200.0, SKY, QUIET)
    assert there.battery_pct == pytest.approx(80.0 - 1000 * 0.001)
    assert there.battery_pct - done.battery_pct == pytest.approx(2000 * 0.001 * 3.0)
    assert done.stop is None


def test_one_long_tick_ends_where_many_short_ones_end() -> None:
    long = fly(craft(*DELIVERY), 240.0, SKY, QUIET)
    short = craft(*DELIVERY)
    for _ in range(480):
        short = fly(short, 0.5, SKY, QUIET)
    assert short.at.x_m == pytest.approx(long.at.x_m)
    assert short.battery_pct == pytest.approx(long.battery_pct)
    assert short.stops_done == long.stops_done


def test_a_path_around_an_area_is_flown_in_its_length() -> None:
    around = OpenSky(detours={GOAL: Point(500.0, 500.0)})
    flown = fly(craft(stop(StopKind.PICKUP, 1000.0)), 100.0, around, QUIET)
    assert flown.stops_done == 0
    assert flown.odometer_m == pytest.approx(1000.0)
    assert flown.heading_deg == pytest.approx(135.0)


def test_a_new_zone_configuration_is_flown_from_where_the_drone_is() -> None:
    halfway = fly(craft(stop(StopKind.PICKUP, 1000.0)), 50.0, SKY, QUIET)
    closed = OpenSky(revision="2", detours={GOAL: Point(500.0, 400.0)})
    flown = fly(halfway, 40.0, closed, QUIET)
    assert flown.at.y_m == pytest.approx(400.0)


@given(battery=st.floats(0.0, 5.0), dt=st.floats(0.0, 5_000.0))
def test_a_battery_never_falls_below_zero_and_an_empty_one_flies_nowhere(battery: float, dt: float) -> None:
    flown = fly(craft(*DELIVERY, battery_pct=battery), dt, SKY, Noise(share=0.15, seed=7))
    assert flown.battery_pct >= 0.0
    empty = msgspec.structs.replace(flown, battery_pct=0.0)
    assert fly(empty, 60.0, SKY, QUIET).odometer_m == empty.odometer_m


@given(seed=st.integers(0, 10_000))
def test_the_noise_of_consumption_stays_within_its_share_and_repeats_for_a_seed(seed: int) -> None:
    noise = Noise(share=0.15, seed=seed)
    flown = fly(craft(*DELIVERY), 100.0, SKY, noise)
    assert 0.85 <= (80.0 - flown.battery_pct) / 1.0 <= 1.15 + 1e-9
    assert fly(craft(*DELIVERY), 100.0, SKY, noise) == flown


def test_a_drone_charges_only_when_it_has_a_place_and_goes_on_when_it_has_enough() -> None:
    orders = (stop(StopKind.CHARGE, 0.0, station="s", until_pct=90.0), stop(StopKind.PICKUP, 1000.0))
    waiting = fly(craft(*orders), 60.0, SKY, QUIET)
    assert (waiting.queued, waiting.docked, waiting.battery_pct) == ("s", None, 80.0)
    charging = fly(plugged(waiting, "s", docked=True), 60.0, SKY, QUIET)
    assert charging.battery_pct == pytest.approx(86.0)
    gone = fly(charging, 60.0, SKY, QUIET)
    assert (gone.docked, gone.queued, gone.stops_done) == (None, None, 1)
    assert gone.at.x_m == pytest.approx(200.0)


def test_newer_orders_replace_the_old_ones_in_the_air_and_older_or_equal_ones_change_nothing() -> None:
    flying = fly(craft(*DELIVERY), 50.0, SKY, QUIET)
    turned = with_orders(flying, Commands(seq=2, stops=(stop(StopKind.PICKUP, 0.0),)))
    assert fly(turned, 10.0, SKY, QUIET).at.x_m == pytest.approx(400.0)
    assert with_orders(turned, Commands(seq=2, stops=())) is turned
    assert with_orders(turned, Commands(seq=1, stops=())) is turned


def test_what_is_on_board_follows_from_orders_and_progress_alone() -> None:
    assert [load_kg(DELIVERY, done) for done in range(3)] == [0.0, 2.0, 0.0]
    assert load_kg((DELIVERY[1],), 0) == 2.0


def test_a_process_that_takes_a_drone_over_flies_it_as_the_old_one_would_have() -> None:
    drone = a_drone("drone-1", status=DroneStatus.BUSY, orders=Commands(seq=1, stops=DELIVERY))
    noise = Noise(share=0.15, seed=3)
    flown = fly(craft(*DELIVERY), 150.0, SKY, noise)
    told = telemetry_of(flown, SKY.plane, tick=5, at=AT)
    taken_over = fly(craft_of(drone, told, SKY.plane), 100.0, SKY, noise)
    stayed = fly(flown, 100.0, SKY, noise)
    assert taken_over.at.x_m == pytest.approx(stayed.at.x_m)
    assert taken_over.battery_pct == pytest.approx(stayed.battery_pct, abs=0.001)
    assert taken_over.stops_done == stayed.stops_done


def test_a_loop_of_orders_without_length_ends_the_tick() -> None:
    here = tuple(stop(StopKind.HOLD, 0.0) for _ in range(40))
    assert fly(craft(*here), 1.0, SKY, QUIET).stops_done == 16
