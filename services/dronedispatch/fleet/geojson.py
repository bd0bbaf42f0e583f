"""GeoJSON (RFC 7946) as map editors write it: what of it makes a city, and by what name the rest is refused.

Read: Polygon and MultiPolygon, with holes and wound either way; altitudes, which are looked over; foreign members,
which stay in the document; positions on both sides of the antimeridian. Parts that overlap or touch are one area.
Every refusal names the place in the document.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import shapely
from shapely import MultiPolygon, Polygon

from dronedispatch.fleet.positions import LatLon, Plane

FEATURES_MAX = 500
NAME_CHARS_MAX = 200
KINDS = ("boundary", "zone", "charge_point", "no_fly")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What breaks a line, a log or a terminal, and halves of characters that no UTF-8 can hold."""
_WGS84 = re.compile(
    r"(urn:(x-)?ogc:def:crs:|https?://www\.opengis\.net/def/crs/)?(OGC|EPSG)[:/]([0-9.]*[:/])?(CRS84h?|4326|4979)"
    r"|WGS[ _-]?84|GCS_WGS_1984",
    re.IGNORECASE,
)
"""The ways in which programs write the name; longitude comes first in GeoJSON whichever of them it is."""
Rings = list[list[LatLon]]


class CityInvalid(Exception):
    """The document is no city; `field` is the path of what is wrong, such as `features[3].geometry`."""

    def __init__(self, field_path: str, reason: str) -> None:
        super().__init__(f"{field_path}: {reason}")
        self.field = field_path
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Feature:
    """`path`: where it stands in the document, such as `features[3]`."""

    path: str
    kind: str
    id: str
    properties: Mapping[str, Any]
    geometry: Mapping[str, Any]

    @property
    def name(self) -> str:
        name = self.properties.get("name")
        return "" if name is None else str(name)


def features_of(document: object) -> list[Feature]:
    """Raises CityInvalid."""
    if not isinstance(document, dict) or document.get("type") != "FeatureCollection":
        raise CityInvalid("type", "must be FeatureCollection")
    _refuse_crs(document.get("crs"))
    raw = document.get("features")
    if not isinstance(raw, list) or not 1 <= len(raw) <= FEATURES_MAX:
        raise CityInvalid("features", f"must be a list of 1 to {FEATURES_MAX} features")
    features = [_feature(item, f"features[{i}]") for i, item in enumerate(raw)]
    seen: set[str] = set()
    for feature in features:
        if feature.id in seen:
            raise CityInvalid(f"{feature.path}.properties.id", f"{feature.id!r} is there twice")
        seen.add(feature.id)
    return features


def refuse_strange_names(document: object) -> None:
    """What a new document must keep besides; stored ones from before this rule are read all the same. Raises CityInvalid."""
    for feature in features_of(document):
        if _CONTROL.search(feature.id):
            raise CityInvalid(f"{feature.path}.properties.id", "must not hold control characters")
        if "name" not in feature.properties:
            continue
        name = feature.properties["name"]
        if not isinstance(name, str) or len(name) > NAME_CHARS_MAX:
            raise CityInvalid(
                f"{feature.path}.properties.name", f"must be a text of at most {NAME_CHARS_MAX} characters"
            )
        if _CONTROL.search(name):
            raise CityInvalid(f"{feature.path}.properties.name", "must not hold control characters")


def why_not_wgs84(crs: object) -> str | None:
    """Why a file with this `crs` member (of GeoJSON 2008; RFC 7946 has none) holds no WGS84 positions; None: it does."""
    if crs is None:
        return None
    properties = crs.get("properties") if isinstance(crs, dict) else None
    if not isinstance(properties, dict):
        return "its crs member names no coordinate system"
    name = properties.get("name", properties.get("code"))  # a code: of GeoJSON before 2008
    if name == 4326 or (isinstance(name, str) and _WGS84.fullmatch(name.strip()) is not None):
        return None
    return (
        f"its crs is {name[:60]}, not WGS84"
        if isinstance(name, str)
        else "its crs member names none that is WGS84"
    )


def _refuse_crs(crs: object) -> None:
    if why_not_wgs84(crs) is not None:
        raise CityInvalid(
            "crs", "must be left out, or name CRS84: positions are WGS84, longitude first (RFC 7946)"
        )


def _feature(raw: object, path: str) -> Feature:
    if not isinstance(raw, dict) or raw.get("type") != "Feature":
        raise CityInvalid(path, "must be a GeoJSON Feature")
    properties, geometry = raw.get("properties"), raw.get("geometry")
    if not isinstance(properties, dict):
        raise CityInvalid(f"{path}.properties", "must be an object")
    if not isinstance(geometry, dict):
        raise CityInvalid(f"{path}.geometry", "must be an object")
    kind, feature_id = properties.get("kind"), properties.get("id")
    if kind not in KINDS:
        raise CityInvalid(f"{path}.properties.kind", f"must be one of {', '.join(KINDS)}")
    if not isinstance(feature_id, str) or not 1 <= len(feature_id) <= 64:
        raise CityInvalid(f"{path}.properties.id", "must be a text of 1 to 64 characters")
    return Feature(path, kind, feature_id, properties, geometry)


