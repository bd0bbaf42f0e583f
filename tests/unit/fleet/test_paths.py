"""Ways around no-fly areas: never through one, never longer than need be, one length for everybody."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from shapely import LineString

from dronedispatch.fleet.city import City, default_city, parse_city
from dronedispatch.fleet.paths import CLEARANCE_M, Paths, paths_of
from dronedispatch.fleet.positions import Point, distance_m
from support.generated_cities import copied, feature

# a U that opens to the east, about the middle of the city: not convex, and deep enough to be caught in
U = [[12.45, 41.87], [12.52, 41.87], [12.52, 41.875], [12.46, 41.875], [12.46, 41.905], [12.52, 41.905]]
U += [[12.52, 41.91], [12.45, 41.91], U[0]]


def city_with_u() -> City:
    document = copied(default_city().open_sky())
    document["features"].append(feature("no_fly", "u", {"type": "Polygon", "coordinates": [U]}))
    return parse_city(document, "u")


CITIES = [default_city(), city_with_u()]


def random_ends(city: City, count: int, seed: int) -> list[tuple[Point, Point]]:
    rng = np.random.default_rng(seed)
    points = [Point(float(x), float(y)) for x, y in rng.uniform(-9000, 9000, (4 * count, 2))]
    free = [point for point in points if not any(area.holds(point) for area in city.no_fly)]
    return list(zip(free[::2], free[1::2], strict=False))[:count]


def flown_m(a: Point, route: tuple[Point, ...]) -> float:
    return sum(distance_m(p, q) for p, q in itertools.pairwise((a, *route)))


@pytest.mark.parametrize("city", CITIES, ids=["rome", "u"])
def test_a_route_never_enters_a_no_fly_area_and_is_as_long_as_it_is_said_to_be(city: City) -> None:
    paths = Paths(city)
    for a, b in random_ends(city, 400, seed=1):
        route = paths.route(a, b)
        line = LineString([a, *route])
        assert not any(line.intersection(area.shape).length > 1e-6 for area in city.no_fly)
        assert flown_m(a, route) == pytest.approx(paths.length_m(a, b), abs=1e-6)


@pytest.mark.parametrize("city", CITIES, ids=["rome", "u"])
def test_lengths_of_many_pairs_are_those_of_each_pair(city: City) -> None:
    paths = Paths(city)
    ends = random_ends(city, 300, seed=2)
    a, b = (np.array([pair[k] for pair in ends]) for k in range(2))
    together = paths.lengths_m(a, b)
    each = [Paths(city).length_m(p, q) for p, q in ends[:40]] + [paths.length_m(p, q) for p, q in ends[40:]]
    assert together == pytest.approx(each)
    assert paths.matrix_m(a[:20], b[:20])[np.arange(20), np.arange(20)] == pytest.approx(together[:20])


@pytest.mark.parametrize("city", CITIES, ids=["rome", "u"])
def test_who_is_said_to_fly_straight_among_many_has_that_route(city: City) -> None:
    # given
    paths = Paths(city)
    ends = random_ends(city, 300, seed=4)

    # when
    straight = paths.are_straight(np.array([a for a, _ in ends]), np.array([b for _, b in ends])).tolist()

    # then
    routes = [paths.route(a, b) for a, b in ends]
    assert all(route == (b,) for (_, b), route, is_so in zip(ends, routes, straight, strict=True) if is_so)
    assert sum(straight) > 0.8 * sum(len(route) == 1 for route in routes)


@pytest.mark.parametrize("city", CITIES, ids=["rome", "u"])
def test_no_way_is_shorter_than_the_line_or_longer_than_a_detour_over_any_third_place(city: City) -> None:
    paths = Paths(city)
    ends = random_ends(city, 150, seed=3)
    for (a, b), (c, _) in itertools.pairwise(ends):
        length = paths.length_m(a, b)
        assert length >= distance_m(a, b) - 1e-6
        assert length == pytest.approx(paths.length_m(b, a), abs=1e-6)
        # corners stand CLEARANCE_M off: a detour may cut what the way itself keeps from
        assert length <= paths.length_m(a, c) + paths.length_m(c, b) + 8 * CLEARANCE_M


def test_the_way_out_of_a_u_leads_around_its_arm() -> None:
    city = city_with_u()
    paths = paths_of(city)
    inside, below = Point(-500.0, 0.0), Point(-500.0, -4000.0)
    assert distance_m(inside, below) == 4000.0
    assert paths.length_m(inside, below) > 6500.0


def test_an_open_sky_is_flown_in_straight_lines() -> None:
    paths = Paths(default_city().open_sky())
    a, b = Point(-5000.0, 1000.0), Point(5000.0, 1000.0)
    assert paths.route(a, b) == (b,)
    assert paths.length_m(a, b) == 10_000.0


def test_a_drone_over_which_an_area_was_drawn_finds_its_way_out() -> None:
    city = default_city()
    paths = Paths(city)
    inside, far = city.no_fly[0].middle, Point(8000.0, -8000.0)
    route = paths.route(inside, far)
    assert route[-1] == far
    assert distance_m(inside, far) <= flown_m(inside, route) < 2 * distance_m(inside, far)


def test_touching_an_area_is_no_crossing() -> None:
    city = default_city()
    corners = city.no_fly[0].corners
    assert Paths(city).route(corners[0], corners[1]) == (corners[1],)
