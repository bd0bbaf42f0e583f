"""GeoJSON as editors write it is read; what is not supported is refused by its true name."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import shapely
from shapely import MultiPolygon, Polygon

from dronedispatch.fleet.city import CityInvalid, default_city, parse_city
from dronedispatch.fleet.geojson import refuse_strange_names
from dronedispatch.fleet.paths import Paths
from dronedispatch.fleet.positions import LatLon
from support.generated_cities import Document, box, copied, feature, first


def rome() -> Document:
    return copied(default_city())


def polygons(document: Document) -> list[Document]:
    return [one for one in document["features"] if one["geometry"]["type"] == "Polygon"]


def foreign(document: Document) -> None:
    document["crs"] = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    document["generator"] = "JOSM"
    document["bbox"] = [12.37, 41.8, 12.6, 41.98]
    for one in document["features"]:
        one["properties"]["stroke-width"] = 2
        one["id"] = 7


def altitudes(document: Document) -> None:
    for one in polygons(document):
        for ring in one["geometry"]["coordinates"]:
            for position in ring:
                position.append(37.5)
    first(document, "charge_point")["geometry"]["coordinates"].append(12)


def other_way_round(document: Document) -> None:
    for one in polygons(document):
        for ring in one["geometry"]["coordinates"]:
            ring.reverse()


def multi(document: Document) -> None:
    for one in polygons(document):
        several = [one["geometry"]["coordinates"]]
        one["geometry"] = {"type": "MultiPolygon", "coordinates": several}


@pytest.mark.parametrize("change", [foreign, altitudes, other_way_round, multi])
def test_what_editors_write_is_the_same_city_and_stays_as_it_was_written(
    change: Callable[[Document], None],
) -> None:
    document = rome()
    change(document)
    city = parse_city(document, "default")
    shapes, plain = ([shapely.normalize(one.shape) for one in each.no_fly] for each in (city, default_city()))
    assert shapes == plain
    assert city.diameter_m == default_city().diameter_m
    assert json.dumps(city.document) == json.dumps(document)


def test_parts_that_overlap_are_one_area() -> None:
    document = rome()
    no_fly = first(document, "no_fly")
    ring = no_fly["geometry"]["coordinates"][0]
    moved = [[lon + 0.001, lat] for lon, lat in ring]
    no_fly["geometry"] = {"type": "MultiPolygon", "coordinates": [[ring], [moved]]}
    area = parse_city(document, "two").no_fly[0]
    assert isinstance(area.shape, Polygon)
    assert area.shape.area > default_city().no_fly[0].shape.area


def test_a_hole_in_the_boundary_is_outside_the_city() -> None:
    document = rome()
    first(document, "boundary")["geometry"]["coordinates"] += box(12.50, 41.86, 12.51, 41.87)
    city = parse_city(document, "hole")
    assert "outside" in (city.why_not_here(LatLon(lat=41.865, lon=12.505)) or "")
    a, b = (city.plane.to_point(LatLon(lat=41.865, lon=lon)) for lon in (12.49, 12.52))
    assert len(Paths(city).route(a, b)) > 1


def test_a_city_of_two_islands_has_no_way_between_them() -> None:
    document = rome()
    west, south, east, north = 12.37, 41.80, 12.60, 41.98
    islands = [box(west, south, 12.48, north), box(12.49, south, east, north)]
    first(document, "boundary")["geometry"] = {"type": "MultiPolygon", "coordinates": islands}
    document["features"] = [f for f in document["features"] if f["properties"]["kind"] != "no_fly"]
    city = parse_city(document, "islands")
    assert isinstance(city.boundary.shape, MultiPolygon)
    a, b = (city.plane.to_point(LatLon(lat=41.85, lon=lon)) for lon in (12.45, 12.55))
    paths = Paths(city)
    assert paths.route(a, b) == ()
    assert "cannot be reached from the origin" in (paths.why_no_way(a, b) or "")
    assert paths.why_not_reached(a) is None


def taveuni(west: float = 179.95, east: float = -179.95) -> Document:
    """RFC 7946, 3.1.9: cut in two at 180 degrees."""
    parts = [box(west, -16.6, 180.0, -16.5), box(-180.0, -16.6, east, -16.5)]
    both = {"type": "MultiPolygon", "coordinates": parts}
    point = {"type": "Point", "coordinates": [180.0, -16.55]}
    dock = feature("charge_point", "dock", point, zone="all", capacity=2)
    features = [feature("boundary", "taveuni", both), feature("zone", "all", both), dock]
    return {"type": "FeatureCollection", "features": features}


@pytest.mark.parametrize(("west", "east"), [(179.7103214, -179.8685876), (179.7783277, -179.9923674)])
def test_no_slit_is_left_where_a_city_was_cut(west: float, east: float) -> None:
    assert parse_city(taveuni(west, east), "taveuni").boundary.shape.geom_type == "Polygon"


def test_a_city_across_the_antimeridian_is_one_city() -> None:
    city = parse_city(taveuni(), "taveuni")
    assert 10_000 < city.diameter_m < 20_000
    a, b = LatLon(lat=-16.55, lon=179.96), LatLon(lat=-16.55, lon=-179.96)
    assert city.why_not_here(a) is None
    assert city.why_not_here(b) is None
    length = Paths(city).length_m(city.plane.to_point(a), city.plane.to_point(b))
    assert 8_000 < length < 9_000
    back = city.plane.to_latlon(city.plane.to_point(b))
    assert back.lon == pytest.approx(b.lon)


def put_geometry(kind: str, geometry: object) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        first(document, kind)["geometry"] = geometry

    return change


def put_property(kind: str, name: str, value: object) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        first(document, kind)["properties"][name] = value

    return change


POLYGON, POINT = "Polygon", "Point"
NOT_SUPPORTED = [
    ("no_fly", "GeometryCollection", [], "geometry.type", "GeometryCollection"),
    ("no_fly", "LineString", [], "geometry.type", "LineString"),
    ("no_fly", "MultiPolygon", [], "geometry.coordinates", "polygons"),
    ("no_fly", POLYGON, [[5]], "geometry.coordinates[0][0]", "longitude"),
    ("no_fly", POLYGON, [None], "geometry.coordinates[0]", "positions"),
    ("no_fly", POLYGON, [], "geometry.coordinates", "rings"),
    ("no_fly", POLYGON, [box(12.4, 41.8, 12.5, 41.9)[0][:-1]], "geometry.coordinates[0]", "closed"),
    ("charge_point", POINT, [10**400, 1], "geometry.coordinates", "finite"),
    ("charge_point", POINT, [12.4, 41.9, "high"], "geometry.coordinates", "altitude"),
    ("charge_point", "MultiPoint", [[12.4, 41.9]], "geometry.type", "MultiPoint"),
]


@pytest.mark.parametrize(("kind", "type_", "coordinates", "where", "word"), NOT_SUPPORTED)
def test_a_geometry_that_is_not_supported_is_refused_by_its_true_name(
    kind: str, type_: str, coordinates: object, where: str, word: str
) -> None:
    document = rome()
    number = next(i for i, f in enumerate(document["features"]) if f["properties"]["kind"] == kind)
    document["features"][number]["geometry"] = {"type": type_, "coordinates": coordinates}
    with pytest.raises(CityInvalid) as refused:
        parse_city(document, "1.1")
    assert refused.value.field == f"features[{number}].{where}"
    assert word in refused.value.reason


@pytest.mark.parametrize(
    ("change", "field", "word"),
    [
        (put_geometry("zone", None), "features[1].geometry", "object"),
        (put_property("charge_point", "zone", []), "features[2].properties.zone", "zone"),
        (lambda d: d.update(crs={"properties": {"name": "EPSG:3857"}}), "crs", "WGS84"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_true_name(
    change: Callable[[Document], None], field: str, word: str
) -> None:
    document = rome()
    change(document)
    with pytest.raises(CityInvalid) as refused:
        parse_city(document, "1.1")
    assert refused.value.field == field
    assert word in refused.value.reason


def test_a_ring_that_crosses_itself_is_refused_with_the_place() -> None:
    document = rome()
    bow_tie = [[[12.45, 41.90], [12.46, 41.91], [12.46, 41.90], [12.45, 41.91], [12.45, 41.90]]]
    put_geometry("no_fly", {"type": "Polygon", "coordinates": bow_tie})(document)
    with pytest.raises(CityInvalid, match=r"self-intersection at \[12\.455000, 41\.905000\]"):
        parse_city(document, "1.1")


@pytest.mark.parametrize("name", [7, None, [], "x" * 201])
def test_a_new_city_has_texts_for_names_and_an_old_one_is_read_all_the_same(name: object) -> None:
    document = rome()
    first(document, "zone")["properties"]["name"] = name
    assert_only_a_new_city_is_refused(document, "features[1].properties.name")


@pytest.mark.parametrize("text", ["a\nb", "\x00", "a\x1b[2J", "\u2028", "\ud800"])
@pytest.mark.parametrize("member", ["id", "name"])
def test_a_new_city_has_no_text_that_breaks_a_line_and_an_old_one_is_read_all_the_same(
    member: str, text: str
) -> None:
    document = rome()
    first(document, "boundary")["properties"][member] = text
    assert_only_a_new_city_is_refused(document, f"features[0].properties.{member}")


def assert_only_a_new_city_is_refused(document: Document, field: str) -> None:
    parse_city(document, "old")
    with pytest.raises(CityInvalid) as refused:
        refuse_strange_names(document)
    assert refused.value.field == field
