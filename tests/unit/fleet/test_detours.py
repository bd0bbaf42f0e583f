"""What is said of ways without looking for them is never too little, and says of a clear line that it is the way."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.paths import Paths, paths_of
from dronedispatch.fleet.positions import Point
from support import generated_cities

SPOTS = 60


def spots_of(paths: Paths, seed: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Uniform places of the city, those in no-fly areas and near to walls among them."""
    rng = np.random.default_rng(seed)
    west, south, east, north = paths.city.boundary.shape.bounds
    return np.stack([rng.uniform(west, east, SPOTS), rng.uniform(south, north, SPOTS)], axis=1)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    corners=st.integers(8, 60),
    roughness=st.sampled_from([0.0, 0.1]),
    areas=st.integers(0, 12),
    sides=st.integers(3, 12),
    radius_m=st.sampled_from([150.0, 800.0, 2_500.0]),
    spiky=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_no_way_is_longer_than_it_is_at_most(
    corners: int, roughness: float, areas: int, sides: int, radius_m: float, *, spiky: bool, seed: int
) -> None:
    rim = generated_cities.wiggly(corners, roughness=roughness, seed=seed)
    blots = generated_cities.blots(rim, areas, sides, radius_m, spiky=spiky, seed=seed)
    paths = Paths(generated_cities.city(rim, blots))
    a, b = spots_of(paths, seed), spots_of(paths, seed + 1)
    lengths_m = paths.lengths_m(a, b)
    if paths.detours is None:
        assert np.allclose(lengths_m, np.hypot(*(a - b).T))
        return
    assert (lengths_m <= paths.detours.at_most_m(a, b) + 1e-6).all()
    trips_m = paths.trips_m(a, b)
    pairs = [(Point(*one), Point(*other)) for one, other in zip(a.tolist(), b.tolist(), strict=True)]
    at_most_m = np.array([paths.detours.trip_at_most_m(*ends) for ends in pairs])
    assert (trips_m <= at_most_m + 1e-6).all()
    lines_m = np.hypot(*(a - b).T)
    straight = np.array([paths.detours.is_straight(*ends) for ends in pairs])
    assert (straight == (paths.detours.at_most_m(a, b) == lines_m)).all()
    assert (straight <= (at_most_m[:, 1] <= lines_m + 1e-6)).all()
    assert paths.city.inside(a[np.isfinite(at_most_m[:, 1])]).all()
    bent = np.flatnonzero(np.isfinite(at_most_m[:, 1]) & (at_most_m[:, 1] > lines_m + 1e-6))
    assert np.allclose([paths.bent_m(*pairs[i]) for i in bent.tolist()], lengths_m[bent])


def test_a_line_that_meets_nothing_is_known_to_be_the_way_and_one_across_an_area_is_not() -> None:
    paths = paths_of(default_city())
    assert paths.detours is not None
    a, b = spots_of(paths, 1), spots_of(paths, 2)
    at_most_m, lines_m = paths.detours.at_most_m(a, b), np.hypot(*(a - b).T)
    straight = at_most_m == lines_m
    assert 0.5 < straight.mean() < 1.0
    assert np.allclose(paths.lengths_m(a, b)[straight], lines_m[straight])
    across = np.isfinite(at_most_m) & ~straight
    assert across.any()
    assert (paths.lengths_m(a, b)[across] > lines_m[across]).any()


def test_a_place_in_an_area_is_not_known() -> None:
    paths = paths_of(default_city())
    assert paths.detours is not None
    inside = np.array([paths.city.no_fly[0].middle])
    assert not np.isfinite(paths.detours.at_most_m(inside, np.array([paths.city.charge_points[0].at]))).any()
