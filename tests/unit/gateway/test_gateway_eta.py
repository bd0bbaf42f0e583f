"""An ETA grows with what stands before the order, and says when it is blind."""

from __future__ import annotations

from math import inf
from random import Random

import msgspec
import pytest

from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.deliveries import Eta
from dronedispatch.fleet.dispatch_state import DispatchState, FreeDrone
from dronedispatch.fleet.documents import stamp, unstamp
from dronedispatch.fleet.drones import DroneType
from dronedispatch.fleet.paths import paths_of
from dronedispatch.fleet.positions import LatLon, Plane
from dronedispatch.fleet.promises import PromiseRecord
from dronedispatch.gateway.core.eta import (
    BLIND_CONFIDENCE,
    SLACK_S,
    SLACK_SHARE,
    STALE_S,
    WAYS_AT_ONCE,
    Outlook,
    _xy_m,
    estimate,
    lightest_type,
)
from dronedispatch.gateway.core.order import Order

NOW_S = 1_800_000_000.0
PATHS = paths_of(default_city())
ORDER = Order(origin=LatLon(41.85, 12.42), destination=LatLon(41.86, 12.42), weight_kg=2.0)
KEPT = PromiseRecord(9, 9)
FLIGHT_S = 1112 / 10.0


def free(kind: DroneType, free_in_s: float = 0.0, lat: float = 41.85) -> FreeDrone:
    return FreeDrone(f"{kind}-{free_in_s}-{lat}", kind, LatLon(lat, 12.42), free_in_s)


def state(
    *drones: FreeDrone, pending: dict[DroneType, int] | None = None, at_s: float = NOW_S
) -> DispatchState:
    waiting = pending or {}
    plain = DispatchState(
        at=stamp(at_s), term=1, policy="p", speed_mps=10.0, pending=0, assigned=0, in_progress=0
    )
    return msgspec.structs.replace(plain, pending_by_type=waiting, free=drones)


def eta(known: DispatchState | None, order: Order = ORDER, record: PromiseRecord = KEPT) -> Eta:
    outlook = None if known is None else Outlook(known, PATHS)
    return estimate(order, now_s=NOW_S, paths=PATHS, outlook=outlook, record=record, speed_mps=10.0)


def seconds(known: DispatchState | None) -> float:
    """The estimate without its slack."""
    return (unstamp(eta(known).at) - NOW_S - SLACK_S) / (1 + SLACK_SHARE)


def test_a_drone_at_the_origin_needs_the_flight_alone() -> None:
    assert seconds(state(free(DroneType.LIGHT))) == pytest.approx(FLIGHT_S, rel=0.01)


def test_the_approach_counts_and_the_nearest_drone_is_taken() -> None:
    far, near = free(DroneType.LIGHT, lat=41.95), free(DroneType.LIGHT, lat=41.84)
    assert seconds(state(far, near)) == pytest.approx(2 * FLIGHT_S, rel=0.01)


def test_a_drone_that_cannot_carry_it_does_not_count() -> None:
    heavy = Order(origin=ORDER.origin, destination=ORDER.destination, weight_kg=8.0)
    at = unstamp(eta(state(free(DroneType.LIGHT), free(DroneType.HEAVY, 600.0)), heavy).at)
    assert at - NOW_S > 600


def test_time_that_has_passed_since_the_state_was_written_counts() -> None:
    fresh, older = state(free(DroneType.LIGHT, 50.0)), state(free(DroneType.LIGHT, 50.0), at_s=NOW_S - 10)
    assert seconds(fresh) - seconds(older) == pytest.approx(10.0, abs=0.01)


def test_each_waiting_order_takes_a_drone_first() -> None:
    drones = [free(DroneType.LIGHT), free(DroneType.LIGHT, 300.0)]
    alone = seconds(state(*drones))
    assert seconds(state(*drones, pending={DroneType.LIGHT: 1})) == pytest.approx(alone + 300, rel=0.01)
    assert seconds(state(*drones, pending={DroneType.LIGHT: 9})) > alone + 1000


