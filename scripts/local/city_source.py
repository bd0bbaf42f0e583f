"""The quarters in a GeoJSON file, as cities publish it: what has ground, and its name; the rest is left out, or refused.

Read: a FeatureCollection, a Feature, a bare geometry, GeometryCollections inside each other; rings that are not closed,
that cross themselves, that hold altitudes or measures; longitudes past 180. Pure.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator
from typing import Any

import shapely
from shapely import MultiPolygon, Polygon
from shapely.geometry.base import BaseGeometry

from dronedispatch.fleet.geojson import NAME_CHARS_MAX, why_not_wgs84

NAMES = (
    "name",
    "namn",
    "naam",
    "nom",
    "nome",
    "nombre",
    "title",
    "label",
    "neighborhood",
    "neighbourhood",
    "quartier",
    "district",
    "barrio",
)
GEOMETRIES = ("Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon")
DEPTH_MAX = 20
LAT_MAX = 85.0
LON_MAX = 540.0  # editors go on counting across the antimeridian, and some count 0..360


class NoQuarters(Exception):
    """Nothing in the file makes a city; the message says why."""


def quarters_of(source: object, said: list[str]) -> list[tuple[str, BaseGeometry]]:
    """(name, shape in degrees) of every feature with ground; what was left out or mended goes to `said`.

    Raises NoQuarters.
    """
    features = _features(source)
    reader = _Reader()
    found: list[tuple[str, BaseGeometry]] = []
    without = mended = 0
    for number, feature in enumerate(features, 1):
        parts = list(reader.polygons(_geometry_of(feature), f"feature {number}"))
        shape = shapely.union_all([part if part.is_valid else shapely.make_valid(part) for part in parts])
        mended += any(not part.is_valid for part in parts)
        shape = ground(shape)
        if shape.is_empty:
            without += 1
        else:
            found.append((_name(feature, number), shape))
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
    why = why_not_wgs84(source.get("crs"))
    if why is not None:
        raise NoQuarters(f"{why}: convert it first (ogr2ogr -t_srs EPSG:4326 out.geojson in.geojson)")
    kind = source["type"]
    if kind == "FeatureCollection":
        features = source.get("features")
        if not isinstance(features, list):
            raise NoQuarters("features is no list: this is no GeoJSON")
        return features
    if kind == "Feature" or kind == "GeometryCollection" or kind in GEOMETRIES:
        return [source]
    raise NoQuarters(f"type {kind[:40]!r} is no GeoJSON: convert it to a FeatureCollection first")


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
        if not isinstance(geometry, dict) or depth > DEPTH_MAX:
            return
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
                f"{where}: {_shown(pair)} is no longitude and latitude in degrees (latitude within {LAT_MAX:g}): "
                "is it in another coordinate system?"
            )
        if self._near_lon is None:
            self._near_lon = math.remainder(lon, 360.0)
        return self._near_lon + math.remainder(lon - self._near_lon, 360.0), float(lat)


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
        if isinstance(value, str) and (text := _printable(value)):
            texts[str(key).lower()] = text
    named = [texts[key] for key in NAMES if key in texts]
    named += [text for key, text in texts.items() if any(name in key for name in NAMES)]
    return (named or [f"quarter {number}"])[0][:NAME_CHARS_MAX]


def _printable(text: str) -> str:
    """Without what is no character: controls, halves of surrogate pairs."""
    kept = "".join(one if unicodedata.category(one) not in ("Cc", "Cs", "Co", "Cn") else " " for one in text)
    return " ".join(kept.split())
