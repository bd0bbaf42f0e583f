"""A city document from a file of quarters, as cities publish them: union as boundary, quarters as zones, chargers spread.

Pure: shapes in, document out, with what was done to them in words.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry import shape as shape_of_geojson
from shapely.geometry.base import BaseGeometry

from dronedispatch.fleet.geojson import FEATURES_MAX, NAME_CHARS_MAX, middle_of
from dronedispatch.fleet.positions import LatLon, Plane, Point

Document = dict[str, Any]
ISLAND_M2 = 250_000.0  # a part of the city that is smaller is left out
POND_M2 = 10_000.0  # so is a hole
CHARGE_POINT_M2 = 12_000_000.0  # a charge point for so much ground, if none are given
CHARGE_POINTS = range(4, 41)
NAMES = (
    "name",
    "namn",
    "nom",
    "nome",
    "nombre",
    "title",
    "label",
    "neighborhood",
    "neighbourhood",
    "quartier",
    "district",
)
DECIMALS = 7


class NoQuarters(Exception):
    """Nothing in the file makes a city; the message says why."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Metres. `charge_points`: given places with their capacity; empty: `spread` are spread (0: by the ground)."""

    tolerance_m: float = 10.0
    gap_m: float = 20.0
    spread: int = 0
    capacity: int = 8
    charge_points: Sequence[tuple[LatLon, int]] = ()
    name: str = "city"


@dataclass
class Made:
    """`said`: what was done, a line each."""

    document: Document
    said: list[str] = field(default_factory=list)


def make_city(source: object, wish: Wish) -> Made:
    """Raises NoQuarters."""
    said: list[str] = []
    named = _quarters(source, said)
    corners = shapely.get_coordinates([shape for _, shape in named])
    plane = Plane(middle_of([LatLon(lat=float(lat), lon=float(lon)) for lon, lat in corners[:, :2]]))
    quarters = [(name, _in_metres(shape, plane)) for name, shape in named]
    boundary = _boundary([shape for _, shape in quarters], wish, said)
    zones = _zones(quarters, boundary, wish, said)
    spots = [(plane.to_point(pos), capacity) for pos, capacity in wish.charge_points]
    if not spots:
        spots = [(spot, wish.capacity) for spot in spread(boundary, wish.spread or _by_ground(boundary))]
        said.append(f"{len(spots)} charge points of {wish.capacity} places, spread over the ground")
    features = [_feature("boundary", _slug(wish.name, set()), wish.name, boundary, plane)]
    ids = {features[0]["properties"]["id"]}
    zone_ids = []
    for name, shape in zones:
        zone_ids.append(_slug(name, ids))
        features.append(_feature("zone", zone_ids[-1], name, shape, plane))
    for number, (spot, capacity) in enumerate(spots, 1):
        point = shapely.Point(spot)
        nearest = int(np.argmin(shapely.distance([shape for _, shape in zones], point)))
        pos = plane.to_latlon(spot)
        features.append(
            {
                "type": "Feature",
                "properties": {
                    "kind": "charge_point",
                    "id": _slug(f"charger-{number}", ids),
                    "zone": zone_ids[nearest],
                    "capacity": capacity,
                },
                "geometry": {
                    "type": "Point",
                    "coordinates": [round(pos.lon, DECIMALS), round(pos.lat, DECIMALS)],
                },
            }
        )
    return Made({"type": "FeatureCollection", "name": wish.name, "features": features}, said)


