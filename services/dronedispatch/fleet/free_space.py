"""Where drones may fly: the boundary as a wall, without the no-fly areas, and with room kept from both.

Areas that overlap are one. They are grown, and the boundary is drawn in, by more than what is then simplified away: no
way on the simplified walls ever enters an area or leaves the city. A city whose corners cost too much to plan with is
planned with coarser walls; one that still costs too much is refused. Cost is counted work (steps through the mesh), so that
every process on every machine decides alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from dronedispatch.fleet.city import City, CityInvalid
from dronedispatch.fleet.mesh import Mesh, Rows, TooMuchWork

CLEARANCE_M = 15.0
TOUCH_M = 1e-6  # what is not deeper inside than this only touches


@dataclass(frozen=True, slots=True)
class Walls:
    """Metres: what is kept from no-fly areas and from the boundary before simplification, and what that may take of it.

    `steps_max`: the work that may be spent on them.
    """

    area_m: float
    area_tolerance_m: float
    rim_m: float
    rim_tolerance_m: float
    steps_max: int


FINE = Walls(CLEARANCE_M, 5.0, 5.0, 2.5, steps_max=400_000)
COARSE = Walls(30.0, 15.0, 20.0, 10.0, steps_max=12_000_000)
STEPS_MAX = 8_000_000  # of a new city; what is stored is planned up to COARSE.steps_max, whoever counted it


class CityTooComplex(CityInvalid):
    """More work than a round may wait for; `field` is `features`."""


@dataclass(frozen=True)
class FreeSpace:
    """`inside`: the city without its areas, to the edge. `areas`: their union. `room`: where ways go, of which `mesh` is.
    `rows`, `cols`: bends that see each other.
    """

    inside: BaseGeometry
    areas: BaseGeometry
    room: MultiPolygon
    mesh: Mesh
    steps: int
    rows: Rows
    cols: Rows


def free_space(city: City) -> FreeSpace:
    """Raises CityTooComplex, and CityInvalid for a city without room to fly."""
    areas = shapely.union_all([area.shape for area in city.no_fly])
    boundary = city.boundary.shape
    spent = 0
    for walls in (FINE, COARSE):
        room = _room(boundary, areas, walls)
        mesh = Mesh(room)
        try:
            steps, rows, cols = mesh.bends_in_sight(walls.steps_max)
        except TooMuchWork as exc:
            spent += exc.steps
            continue
        inside = boundary.buffer(TOUCH_M).difference(areas.buffer(-TOUCH_M))
        shapely.prepare(inside)
        shapely.prepare(areas)
        return FreeSpace(inside, areas, room, mesh, spent + steps, rows, cols)
    raise too_complex(city, COARSE.steps_max)


def too_complex(city: City, steps: int) -> CityTooComplex:
    """What is said of a city that needs more than `steps`."""
    areas = sum(len(area.corners) for area in city.no_fly)
    return CityTooComplex(
        "features",
        f"cost too much to plan ways in: more than {steps:,} steps, with {areas:,} corners of no-fly areas and "
        f"{len(city.boundary.corners):,} of the boundary; simplify them",
    )


def _room(boundary: BaseGeometry, areas: BaseGeometry, walls: Walls) -> MultiPolygon:
    rim = boundary.buffer(-walls.rim_m, join_style="mitre", mitre_limit=2.0).simplify(walls.rim_tolerance_m)
    grown = areas.buffer(walls.area_m, join_style="mitre", mitre_limit=2.0).simplify(walls.area_tolerance_m)
    room = rim.difference(grown)
    parts = [part for part in shapely.get_parts(room) if isinstance(part, Polygon) and part.area > 0.0]
    if not parts:
        raise CityInvalid("features", "leave no room to fly between the boundary and the no-fly areas")
    return MultiPolygon(parts)
