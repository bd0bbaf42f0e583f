"""Whatever somebody calls a city: a city document that a gateway takes, or one sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from scripts.local import city as command
from scripts.local.city_import import ISLANDS_MAX, Made, Wish, make_city
from scripts.local.city_source import NoQuarters
from shapely import Point

from dronedispatch.fleet.city import City, parse_city
from dronedispatch.fleet.geojson import refuse_strange_names, why_not_wgs84
from support.generated_cities import PLANE, ring_of, wiggly

Document = dict[str, Any]


def square(lon: float, lat: float = 52.0, wide: float = 0.02) -> list[list[Any]]:
    return [[lon, lat], [lon + wide, lat], [lon + wide, lat + wide], [lon, lat + wide], [lon, lat]]


def polygon(*rings: Any) -> Document:
    return {"type": "Polygon", "coordinates": list(rings)}


def feature(geometry: Any, properties: Any = None) -> Document:
    return {"type": "Feature", "properties": properties, "geometry": geometry}


def collection(*features: Any, **members: Any) -> Document:
    return {"type": "FeatureCollection", "features": list(features), **members}


def deep(levels: int, members: str = "features") -> Document:
    inner: Any = A if members == "features" else A["geometry"]
    kind = "FeatureCollection" if members == "features" else "GeometryCollection"
    for _ in range(levels):
        inner = {"type": kind, members: [inner]}
    return dict(inner)


LAMBERT = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
A, B = feature(polygon(square(5.0)), {"name": "A"}), feature(polygon(square(5.02)), {"name": "B"})


def city_of(source: object) -> tuple[Made, City]:
    made = make_city(source, Wish())
    refuse_strange_names(made.document)
    return made, parse_city(made.document, "v")


def names(source: object) -> list[str]:
    return [zone.name for zone in city_of(source)[1].zones]


def one(*rings: Any) -> Document:
    return collection(feature(polygon(*rings)))


AROUND_180 = [[179.96, -0.03], [180, -0.005], [-179.96, -0.03], [-179.96, 0.03], [180, 0.005], [179.96, 0.03]]
POINT = {"type": "Point", "coordinates": [5, 52]}
NOTHING = (feature(None), feature(polygon()), feature(polygon([])), {"type": "Feature"}, None, 7)
CITIES: dict[str, tuple[object, float]] = {  # what, and its ground in square kilometres
    "features": (collection(A, B), 6.1),
    "one feature": (A, 3.04),
    "a bare polygon": (A["geometry"], 3.04),
    "a bare MultiPolygon": ({"type": "MultiPolygon", "coordinates": [[square(5.0)], [square(5.05)]]}, 6.1),
    "a GeometryCollection": ({"type": "GeometryCollection", "geometries": [A["geometry"], POINT]}, 3.04),
    "a GeometryCollection in a feature": (
        collection(feature({"type": "GeometryCollection", "geometries": [A["geometry"], B["geometry"]]})),
        6.1,
    ),
    "a crs that is WGS84": (
        collection(A, crs=LAMBERT | {"properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}),
        3.04,
    ),
    "altitudes": (one([[*at, 12.5] for at in square(5.0)]), 3.04),
    "altitudes here and there": (one([at + [1.0] * (i % 2) for i, at in enumerate(square(5.0))]), 3.04),
    "measures too": (one([[*at, 1, 2] for at in square(5.0)]), 3.04),
    "a hole": (one(square(5.0, 52.0, 0.05), square(5.01, 52.01, 0.01)), 18.3),
    "crossing itself": (one([[5, 52], [5.05, 52.05], [5.05, 52], [5, 52.05], [5, 52]]), 9.5),
    "not closed": (one(square(5.0)[:-1]), 3.04),
    "cut at the antimeridian": (
        collection(feature(polygon(square(179.97, -17, 0.03))), feature(polygon(square(-180.0, -17, 0.03)))),
        21.3,
    ),
    "counted on across the antimeridian": (one(square(179.97, -17, 0.06)), 42.6),
    "wider on either side of the antimeridian than on it": (one(AROUND_180), 34.6),
    "counted from 0 to 360": (one(square(355.0)), 3.04),
    "null and empty geometries beside one": (
        collection(A, feature({"type": "MultiPolygon", "coordinates": [[]]}), *NOTHING),
        3.04,
    ),
    "quarters on each other": (collection(A, A, B), 6.1),
    "a collection in a collection": (collection(collection(A), B), 6.1),
    "a collection in a feature": (feature(collection(A, B)), 6.1),
    "a feature in a feature": (collection(feature(A), B), 6.1),
    "a sliver beside quarters": (collection(A, B, feature(polygon(square(5.0, 52.0, 1e-8)))), 6.1),
}


@pytest.mark.parametrize("shape", CITIES)
def test_what_editors_and_cities_write_is_a_city(shape: str) -> None:
    source, km2 = CITIES[shape]
    made, city = city_of(source)
    assert city.boundary.shape.area / 1e6 == pytest.approx(km2, rel=0.02), made.said
    assert all(city.why_not_here(point.pos) is None for point in city.charge_points)


STRANGE: dict[str, tuple[object, str]] = {
    "nothing": (None, "is no GeoJSON"),
    "a list": ([A], "is no GeoJSON"),
    "no features": (collection(), "no ground in it"),
    "features that are none": ({"type": "FeatureCollection", "features": {"a": 1}}, "features is no list"),
    "TopoJSON": ({"type": "Topology", "arcs": []}, "'Topology' is no GeoJSON"),
    "only null geometries": (collection(feature(None)), "no ground in it"),
    "lines and points": (collection(feature({"type": "LineString", "coordinates": [[5, 52], [6, 52]]})), "no ground"),
    "a polygon without an area": (collection(feature(polygon([[5, 52], [5.1, 52], [5.2, 52], [5, 52]]))), "no ground"),
    "another coordinate system, named": (
        collection(A, crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::28992"}}),
        "EPSG::28992, not WGS84",
    ),
    "another coordinate system, not named": (
        collection(feature(polygon([[120_000, 480_000], [122_000, 480_000], [122_000, 482_000]]))),
        "feature 1: [120000, 480000] is no longitude and latitude",
    ),
    "numbers as texts": (collection(feature(polygon([["5", "52"]] * 4))), "['5', '52'] is no position"),
    "true as a number": (collection(feature(polygon([[True, 52]] * 4))), "[True, 52] is no position"),
    "null as a number": (collection(feature(polygon([[None, 52]] * 4))), "[None, 52] is no position"),
    "endless": (collection(feature(polygon([[float("inf"), 52]] * 4))), "is no longitude and latitude"),
    "not a number": (collection(feature(polygon([[float("nan"), 52]] * 4))), "is no longitude and latitude"),
    "of 400 digits": (collection(feature(polygon([[10**400, 52]] * 4))), "is no longitude and latitude"),
    "positions without rings": (collection(feature(polygon(5, 52))), "a ring must be a list, not 5"),
    "an object for a ring": (collection(feature(polygon({"a": 1}))), "a ring must be a list"),
    "two continents": (collection(A, B, feature(polygon(square(-68.0, 12.0)), {"name": "Far"})), "such as 'Far'"),
    "latitude first": (feature(polygon([[41.8, -87.6], [41.9, -87.6], [41.9, -87.7]])), "latitude seems to come first"),
    "nearer to a pole than any city": (collection(feature(polygon(square(105.0, 86.0)))), "a city lies within 85 degrees"),
    "collections without an end": (deep(25), "lie inside each other more than 20 deep"),
    "geometries without an end": (deep(25, "geometries"), "feature 1: collections lie inside each other"),
    "another coordinate system in a collection inside": (collection(collection(A, crs=LAMBERT)), "EPSG::2154, not WGS84"),
    "another coordinate system in a geometry": (feature({**A["geometry"], "crs": LAMBERT}), "EPSG::2154, not WGS84"),
    "a crs that is no crs": (collection(A, crs="EPSG:4326"), "its crs member names no coordinate system: convert it"),
    "a crs of no name": (collection(A, crs={"type": "name", "properties": {"name": ["x"]}}), "names none that is WGS84"),
    "a grain of sand": (collection(feature(polygon(square(5.0, 52.0, 1e-9)))), "are its numbers degrees?"),
}  # fmt: skip


@pytest.mark.parametrize("shape", STRANGE)
def test_what_is_no_city_is_refused_by_its_true_name(shape: str) -> None:
    source, said = STRANGE[shape]
    with pytest.raises(NoQuarters) as refused:
        make_city(source, Wish())
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("properties", "name"),
    [
        ({"name": "Centro"}, "Centro"),
        ({"NAME": "Up"}, "Up"),
        ({"cartodb_id": 4, "buurtnaam": "Buurt"}, "Buurt"),
        ({"name": {"en": "x"}, "tags": {"a": [1, {"b": None}]}}, "quarter 1"),
        ({"name": 7}, "quarter 1"),
        ({"name": None}, "quarter 1"),
        ({"name": "   "}, "quarter 1"),
        ({"name": "x" * 100_000}, "x" * 200),
        ({"name": "a\x00b\n\ud800c"}, "a b c"),
        ({"name": "北京 🏙"}, "北京 🏙"),
        (None, "quarter 1"),
        (["a"], "quarter 1"),
        ("name", "quarter 1"),
    ],
)
def test_a_quarter_has_a_name_whatever_its_properties_are(properties: object, name: str) -> None:
    assert names(collection(feature(polygon(square(5.0)), properties))) == [name]


def test_quarters_of_one_name_are_zones_with_ids_of_their_own() -> None:
    quarters = [feature(polygon(square(5 + 0.02 * i)), {"name": "Centro", "id": 1}) for i in range(5)]
    zones = city_of(collection(*quarters))[1].zones
    assert ([zone.name for zone in zones], len({zone.id for zone in zones})) == (["Centro"] * 5, 5)


def test_a_coast_of_83_000_corners_is_a_city_within_the_tolerance() -> None:
    made, city = city_of(polygon(ring_of(wiggly(83_000, roughness=0.0003), PLANE)))
    assert len(city.boundary.corners) < 10_000
    assert "83,001 corners simplified" in "".join(made.said)
    assert 0 < float(str(made.said[1]).split("moved by ")[1].split(" m")[0]) <= 10.0


def test_jagged_quarters_on_top_of_each_other_are_refused_by_a_count() -> None:
    jagged = [polygon(ring_of(wiggly(160, roughness=0.3, seed=seed), PLANE)) for seed in range(83)]
    with pytest.raises(NoQuarters, match=r"83 quarters have 13,\d+ edges, and more than 500,000 pairs"):
        make_city(collection(*map(feature, jagged)), Wish())


def test_corners_in_no_order_are_refused_by_a_count() -> None:
    """Mending what crosses itself everywhere costs the square of its corners, and again when gaps are closed."""
    star = [[5 + (i * i * 31 % 997) / 10_000, 52 + (i * i * i * 17 % 991) / 10_000] for i in range(300)]
    with pytest.raises(NoQuarters, match="cross themselves at more than 2,000 places"):
        make_city(polygon(star), Wish())


def test_parts_of_one_quarter_on_top_of_each_other_count_as_quarters_do() -> None:
    jagged = [[ring_of(wiggly(160, roughness=0.3, seed=seed), PLANE)] for seed in range(83)]
    with pytest.raises(NoQuarters, match="more than 500,000 pairs"):
        make_city({"type": "MultiPolygon", "coordinates": jagged}, Wish())


@pytest.mark.parametrize(
    "name",
    ["EPSG:4326", "epsg:4326", "OGC:CRS84", "WGS 84", "urn:ogc:def:crs:EPSG:6.6:4326", "urn:ogc:def:crs:OGC::CRS84",
     "http://www.opengis.net/def/crs/OGC/1.3/CRS84", 4326],
)  # fmt: skip
def test_wgs84_is_known_by_the_names_that_programs_give_it(name: object) -> None:
    member = "code" if name == 4326 else "name"
    assert why_not_wgs84({"type": member, "properties": {member: name}}) is None


@pytest.mark.parametrize(
    "name", ["EPSG:14326", "EPSG:43260", "EPSG:4269", "urn:ogc:def:crs:EPSG::4258", "x EPSG:4326"]
)
def test_another_coordinate_system_is_named(name: str) -> None:
    assert why_not_wgs84({"type": "name", "properties": {"name": name}}) == f"its crs is {name}, not WGS84"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no JSON"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "number of thousands of digits"),
        (b"\x1f\x8b\x08\x00", "it is compressed: unpack it first"),
        (b"PK\x03\x04\xff", "it is compressed: unpack it first"),
        ('{"nom": "Général"}'.encode("latin-1"), r"byte 10 is no UTF-8: convert it first \(iconv -f LATIN1"),
        (b"\xff\xfe{\x00", "it is UTF-16: convert it first"),
        (b'{"type": "Feature"}\n{"type": "Feature"}', "Convert it to one GeoJSON document first"),
        (b"[" * 100_000, "is nested too deeply"),
        ("{}".encode("utf-16"), "is no JSON"),
        (json.dumps(A).encode()[:-9], "is no JSON"),
        (b"<kml/>", "is no JSON"),
    ],
)
def test_a_file_that_is_no_json_is_one_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "x.geojson"
    file.write_bytes(content)
    with pytest.raises(SystemExit, match=said):
        command.main(["import", str(file), "-o", str(tmp_path / "city.json")])


def test_a_byte_order_mark_is_skipped_and_the_picture_lies_beside_the_document(tmp_path: Path) -> None:
    file = tmp_path / "town_hall.geojson"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(collection(A, B)).encode())
    command.main(["import", str(file), "-o", str(tmp_path / "city.json")])
    assert parse_city(json.loads((tmp_path / "city.json").read_text()), "v").boundary.name == "Town Hall"
    assert (tmp_path / "city.svg").read_text().startswith("<svg")


def test_a_file_whose_name_is_no_text_is_a_city_with_a_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9.geojson")
    file.write_text(json.dumps(collection(A)), encoding="utf-8")
    command.main(["import", str(file), "-o", str(file.with_suffix(".json"))])
    document = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    assert document["name"] == "Caf"
    capsys.readouterr().out.encode()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["-o", "town.geojson"], "the file of quarters and the document are both"),
        (["-o", "./town.svg"], "the document and its picture are both"),
        (["-o", "city.json", "--picture", "city.json"], "the document and its picture are both"),
        (["-o", "city.json", "--picture", "town.geojson"], "the file of quarters and its picture are both"),
    ],
)
def test_no_file_is_written_over_another_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    text = json.dumps(collection(A))
    Path("town.geojson").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match=said):
        command.main(["import", "town.geojson", *options])
    assert [(file.name, file.read_text(encoding="utf-8")) for file in tmp_path.iterdir()] == [
        ("town.geojson", text)
    ]


@pytest.mark.parametrize(
    "options",
    [
        ["--tolerance", "nan"],
        ["--tolerance", "-1"],
        ["--gap", "-5"],
        ["--gap", "nan"],
        ["--capacity", "0"],
        ["--charge-points", "-2"],
        ["--charge-points", "100000"],
    ],
)
def test_an_option_that_makes_no_sense_is_refused_with_its_bounds(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["import", str(tmp_path / "x"), "-o", str(tmp_path / "y"), *options])
    assert ended.value.code == 2
    assert f"argument {options[0]}: must be" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_to_is_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "x.geojson"
    file.write_text(json.dumps(A))
    with pytest.raises(SystemExit, match="cannot write"):
        command.main(["import", str(file), "-o", str(tmp_path / "nowhere" / "city.json")])


def test_a_city_across_the_antimeridian_is_cut_there_and_every_half_is_where_it_was() -> None:
    east = [[[-180, -17], [-179.97, -17], [-179.97, -16.97], [-180, -16.97]]]
    made = make_city({"type": "MultiPolygon", "coordinates": [[square(179.97, -17, 0.03)], east]}, Wish())
    boundary = made.document["features"][0]["geometry"]
    assert boundary["type"] == "MultiPolygon"
    assert sorted({lon for part in boundary["coordinates"] for lon, _ in part[0]}) == [
        -180,
        -179.97,
        179.97,
        180,
    ]


def test_an_island_too_narrow_to_keep_room_on_both_sides_has_a_charge_point_too() -> None:
    key = [[5.1, 52.0], [5.1014, 52.0], [5.1014, 52.05], [5.1, 52.05], [5.1, 52.0]]
    _, city = city_of({"type": "MultiPolygon", "coordinates": [[square(5.0, 52.0, 0.05)], [key]]})
    assert all(any(part.contains(Point(at)) for at in city.charge_xy_m) for part in city.boundary.shape.geoms)


def test_a_quarter_with_a_part_that_is_a_point_once_rounded_is_a_zone() -> None:
    x, y = 139.7037308, 35.7025506
    speck = [[x - 2e-8, y], [x + 2e-8, y], [x, y + 2e-8], [x - 2e-8, y]]
    corner = [[139.7028671, 35.7030358], [139.7036434, 35.7024826], [139.7038892, 35.7032384]]
    quarter = {"type": "MultiPolygon", "coordinates": [[[*corner, corner[0]]], [speck]]}
    source = collection(feature(polygon(square(139.7, 35.7))), feature(quarter, {"name": "Corner"}))
    made = make_city(source, Wish(tolerance_m=0.0))
    assert [zone.name for zone in parse_city(made.document, "v").zones] == ["quarter 1", "Corner"]


def archipelago(count: int) -> Any:
    """Squares of half a square kilometre, a kilometre apart."""
    corners = [(5.0 + 0.02 * (number % 20), 52.0 + 0.015 * (number // 20)) for number in range(count)]
    rings = [[[[x, y], [x + 0.01, y], [x + 0.01, y + 0.007], [x, y + 0.007], [x, y]]] for x, y in corners]
    return {"type": "MultiPolygon", "coordinates": rings}


def test_islands_beyond_the_most_are_counted_and_refused_before_anything_is_spread() -> None:
    made = make_city(archipelago(ISLANDS_MAX), Wish(spread=1))
    assert f"{ISLANDS_MAX} parts with no way between them" in "\n".join(made.said)
    with pytest.raises(
        NoQuarters, match=r"has 1,250 islands .* 200 are the most: leave some out, or .* --gap"
    ):
        make_city(archipelago(1250), Wish())
