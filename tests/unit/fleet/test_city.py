"""A document is a city or is refused with the name of the field that is wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dronedispatch.fleet.city import CityInvalid, default_city, parse_city
from dronedispatch.fleet.positions import LatLon
from support.generated_cities import Document, box, copied, first


def rome() -> Document:
    return copied(default_city())


def drop(kind: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document["features"] = [f for f in document["features"] if f["properties"]["kind"] != kind]

    return change


def put(kind: str, part: str, key: str, value: object) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        first(document, kind)[part][key] = value

    return change


NAN = float("nan")
BOW_TIE = [[[12.45, 41.90], [12.46, 41.91], [12.46, 41.90], [12.45, 41.91], [12.45, 41.90]]]
OVER_THE_RIM, ROUND_A_CHARGER = box(12.36, 41.90, 12.38, 41.91), box(12.42, 41.84, 12.44, 41.85)


def test_the_default_city_has_four_zones_with_a_charge_point_each_and_no_fly_areas() -> None:
    city = default_city()
    assert {point.zone for point in city.charge_points} == {zone.id for zone in city.zones}
    assert len(city.zones) == 4
    assert len(city.no_fly) == 3
    assert 27_000 < city.diameter_m < 28_500


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda document: document.update(type="Feature"), "type"),
        (lambda document: document.update(features=[]), "features"),
        (lambda document: document["features"].append("x"), "features[12]"),
        (drop("boundary"), "features"),
        (drop("zone"), "features"),
        (drop("charge_point"), "features"),
        (put("zone", "properties", "kind", "zoo"), "features[1].properties.kind"),
        (put("zone", "properties", "id", "rome"), "features[1].properties.id"),
        (put("zone", "properties", "id", ""), "features[1].properties.id"),
        (put("zone", "geometry", "type", "Point"), "features[1].geometry.type"),
        *(
            (put("charge_point", "properties", "capacity", wrong), "features[2].properties.capacity")
            for wrong in (0, 2.5, 1e300, NAN, True)
        ),
        (put("charge_point", "properties", "zone", "nowhere"), "features[2].properties.zone"),
        (put("charge_point", "geometry", "coordinates", [12.4, NAN]), "features[2].geometry.coordinates"),
        (put("charge_point", "geometry", "coordinates", [11.0, 41.9]), "features"),
        (put("no_fly", "geometry", "coordinates", BOW_TIE), "features[9].geometry"),
        (put("no_fly", "geometry", "coordinates", BOW_TIE[0]), "features[9].geometry.coordinates"),
        (put("no_fly", "geometry", "coordinates", OVER_THE_RIM), "features[9].geometry"),
        (put("no_fly", "geometry", "coordinates", ROUND_A_CHARGER), "features"),
    ],
)
def test_what_is_no_city_is_refused_by_the_name_of_the_field(
    change: Callable[[Document], None], field: str
) -> None:
    document = rome()
    change(document)
    with pytest.raises(CityInvalid) as refused:
        parse_city(document, "1.1")
    assert refused.value.field.startswith(field)


def test_a_whole_number_is_one_with_a_point_too() -> None:
    """JSON does not tell 3.0 from 3."""
    document = rome()
    put("charge_point", "properties", "capacity", 3.0)(document)
    assert repr(parse_city(document, "1.1").charge_points[0].capacity) == "3"


@pytest.mark.parametrize("document", [None, [], 3, "city", {}])
def test_what_is_no_document_at_all_is_refused(document: object) -> None:
    with pytest.raises(CityInvalid):
        parse_city(document, "1.1")


@pytest.mark.parametrize(
    ("pos", "word"),
    [
        (LatLon(lat=41.9, lon=12.9), "outside"),
        (LatLon(lat=41.9039, lon=12.4520), "no-fly"),
        (LatLon(lat=NAN, lon=12.5), "no position"),
    ],
)
def test_a_place_where_nothing_can_land_says_why(pos: LatLon, word: str) -> None:
    assert word in (default_city().why_not_here(pos) or "")


def test_a_street_in_rome_is_a_place() -> None:
    assert default_city().why_not_here(LatLon(lat=41.87, lon=12.50)) is None


def test_zones_rank_by_distance_and_a_zone_is_nearest_to_itself() -> None:
    city = default_city()
    ranks = [city.zone_rank(zone, "south-west") for zone in ("south-west", "south-east", "north-east")]
    assert ranks[0] == 0
    assert ranks[0] < ranks[1] < ranks[2] == 3


def test_every_point_of_the_city_has_a_zone_on_edges_too() -> None:
    city = default_city()
    zones = {city.zone_of(city.plane.to_point(LatLon(lat=41.89, lon=12.37 + 0.01 * i))) for i in range(24)}
    assert zones <= {zone.id for zone in city.zones}


def test_a_city_made_anew_from_its_document_is_the_same() -> None:
    city = default_city().with_capacity(7)
    again = parse_city(city.document, city.version)
    assert again == city
    assert {point.capacity for point in again.charge_points} == {7}


def test_an_open_sky_has_no_areas_in_its_document_either() -> None:
    city = default_city().open_sky()
    assert parse_city(city.document, city.version).no_fly == ()


def test_a_larger_fleet_gets_more_places_to_charge_and_a_small_one_the_same_city() -> None:
    city = default_city()
    assert city.for_fleet(18) is city
    assert sum(point.capacity for point in city.for_fleet(2000).charge_points) == 800
