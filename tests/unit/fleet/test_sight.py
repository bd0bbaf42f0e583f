"""Two ways to see whether a straight line is free, walls at once and triangle by triangle, say the same."""

from __future__ import annotations

import numpy as np
import pytest
import shapely

from dronedispatch.fleet.mesh import Mesh
from dronedispatch.fleet.sight import SightLines
from dronedispatch.fleet.triangle_locator import COMPARED_MAX, LocatedPoints
from support.generated_cities import blots, wiggly


def mesh_of(seed: int) -> Mesh:
    """The largest part of a city that its areas leave free."""
    boundary = wiggly(24 + 20 * seed, seed=seed)
    closed = blots(boundary, 1 + 2 * seed, 6, 700.0, spiky=seed % 2 == 1, seed=seed)
    free = boundary.difference(shapely.union_all(closed))
    return Mesh(max(shapely.get_parts(free), key=shapely.area))


def places(mesh: Mesh, count: int, seed: int) -> np.ndarray:
    """Anywhere about the city, on its corners, on its walls, and close to them."""
    rng = np.random.default_rng(seed)
    corners = mesh.xy[rng.integers(len(mesh.xy), size=count)]
    anywhere, off = rng.uniform(-11_000, 11_000, (count, 2)), rng.uniform(-1e-5, 1e-5, (count, 2))
    return np.concatenate([anywhere, corners, (corners + corners[::-1]) / 2, corners + off])


@pytest.mark.parametrize("seed", range(6))
def test_a_line_is_free_by_its_walls_where_it_is_free_by_its_triangles(seed: int) -> None:
    mesh = mesh_of(seed)
    ends = mesh.locate(places(mesh, 40, seed))
    pairs = np.divmod(np.arange(len(ends.xy) ** 2), len(ends.xy))
    assert (mesh.clear(ends, ends, pairs) == mesh.walked(ends, ends, pairs)).all()


@pytest.mark.parametrize("seed", range(6))
def test_the_bends_in_sight_are_the_same_compared_and_walked(seed: int) -> None:
    mesh = mesh_of(seed)
    ends = mesh.locate(places(mesh, 60, seed))
    both_ways = mesh.seen_from(ends), mesh.expanded(ends)
    seen = [set(zip(of.tolist(), bend.tolist(), strict=True)) for of, bend in both_ways]
    assert seen[0] == seen[1] != set()


@pytest.mark.parametrize("seed", range(3))
def test_a_few_points_and_many_lie_in_the_same_triangles(seed: int) -> None:
    mesh = mesh_of(seed)
    spots = places(mesh, COMPARED_MAX // len(mesh) // 4, seed)
    few, many = mesh.locate(spots), mesh.locate(np.concatenate([spots, spots]))
    inside = np.flatnonzero((few.xy == spots).all(axis=1)).tolist()
    found = [triangles_of(few, inside), triangles_of(many, inside)]
    assert found[0] == found[1] != {}


def triangles_of(located: LocatedPoints, which: list[int]) -> dict[int, set[int]]:
    return {i: set(located.triangle[located.of == i].tolist()) for i in which}


def test_what_is_clear_cut_is_decided_without_the_mesh_and_what_is_not_is_left_to_it() -> None:
    walls = SightLines(np.array([[0.0, -1.0]]), np.array([[0.0, 1.0]]))
    points = np.array([[-1.0, 0.0], [1.0, 0.0], [1.0, 9.0], [1.0, 2.0], [0.0, 0.5], [-1.0, 0.0]])
    clear, blocked = walls.sight(points, points, np.array([0, 0, 1, 0, 4, 0]), np.array([1, 2, 2, 3, 1, 5]))
    assert clear.tolist() == [False, True, True, False, False, True]
    assert blocked.tolist() == [True, False, False, False, False, False]
