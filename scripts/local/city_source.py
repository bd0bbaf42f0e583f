"""The quarters in a GeoJSON file, as cities publish it: what has ground, and its name; the rest is left out, or refused.

Read: a FeatureCollection, one in another or in a Feature, a Feature, a bare geometry, GeometryCollections inside each
other; rings that are not closed, that cross themselves, that hold altitudes or measures; longitudes past 180. Pure.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from dronedispatch.fleet.geojson import NAME_CHARS_MAX, why_not_wgs84

NAMES = (
    *("name", "namn", "naam", "nom", "nome", "nombre", "title", "label"),
    *("neighborhood", "neighbourhood", "quartier", "district", "barrio"),
)
COLLECTIONS = ("FeatureCollection", "Feature")
GEOMETRIES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
DEPTH_MAX = 20
LAT_MAX = 85.0
LON_MAX = 540.0  # editors go on counting across the antimeridian, and some count 0..360
MEETING_MAX = 500_000
"""Pairs of edges of two parts that may cross: what their union costs. Real quarters meet along their borders only."""
KNOTS_MAX = 2_000  # places where parts cross themselves: what mending them costs
EDGES_AT_ONCE = 200
CONVERT = "convert it first (ogr2ogr -t_srs EPSG:4326 out.geojson in.geojson)"


class NoQuarters(Exception):
    """Nothing in the file makes a city; the message says why."""


def quarters_of(source: object, said: list[str]) -> list[tuple[str, BaseGeometry]]:
    """(name, shape in degrees) of every feature with ground; what was left out or mended goes to `said`.

    Raises NoQuarters.
    """
    features = _features(source)
    reader = _Reader()
    read = [
        (_name(feature, number), list(reader.polygons(_geometry_of(feature), f"feature {number}")))
        for number, feature in enumerate(features, 1)
    ]
    _refuse_tangled([parts for _, parts in read])
    found: list[tuple[str, BaseGeometry]] = []
    without = mended = 0
    for name, parts in read:
        shape = shapely.union_all([part if part.is_valid else shapely.make_valid(part) for part in parts])
        mended += any(not part.is_valid for part in parts)
        shape = ground(shape)
        if shape.is_empty:
            without += 1
        else:
            found.append((name, shape))
    if not found:
        raise NoQuarters(
            f"there is no ground in it: of {len(features)} features, none is a polygon with an area"
        )
    corners = sum(shapely.get_num_coordinates(shape) for _, shape in found)
    said.append(f"{len(found)} quarters of {corners:,} corners read")
    if without:
        said.append(f"{without} features that are no polygons, or have no area, left out")
    if mended:
        said.append(f"{mended} quarters that crossed themselves mended")
    return found


def _refuse_tangled(quarters: Sequence[Sequence[Polygon]]) -> None:
    """Counted, and not timed: the same file has the same answer on every machine."""
    parts = [part for quarter in quarters for part in quarter]
    rings, owner_of = shapely.get_rings(parts, return_index=True)
    if not len(rings):
        return
    corners = [shapely.get_coordinates(ring) for ring in rings]
    edges = shapely.linestrings(np.concatenate([np.stack([c[:-1], c[1:]], axis=1) for c in corners]))
    owners = np.repeat(owner_of, [len(c) - 1 for c in corners])
    broken = ~shapely.is_valid(parts)
    tree = shapely.STRtree(edges)
    meeting = knots = 0
    for start in range(0, len(edges), EDGES_AT_ONCE):
        some = edges[start : start + EDGES_AT_ONCE]
        one, other = tree.query(some)
        mine = owners[one + start] == owners[other]
        meeting += int(np.count_nonzero(~mine))
        look = mine & broken[owners[other]] & (one + start < other)
        knots += int(np.count_nonzero(shapely.crosses(some[one[look]], edges[other[look]])))
        if meeting > MEETING_MAX:
            raise NoQuarters(
                f"its {sum(map(bool, quarters))} quarters have {len(edges):,} edges, and more than {MEETING_MAX:,} pairs "
                "of them may cross: quarters lie beside each other. Leave out the ones that lie on top of others"
            )
        if knots > KNOTS_MAX:
            raise NoQuarters(
                f"its quarters cross themselves at more than {KNOTS_MAX:,} places: their corners are in no order that "
                "goes round an area. Mend the file first (ogr2ogr -makevalid out.geojson in.geojson)"
            )


def ground(shape: BaseGeometry) -> Polygon | MultiPolygon:
    """Only what has an area."""
    parts = [
        part
        for part in shapely.get_parts(shapely.get_parts(shape))
        if isinstance(part, Polygon) and part.area > 0
    ]
    return MultiPolygon(parts) if len(parts) > 1 else (parts[0] if parts else Polygon())


def _features(source: object) -> list[object]:
    if not isinstance(source, dict) or not isinstance(source.get("type"), str):
        raise NoQuarters("is no GeoJSON: it must be an object with a type, such as a FeatureCollection")
    kind = source["type"]
    if kind not in (*COLLECTIONS, "GeometryCollection", *GEOMETRIES):
        raise NoQuarters(f"type {kind[:40]!r} is no GeoJSON: convert it to a FeatureCollection first")
    return list(_unfolded(source))


def _unfolded(item: object, depth: int = 0) -> Iterator[object]:
    """The features of a collection, of those inside it, and of one that stands where a geometry should."""
    if not isinstance(item, dict):
        yield item
        return
    if depth > DEPTH_MAX:
        raise NoQuarters(f"collections lie inside each other more than {DEPTH_MAX} deep: make one of them")
    _refuse_crs(item.get("crs"))
    inner = item.get("geometry")
    if item.get("type") == "FeatureCollection":
        features = item.get("features")
        if not isinstance(features, list):
            raise NoQuarters("features is no list: this is no GeoJSON")
        for feature in features:
            yield from _unfolded(feature, depth + 1)
    elif isinstance(inner, dict) and inner.get("type") in COLLECTIONS:
        yield from _unfolded(inner, depth + 1)
    else:
        yield item


def _refuse_crs(crs: object) -> None:
    """Any object of GeoJSON 2008 may have one."""
    why = why_not_wgs84(crs)
    if why is not None:
        raise NoQuarters(f"{why}: {CONVERT}, or leave the member out if its positions are WGS84")


def _geometry_of(feature: object) -> object:
    if not isinstance(feature, dict):
        return None
    return feature.get("geometry") if "geometry" in feature or feature.get("type") == "Feature" else feature


class _Reader:
    """Reads geometries; all longitudes are told near the first one, so that no quarter is torn by the antimeridian."""

    def __init__(self) -> None:
        self._near_lon: float | None = None

    def polygons(self, geometry: object, where: str, depth: int = 0) -> Iterator[Polygon]:
        """Those of a geometry, of its collections too. Raises NoQuarters when one cannot be read."""
        if not isinstance(geometry, dict):
            return
        if depth > DEPTH_MAX:
            raise NoQuarters(f"{where}: collections lie inside each other more than {DEPTH_MAX} deep")
        _refuse_crs(geometry.get("crs"))
        kind, coordinates = geometry.get("type"), geometry.get("coordinates")
        if kind == "GeometryCollection":
            for inner in _list(geometry.get("geometries") or [], f"{where}: geometries"):
                yield from self.polygons(inner, where, depth + 1)
        elif kind == "Polygon":
            yield from self._polygon(coordinates, where)
        elif kind == "MultiPolygon":
            for part in _list(coordinates or [], f"{where}: coordinates"):
                yield from self._polygon(part, where)

    def _polygon(self, raw: object, where: str) -> Iterator[Polygon]:
        rings = [self._ring(ring, where) for ring in _list(raw or [], f"{where}: a polygon")]
        if rings and len(set(rings[0])) >= 3:
            yield Polygon(rings[0], [ring for ring in rings[1:] if len(set(ring)) >= 3])

    def _ring(self, raw: object, where: str) -> list[tuple[float, float]]:
        return [self._position(pair, where) for pair in _list(raw, f"{where}: a ring")]

    def _position(self, pair: object, where: str) -> tuple[float, float]:
        if (
            not isinstance(pair, list)
            or len(pair) < 2
            or not all(type(number) in (int, float) for number in pair[:2])
        ):
            raise NoQuarters(f"{where}: {_shown(pair)} is no position: [longitude, latitude]")
        lon, lat = pair[:2]
        if not (abs(lon) <= LON_MAX and abs(lat) <= LAT_MAX):  # also what is no number, or endless
            raise NoQuarters(
                f"{where}: {_shown(pair)} is no longitude and latitude in degrees{_why(lon, lat)}"
            )
        if self._near_lon is None:
            self._near_lon = math.remainder(lon, 360.0)
        return self._near_lon + math.remainder(lon - self._near_lon, 360.0), float(lat)


def _why(lon: float, lat: float) -> str:
    """Which mistake two numbers look like that are no place of a city."""
    if not (-math.inf < lon < math.inf and -math.inf < lat < math.inf):
        return ": it must be two finite numbers"
    if abs(lon) <= 90.0 and abs(lat) <= LON_MAX:
        return (
            f": a city lies within {LAT_MAX:g} degrees of latitude, and here latitude seems to come first. GeoJSON has "
            "[longitude, latitude]: turn them round, everywhere"
        )
    if abs(lon) <= LON_MAX and abs(lat) <= 90.0:
        return f": a city lies within {LAT_MAX:g} degrees of latitude"
    return f": is it in another coordinate system? Then {CONVERT}"


def _list(raw: object, what: str) -> list[Any]:
    if not isinstance(raw, list):
        raise NoQuarters(f"{what} must be a list, not {_shown(raw)}")
    return raw


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _name(feature: object, number: int) -> str:
    properties = feature.get("properties") if isinstance(feature, dict) else None
    texts = {}
    for key, value in properties.items() if isinstance(properties, dict) else ():
        if isinstance(value, str) and (text := printable(value)):
            texts[str(key).lower()] = text
    named = [texts[key] for key in NAMES if key in texts]
    named += [text for key, text in texts.items() if any(name in key for name in NAMES)]
    return (named or [f"quarter {number}"])[0][:NAME_CHARS_MAX]


def printable(text: str) -> str:
    """`text` without what is no character: controls, halves of surrogate pairs."""
    kept = "".join(one if unicodedata.category(one) not in ("Cc", "Cs", "Co", "Cn") else " " for one in text)
    return " ".join(kept.split())