def test_lighter_orders_compete_only_beyond_their_own_drones() -> None:
    pending = {DroneType.LIGHT: 3, DroneType.HEAVY: 1}
    outlook = Outlook(state(free(DroneType.LIGHT), free(DroneType.HEAVY), pending=pending), PATHS)
    assert outlook.orders_ahead(DroneType.HEAVY) == 3
    assert outlook.orders_ahead(DroneType.LIGHT) == 4


@pytest.mark.parametrize(
    ("weight", "kind"), [(0.1, "light"), (3.0, "light"), (3.1, "medium"), (10.0, "heavy")]
)
def test_the_lightest_type_that_carries_it(weight: float, kind: str) -> None:
    assert lightest_type(weight).value == kind


@pytest.mark.parametrize("known", [None, state(free(DroneType.LIGHT), at_s=NOW_S - STALE_S - 1)])
def test_without_a_fresh_state_the_confidence_is_low_and_says_so(known: DispatchState | None) -> None:
    answer = eta(known)
    assert answer.confidence <= BLIND_CONFIDENCE
    assert "distance alone" in answer.basis
    assert unstamp(answer.at) > NOW_S


def test_a_fleet_without_a_useful_drone_still_gets_an_estimate() -> None:
    assert seconds(state()) > FLIGHT_S


def test_the_soonest_of_many_drones_is_found_though_only_some_ways_are_measured() -> None:
    rng = Random(7)
    spots = [LatLon(rng.uniform(41.8, 41.98), rng.uniform(12.38, 12.6)) for _ in range(10 * WAYS_AT_ONCE)]
    drones = [FreeDrone(f"d-{n}", DroneType.LIGHT, at, rng.uniform(0, 300)) for n, at in enumerate(spots)]
    plane = PATHS.city.plane
    origin = plane.to_point(ORDER.origin)
    soonest_s = min(one.free_in_s + PATHS.length_m(plane.to_point(one.pos), origin) / 10.0 for one in drones)
    flight_s = PATHS.length_m(origin, plane.to_point(ORDER.destination)) / 10.0
    assert seconds(state(*drones)) == pytest.approx(soonest_s + flight_s, abs=0.01)


@pytest.mark.parametrize("middle", [LatLon(41.9, 12.5), LatLon(-17.0, 179.95), LatLon(66.0, -180.0)])
def test_the_free_drones_are_where_the_plane_has_them_to_the_last_bit(middle: LatLon) -> None:
    rng = Random(7)
    plane = Plane(middle)
    east_degrees = [
        12.5 + rng.uniform(-1, 1) if middle.lon < 100 else 180.0 - rng.random() for _ in range(50)
    ]
    places = [LatLon(middle.lat + rng.uniform(-1, 1), east) for east in east_degrees]
    places += [LatLon(middle.lat, -180.0), LatLon(middle.lat, 180.0), LatLon(middle.lat, -179.5)]
    assert _xy_m(plane, places).tolist() == [list(plane.to_point(pos)) for pos in places]


def test_an_order_is_flown_around_the_areas_in_its_way_whether_a_bound_of_its_flight_is_known_or_not() -> (
    None
):
    detours, rng, bent = PATHS.detours, Random(3), 0
    assert detours is not None
    outlook = Outlook(state(free(DroneType.LIGHT)), PATHS)
    for _ in range(100):
        places = [LatLon(rng.uniform(41.82, 41.95), rng.uniform(12.40, 12.58)) for _ in range(2)]
        origin, destination = map(PATHS.city.plane.to_point, places)
        _, at_most_m, _ = detours.trip_at_most_m(origin, destination)
        if at_most_m == inf:
            continue
        order = Order(origin=places[0], destination=places[1], weight_kg=1.0)
        known, unknown = (
            estimate(
                order,
                now_s=NOW_S,
                paths=PATHS,
                outlook=outlook,
                record=KEPT,
                speed_mps=10.0,
                flight_at_most_m=bound_m,
            )
            for bound_m in (at_most_m, None)
        )
        assert known == unknown
        bent += at_most_m > PATHS.length_m(origin, destination)
    assert bent > 5
