"""City documents of the shapes that real ones have: wiggly boundaries of thousands of corners, hundreds of no-fly areas."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
import shapely
from shapely import Polygon

from dronedispatch.fleet.city import City, parse_city
from dronedispatch.fleet.positions import LatLon, Plane

PLANE = Plane(LatLon(lat=52.37, lon=4.9))
Document = dict[str, Any]


def ring_of(shape: Polygon, plane: Plane = PLANE) -> list[list[float]]:
    spots = [
        plane.to_latlon(plane.to_point(plane.middle)._replace(x_m=x, y_m=y)) for x, y in shape.exterior.coords
    ]
    return [[pos.lon, pos.lat] for pos in spots]


def feature(kind: str, name: str, geometry: Document, **more: object) -> Document:
    return {"type": "Feature", "properties": {"kind": kind, "id": name, **more}, "geometry": geometry}


def polygon(shape: Polygon, plane: Plane = PLANE) -> Document:
    return {"type": "Polygon", "coordinates": [ring_of(shape, plane)]}


def copied(city: City) -> Document:
    """The city's document, for a test to change."""
    document: Document = json.loads(json.dumps(city.document))
    return document


def first(document: Document, kind: str) -> Document:
    """Its first feature of a kind."""
    found: Document = next(one for one in document["features"] if one["properties"]["kind"] == kind)
    return found


def box(west: float, south: float, east: float, north: float) -> list[list[list[float]]]:
    """The coordinates of a polygon of four corners."""
    return [[[west, south], [east, south], [east, north], [west, north], [west, south]]]


def with_no_fly(city: City, shapes: Iterable[Polygon]) -> Document:
    """The city's document with an area more for each shape, in metres of its plane."""
    document = copied(city)
    for number, shape in enumerate(shapes):
        document["features"].append(feature("no_fly", f"area-{number}", polygon(shape, city.plane)))
    return document


def moved_by(city: City, lon_deg: float, lat_deg: float) -> Document:
    """The city's document, elsewhere."""
    document = copied(city)

    def moved(part: Any) -> Any:
        if isinstance(part[0], float):
            return [part[0] + lon_deg, part[1] + lat_deg]
        return [moved(one) for one in part]

    for one in document["features"]:
        one["geometry"]["coordinates"] = moved(one["geometry"]["coordinates"])
    return document


def renamed(city: City, name: str) -> Document:
    """The city's document; the feature of this name has another."""
    document = copied(city)
    (one,) = (one for one in document["features"] if one["properties"]["id"] == name)
    one["properties"]["id"] = "renamed"
    return document


def wiggly(corners: int, *, radius_m: float = 9_000.0, roughness: float = 0.002, seed: int = 0) -> Polygon:
    """A blob with bays and capes of many sizes, and noise of `roughness` of its radius at every corner."""
    rng = np.random.default_rng(seed)
    turn = np.linspace(0.0, 2 * np.pi, corners, endpoint=False)
    waves = sum(np.sin(k * turn + rng.uniform(0, 6)) / k for k in (2, 3, 5, 9, 17, 40))
    away = radius_m * (1 + 0.12 * waves + roughness * rng.uniform(-1, 1, corners))
    return Polygon(np.stack([away * np.cos(turn), away * np.sin(turn)], axis=1))


def blots(
    boundary: Polygon, count: int, corners: int, radius_m: float, *, spiky: bool = False, seed: int = 1
) -> list[Polygon]:
    """Areas about random places, whole inside the boundary; they may overlap."""
    rng = np.random.default_rng(seed)
    room = boundary.buffer(-radius_m - 20.0)
    shapely.prepare(room)
    west, south, east, north = room.bounds
    areas: list[Polygon] = []
    while len(areas) < count:
        x, y = rng.uniform(west, east), rng.uniform(south, north)
        if not shapely.contains_xy(room, x, y):
            continue
        turn = np.linspace(0.0, 2 * np.pi, corners, endpoint=False) + rng.uniform(0, 6)
        away = radius_m * (
            np.where(np.arange(corners) % 2, 1.0, rng.uniform(0.3, 0.9, corners)) if spiky else 1.0
        )
        areas.append(Polygon(np.stack([x + away * np.cos(turn), y + away * np.sin(turn)], axis=1)))
    return areas


def document(boundary: Polygon, areas: list[Polygon], *, chargers: int = 4, seed: int = 2) -> Document:
    """One zone as large as the boundary, charge points spread over what is free."""
    rng = np.random.default_rng(seed)
    free = boundary.buffer(-100.0).difference(shapely.union_all(areas).buffer(100.0))
    west, south, east, north = free.bounds
    features = [feature("boundary", "rim", polygon(boundary)), feature("zone", "all", polygon(boundary))]
    features += [feature("no_fly", f"area-{i}", polygon(area)) for i, area in enumerate(areas)]
    while chargers:
        x, y = rng.uniform(west, east), rng.uniform(south, north)
        if shapely.contains_xy(free, x, y):
            chargers -= 1
            pos = PLANE.to_latlon(PLANE.to_point(PLANE.middle)._replace(x_m=x, y_m=y))
            point = {"type": "Point", "coordinates": [pos.lon, pos.lat]}
            features.append(feature("charge_point", f"charger-{chargers}", point, zone="all", capacity=8))
    return {"type": "FeatureCollection", "features": features}


def city(boundary: Polygon, areas: list[Polygon], *, version: str = "generated") -> City:
    return parse_city(document(boundary, areas), version)


def largest(kind: str) -> Document:
    """2,000 corners of no-fly areas in a boundary of 5,000."""
    rim = wiggly(5_000)
    areas = {
        "circles": lambda: blots(rim, 31, 64, 500.0),
        "squares": lambda: blots(rim, 490, 4, 60.0),
        "stars": lambda: blots(rim, 20, 100, 600.0, spiky=True),
    }
    return document(rim, areas[kind]())