def polygons_of(feature: Feature) -> list[Rings]:
    """The rings of each polygon, the outer one first, without their closing positions. Raises CityInvalid."""
    path, coordinates = f"{feature.path}.geometry", feature.geometry.get("coordinates")
    kind = feature.geometry.get("type")
    if kind == "Polygon":
        return [_rings(coordinates, f"{path}.coordinates")]
    if kind != "MultiPolygon":
        raise CityInvalid(f"{path}.type", f"must be Polygon or MultiPolygon, not {_shown(kind)}")
    if not isinstance(coordinates, list) or not coordinates:
        raise CityInvalid(f"{path}.coordinates", "must be a list of polygons")
    return [_rings(part, f"{path}.coordinates[{i}]") for i, part in enumerate(coordinates)]


def position_of(feature: Feature) -> LatLon:
    """Of a Point. Raises CityInvalid."""
    kind = feature.geometry.get("type")
    if kind != "Point":
        raise CityInvalid(f"{feature.path}.geometry.type", f"must be Point, not {_shown(kind)}")
    return _position(feature.geometry.get("coordinates"), f"{feature.path}.geometry.coordinates")


def shape_of(feature: Feature, polygons: list[Rings], plane: Plane) -> Polygon | MultiPolygon:
    """In metres. Raises CityInvalid for rings that cross themselves or each other."""
    parts: list[Polygon] = []
    for rings in polygons:
        outer, *holes = [[plane.to_point(pos) for pos in ring] for ring in rings]
        part = Polygon(outer, holes)
        if not part.is_valid:
            raise CityInvalid(
                f"{feature.path}.geometry",
                f"must be a polygon that does not cross itself: {_where(part, plane)}",
            )
        if part.area <= 0:
            raise CityInvalid(f"{feature.path}.geometry", "must enclose an area")
        parts.append(part)
    shape = parts[0] if len(parts) == 1 else shapely.union_all(parts)
    assert isinstance(shape, (Polygon, MultiPolygon))
    return shape


def _where(part: Polygon, plane: Plane) -> str:
    """What shapely says of it, with its place in degrees."""
    said = str(shapely.is_valid_reason(part))
    what, _, place = said.partition("[")
    try:
        x_m, y_m = (float(number) for number in place.rstrip("]").split()[:2])
    except ValueError:
        return what.strip().lower()
    pos = plane.to_latlon(plane.to_point(plane.middle)._replace(x_m=x_m, y_m=y_m))
    return f"{what.strip().lower()} at [{pos.lon:.6f}, {pos.lat:.6f}]"


def _rings(raw: object, path: str) -> Rings:
    if not isinstance(raw, list) or not raw:
        raise CityInvalid(path, "must be a list of rings, the outer one first")
    return [_ring(ring, f"{path}[{i}]") for i, ring in enumerate(raw)]


def _ring(raw: object, path: str) -> list[LatLon]:
    if not isinstance(raw, list):
        raise CityInvalid(path, "must be a list of positions")
    ring = [_position(pair, f"{path}[{i}]") for i, pair in enumerate(raw)]
    if len(ring) < 4:
        raise CityInvalid(path, "must have 4 positions or more")
    if ring[0] != ring[-1]:
        raise CityInvalid(path, "must be closed: its last position is not its first one")
    return ring[:-1]


def _position(pair: object, path: str) -> LatLon:
    if not isinstance(pair, list) or len(pair) < 2:
        raise CityInvalid(path, "must be [longitude, latitude]")
    lon, lat, *_rest = (_number(number, path) for number in pair)
    if not (-180 <= lon <= 180 and -85 <= lat <= 85):
        raise CityInvalid(path, "must be a longitude in -180..180 and a latitude in -85..85")
    return LatLon(lat=lat, lon=lon)


def _number(raw: object, path: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise CityInvalid(
            path, "must be [longitude, latitude], with an altitude or without, of finite numbers"
        )
    try:
        number = float(raw)
    except OverflowError:  # a whole number of hundreds of digits
        number = math.inf
    if not math.isfinite(number):
        raise CityInvalid(
            path, "must be [longitude, latitude], with an altitude or without, of finite numbers"
        )
    return number


def _shown(kind: object) -> str:
    return kind[:40] if isinstance(kind, str) else "something else"


def middle_of(positions: list[LatLon]) -> LatLon:
    """The middle of their box, the shorter way round the earth."""
    lats = [pos.lat for pos in positions]
    lons = [pos.lon for pos in positions]
    if max(lons) - min(lons) > 180.0:
        lons = [lon + 360.0 if lon < 0.0 else lon for lon in lons]
    lon = (min(lons) + max(lons)) / 2
    return LatLon(lat=(min(lats) + max(lats)) / 2, lon=lon - 360.0 if lon > 180.0 else lon)