def _quarters(source: object, said: list[str]) -> list[tuple[str, BaseGeometry]]:
    """(name, shape in degrees) of every polygon feature; those that cross themselves are mended."""
    features = source.get("features") if isinstance(source, dict) and "features" in source else [source]
    if not isinstance(features, list):
        raise NoQuarters("features is no list: this is no GeoJSON")
    found: list[tuple[str, BaseGeometry]] = []
    left_out = mended = 0
    for number, feature in enumerate(features, 1):
        geometry = feature.get("geometry", feature) if isinstance(feature, dict) else None
        if not isinstance(geometry, dict) or geometry.get("type") not in ("Polygon", "MultiPolygon"):
            left_out += 1
            continue
        try:
            shape = shapely.force_2d(shape_of_geojson(geometry))
        except (ValueError, TypeError, IndexError, shapely.errors.ShapelyError) as error:
            raise NoQuarters(f"feature {number} is no polygon: {error}") from error
        if not shape.is_valid:
            shape, mended = shapely.make_valid(shape), mended + 1
        shape = _ground(shape)
        if not shape.is_empty:
            found.append((_name(feature, number), shape))
    if not found:
        raise NoQuarters("there is no Polygon and no MultiPolygon in it")
    corners = sum(shapely.get_num_coordinates(shape) for _, shape in found)
    said.append(f"{len(found)} quarters of {corners:,} corners read")
    if left_out:
        said.append(f"{left_out} features that are no polygons left out")
    if mended:
        said.append(f"{mended} quarters that crossed themselves mended")
    return found


def _name(feature: Document, number: int) -> str:
    properties = feature.get("properties")
    texts = (
        {k.lower(): v for k, v in properties.items() if isinstance(v, str) and v.strip()}
        if properties
        else {}
    )
    named = [texts[key] for key in NAMES if key in texts]
    named += [text for key, text in texts.items() if any(name in key for name in NAMES)]
    return str((named or [f"quarter {number}"])[0])[:NAME_CHARS_MAX]


def _ground(shape: BaseGeometry) -> BaseGeometry:
    """Only what has an area."""
    parts = [
        part
        for part in shapely.get_parts(shapely.get_parts(shape))
        if isinstance(part, Polygon) and part.area > 0
    ]
    return MultiPolygon(parts) if len(parts) > 1 else (parts[0] if parts else Polygon())


def _in_metres(shape: BaseGeometry, plane: Plane) -> BaseGeometry:
    def project(lon_lat: np.ndarray) -> np.ndarray:
        points = [plane.to_point(LatLon(lat=float(lat), lon=float(lon))) for lon, lat in lon_lat]
        return np.array(points, dtype=np.float64)

    return shapely.transform(shape, project)


def _boundary(quarters: Sequence[BaseGeometry], wish: Wish, said: list[str]) -> Polygon | MultiPolygon:
    """Their union, gaps closed, without specks, simplified."""
    whole = shapely.union_all(quarters)
    closed = (
        whole.buffer(wish.gap_m, join_style="mitre").buffer(-wish.gap_m, join_style="mitre")
        if wish.gap_m
        else whole
    )
    parts = [part for part in shapely.get_parts(closed) if isinstance(part, Polygon)]
    kept = [part for part in parts if part.area >= ISLAND_M2] or [max(parts, key=lambda part: part.area)]
    kept = [
        Polygon(p.exterior, [ring for ring in p.interiors if Polygon(ring).area >= POND_M2]) for p in kept
    ]
    joined = shapely.union_all(kept)
    simple = _ground(joined.simplify(wish.tolerance_m))
    moved_m = shapely.hausdorff_distance(simple.boundary, joined.boundary)
    before, after = (shapely.get_num_coordinates(shape) for shape in (whole, simple))
    said.append(
        f"boundary: union of the quarters, gaps up to {2 * wish.gap_m:g} m closed, {before:,} corners simplified to "
        f"{after:,} within {wish.tolerance_m:g} m (moved by {moved_m:.1f} m at most)"
    )
    if len(parts) > len(kept):
        said.append(f"{len(parts) - len(kept)} islands below {ISLAND_M2 / 1e6:g} km² left out")
    if len(kept) > 1:
        said.append(f"{len(kept)} parts with no way between them: each needs a charge point of its own")
    assert isinstance(simple, (Polygon, MultiPolygon))
    return simple


