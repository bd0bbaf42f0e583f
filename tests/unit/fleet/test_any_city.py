"""Ways in cities of any legal shape: inside the boundary, out of every area, as long as said, at a counted cost."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely import LineString, Polygon, affinity, box

from dronedispatch.fleet.city import City, CityInvalid, parse_city
from dronedispatch.fleet.free_space import COARSE, FINE, STEPS_MAX, CityTooComplex, free_space
from dronedispatch.fleet.paths import NO_WAY_M, Paths
from dronedispatch.fleet.positions import Point, distance_m
from support import generated_cities


def walled_in(radius_m: float = 1_000.0, thick_m: float = 300.0) -> list[Polygon]:
    """Four areas that overlap at their corners, about the middle."""
    r, t = radius_m, thick_m
    return [box(-r, r - t, r, r), box(-r, -r, r, t - r), box(-r, -r, t - r, r), box(r - t, -r, r, r)]


def judge(city: City, a: Point, route: tuple[Point, ...]) -> None:
    """shapely alone: no part of the route is in an area or outside the boundary."""
    line = LineString([a, *route])
    assert not any(line.intersection(area.shape).length > 1e-6 for area in city.no_fly)
    assert line.difference(city.boundary.shape).length < 1e-6


def free_spots(city: City, count: int, seed: int) -> list[Point]:
    rng = np.random.default_rng(seed)
    west, south, east, north = city.boundary.shape.bounds
    spots: list[Point] = []
    while len(spots) < count:
        point = Point(float(rng.uniform(west, east)), float(rng.uniform(south, north)))
        if city.why_not_here(city.plane.to_latlon(point)) is None:
            spots.append(point)
    return spots


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    corners=st.integers(8, 200),
    roughness=st.sampled_from([0.0, 0.01, 0.1]),
    areas=st.integers(0, 12),
    sides=st.integers(3, 20),
    radius_m=st.sampled_from([150.0, 800.0, 2_500.0]),
    spiky=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_no_way_enters_an_area_or_leaves_the_city(
    corners: int, roughness: float, areas: int, sides: int, radius_m: float, *, spiky: bool, seed: int
) -> None:
    rim = generated_cities.wiggly(corners, roughness=roughness, seed=seed)
    blots = generated_cities.blots(rim, areas, sides, radius_m, spiky=spiky, seed=seed)
    city = generated_cities.city(rim, blots)
    paths = Paths(city)
    spots = free_spots(city, 20, seed)
    regions = paths.regions(np.array(spots))
    known = list(zip(spots, regions.tolist(), strict=True))
    for (a, of_a), (b, of_b) in itertools.pairwise(known):
        route = paths.route(a, b)
        length = paths.length_m(a, b)
        if not route:
            assert length == NO_WAY_M
            assert of_a != of_b or of_a < 0
            continue
        judge(city, a, route)
        flown = sum(distance_m(p, q) for p, q in itertools.pairwise((a, *route)))
        assert flown == pytest.approx(length, abs=1e-6)
        assert length >= distance_m(a, b) - 1e-6


def test_a_route_in_a_concave_city_stays_inside() -> None:
    rim = box(-5e3, -5e3, 5e3, 5e3).difference(box(-3e3, -3e3, 3e3, 6e3))
    city = generated_cities.city(rim, [])
    paths = Paths(city)
    a, b = Point(-4e3, 4e3), Point(4e3, 4e3)
    route = paths.route(a, b)
    judge(city, a, route)
    assert paths.length_m(a, b) > 18_000.0


@pytest.mark.parametrize("turn", range(0, 60, 5))
def test_places_by_one_edge_with_a_dent_between_them_have_a_way_along_it(turn: int) -> None:
    dented = Polygon([(-500, -500), (0, -499), (500, -500), (500, 500), (-500, 500)])
    city = generated_cities.city(affinity.rotate(dented, turn, origin=(0, 0)), [])
    paths = Paths(city)
    for away_m in range(150, 400, 30):
        west, east = (
            Point(*affinity.rotate(shapely.Point(x, -499.2), turn, origin=(0, 0)).coords[0])
            for x in (-away_m, away_m + 3)
        )
        a, b = (nearby(city, place) for place in (west, east))
        route = paths.route(a, b)
        judge(city, a, route)
        assert distance_m(a, b) < paths.length_m(a, b) < distance_m(a, b) + 12.0


def nearby(city: City, place: Point) -> Point:
    """`place` of the test's plane on the city's."""
    return city.plane.to_point(generated_cities.PLANE.to_latlon(place))


def test_a_way_is_as_short_as_the_one_over_all_corners_in_sight() -> None:
    rim = generated_cities.wiggly(60, roughness=0.0, seed=5)
    city = generated_cities.city(rim, generated_cities.blots(rim, 6, 7, 900.0, seed=5))
    paths = Paths(city)
    spots = free_spots(city, 30, 5)
    for a, b in itertools.pairwise(spots):
        assert paths.length_m(a, b) <= shortest_by_brute_force(paths, a, b) + 1e-6


def shortest_by_brute_force(paths: Paths, a: Point, b: Point) -> float:
    """Over all pairs of corners of the same walls, each line asked of shapely."""
    walls = free_space(paths.city).room
    nodes = np.concatenate([[a, b], shapely.get_coordinates(walls)])
    room = walls.buffer(1e-6)
    shapely.prepare(room)
    rows, cols = np.triu_indices(len(nodes), 1)
    lines = shapely.linestrings(np.stack([nodes[rows], nodes[cols]], axis=1))
    seen = shapely.covers(room, lines)
    away = np.full((len(nodes), len(nodes)), np.inf)
    lengths = np.hypot(*(nodes[rows] - nodes[cols]).T)
    away[rows[seen], cols[seen]] = away[cols[seen], rows[seen]] = lengths[seen]
    best = away[0].copy()
    for _ in range(len(nodes)):
        best = np.minimum(best, (best[:, None] + away).min(axis=0))
    return float(best[1])


def test_a_place_that_areas_wall_in_cannot_be_reached_and_no_route_leads_there() -> None:
    city = generated_cities.city(generated_cities.wiggly(40, roughness=0.0), walled_in())
    paths = Paths(city)
    inside, outside = Point(0.0, 0.0), Point(3_000.0, 3_000.0)
    assert "cannot be reached" in (paths.why_not_reached(inside) or "")
    assert paths.why_not_reached(outside) is None
    assert paths.route(outside, inside) == ()
    assert paths.length_m(outside, inside) == NO_WAY_M
    of_inside, of_outside = paths.regions(np.array([inside, outside]))
    assert of_inside != of_outside


def test_a_hole_in_an_area_may_be_flown_in_but_not_into() -> None:
    ring = box(-1_000, -1_000, 1_000, 1_000).difference(box(-500, -500, 500, 500))
    rim = generated_cities.wiggly(40, roughness=0.0)
    document = generated_cities.document(rim, [])
    outer, hole = ([list(p) for p in r.coords] for r in (ring.exterior, ring.interiors[0]))
    degrees = [generated_cities.ring_of(Polygon(r)) for r in (outer, hole)]
    area = {"type": "Polygon", "coordinates": degrees}
    document["features"].append(generated_cities.feature("no_fly", "ring", area))
    city = parse_city(document, "hole")
    paths = Paths(city)
    middle = city.plane.to_latlon(Point(0.0, 0.0))
    assert city.why_not_here(middle) is None
    assert paths.route(Point(-200.0, 0.0), Point(200.0, 0.0)) == (Point(200.0, 0.0),)
    assert paths.why_not_reached(Point(0.0, 0.0)) is not None


@pytest.mark.parametrize("kind", ["circles", "squares"])
def test_the_largest_cities_are_planned_at_a_fraction_of_the_counted_bound(kind: str) -> None:
    city = parse_city(generated_cities.largest(kind), kind)
    assert sum(len(area.corners) for area in city.no_fly) >= 1_960
    first = Paths(city)
    assert first.steps < STEPS_MAX / 2
    first.refuse_new()
    spots = free_spots(city, 8, 1)
    for a, b in itertools.pairwise(spots):
        route = first.route(a, b)
        if route:
            judge(city, a, route)


def test_the_same_city_is_planned_in_the_same_number_of_steps() -> None:
    rim = generated_cities.wiggly(300)
    first, second = (generated_cities.city(rim, generated_cities.blots(rim, 9, 12, 700.0)) for _ in range(2))
    assert Paths(first).steps == Paths(second).steps > 0


def test_a_city_beyond_the_bound_is_refused_with_the_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    rim = generated_cities.wiggly(300)
    paths = Paths(generated_cities.city(rim, generated_cities.blots(rim, 9, 12, 700.0)))
    monkeypatch.setattr("dronedispatch.fleet.paths.STEPS_MAX", paths.steps - 1)
    with pytest.raises(CityTooComplex) as refused:
        paths.refuse_new()
    assert refused.value.field == "features"
    assert "108 corners of no-fly areas and 300 of the boundary" in refused.value.reason


def test_an_even_costlier_one_is_given_up_by_whoever_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    city = generated_cities.city(generated_cities.wiggly(300), [])
    monkeypatch.setattr("dronedispatch.fleet.free_space.FINE", replace(FINE, steps_max=100))
    monkeypatch.setattr("dronedispatch.fleet.free_space.COARSE", replace(COARSE, steps_max=100))
    with pytest.raises(CityTooComplex):
        Paths(city)


def test_a_charge_point_that_nobody_could_leave_is_refused() -> None:
    document = generated_cities.document(generated_cities.wiggly(40, roughness=0.0), walled_in(60.0, 50.0))
    point = {"type": "Point", "coordinates": [4.9, 52.37]}
    stuck = generated_cities.feature("charge_point", "stuck", point, zone="all", capacity=1)
    document["features"].append(stuck)
    with pytest.raises(CityInvalid, match="the charge point stuck"):
        Paths(parse_city(document, "stuck")).refuse_new()


def test_the_diameter_of_a_boundary_of_many_corners_is_that_of_its_hull() -> None:
    city = generated_cities.city(generated_cities.wiggly(5_000), [])
    corners = np.array(city.boundary.corners)
    one = corners[::50]
    assert city.diameter_m >= np.hypot(*(one[:, None] - one[None, :]).transpose(2, 0, 1)).max() - 1e-6