def _zones(
    quarters: Sequence[tuple[str, BaseGeometry]], boundary: BaseGeometry, wish: Wish, said: list[str]
) -> list[tuple[str, BaseGeometry]]:
    room = FEATURES_MAX - 1 - max(len(wish.charge_points), wish.spread, CHARGE_POINTS[-1])
    largest = sorted(range(len(quarters)), key=lambda i: -quarters[i][1].area)[:room]
    zones = []
    for i in sorted(largest):
        name, shape = quarters[i]
        simple = _ground(shapely.make_valid(shape.simplify(wish.tolerance_m)))
        if not simple.is_empty and simple.intersects(boundary):
            zones.append((name, simple))
    said.append(f"{len(zones)} zones, simplified within {wish.tolerance_m:g} m")
    if len(quarters) > len(zones):
        said.append(
            f"{len(quarters) - len(zones)} quarters are no zones of their own: the nearest zone has their orders"
        )
    return zones


def _by_ground(boundary: BaseGeometry) -> int:
    wanted = round(float(boundary.area) / CHARGE_POINT_M2)
    return max(CHARGE_POINTS[0], min(CHARGE_POINTS[-1], wanted))


def spread(boundary: BaseGeometry, count: int) -> list[Point]:
    """Places that divide the ground evenly (Lloyd, 1982), the same for the same boundary; each part of it has one."""
    room = boundary.buffer(-60.0)
    ground = boundary if room.is_empty else room
    west, south, east, north = ground.bounds
    step = max(np.sqrt(ground.area / 4_000.0), 1.0)
    xs, ys = np.meshgrid(np.arange(west, east, step), np.arange(south, north, step))
    grid = np.stack([xs.ravel(), ys.ravel()], axis=1)
    shapely.prepare(ground)
    grid = grid[shapely.contains_xy(ground, grid[:, 0], grid[:, 1])]
    parts = [part.representative_point() for part in shapely.get_parts(ground)]
    parts.sort(key=lambda point: (point.x, point.y))
    grid = np.concatenate([grid, [(point.x, point.y) for point in parts]])
    chosen = np.array([(point.x, point.y) for point in parts], dtype=np.float64)
    while len(chosen) < count:
        away = np.hypot(*(grid[:, None] - chosen[None]).transpose(2, 0, 1)).min(axis=1)
        chosen = np.concatenate([chosen, grid[[int(away.argmax())]]])
    fixed = np.arange(len(chosen)) < (len(parts) if len(parts) > 1 else 0)
    for _ in range(20):
        nearest = np.hypot(*(grid[:, None] - chosen[None]).transpose(2, 0, 1)).argmin(axis=1)
        mine = [grid[nearest == k] for k in range(len(chosen))]
        means = np.array(
            [some.mean(axis=0) if len(some) else at for some, at in zip(mine, chosen, strict=True)]
        )
        inside = grid[np.hypot(*(grid[:, None] - means[None]).transpose(2, 0, 1)).argmin(axis=0)]
        chosen = np.where(fixed[:, None], chosen, inside)
    return [Point(float(x), float(y)) for x, y in chosen]


def _slug(name: str, taken: set[str]) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    base = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:56] or "place"
    slug, number = base, 2
    while slug in taken:
        slug, number = f"{base}-{number}", number + 1
    taken.add(slug)
    return slug


def _feature(kind: str, feature_id: str, name: str, shape: BaseGeometry, plane: Plane) -> Document:
    def degrees(xy: np.ndarray) -> np.ndarray:
        spots = [plane.to_latlon(Point(float(x), float(y))) for x, y in xy]
        return np.round([(spot.lon, spot.lat) for spot in spots], DECIMALS)

    geometry = shapely.transform(shapely.orient_polygons(shape), degrees)
    if not geometry.is_valid:  # rounding, or a neck that the simplification has closed to a point
        geometry = shapely.orient_polygons(_ground(shapely.make_valid(geometry)))
    return {
        "type": "Feature",
        "properties": {"kind": kind, "id": feature_id, "name": name},
        "geometry": json.loads(shapely.to_geojson(geometry)),
    }
