"""The map's picture: joined, in order of ticks, and told as changes."""

from __future__ import annotations

import msgspec

from dronedispatch.fleet.drones import Drone, DroneStatus, Telemetry
from dronedispatch.fleet.positions import LatLon
from dronedispatch.gateway.core.fleet_picture import FleetPicture
from dronedispatch.gateway.core.stream import DRONES, Board, Reader
from dronedispatch.kv.version import Version
from dronedispatch.testing.fleet import a_drone, telemetry_for


def drone(drone_id: str, status: DroneStatus = DroneStatus.IDLE, n: int = 1) -> tuple[Drone, Version]:
    return a_drone(drone_id, status=status), Version(1, n)


def telemetry(drone_id: str, tick: int, lat: float = 41.9) -> Telemetry:
    return telemetry_for(drone_id, pos=LatLon(lat, 12.5), tick=tick)


def pictured(*names: str, tick: int = 1) -> FleetPicture:
    """Both records of each are known."""
    picture = FleetPicture()
    picture.records([drone(name) for name in names])
    picture.telemetry([telemetry(name, tick) for name in names])
    return picture


def ids(picture: FleetPicture, since: int) -> list[str]:
    return [shown.id for shown in picture.changes(since)]


def test_a_drone_is_shown_when_both_records_are_known() -> None:
    picture = FleetPicture()
    picture.telemetry([telemetry("a", 1)])
    assert ids(picture, 0) == []
    picture.records([drone("a"), drone("b")])
    assert ids(picture, 0) == ["a"]
    assert picture.unplaced


def test_only_what_has_changed_since_is_told() -> None:
    picture = pictured("a", "b")
    before = picture.serial
    picture.telemetry([telemetry("a", 2, lat=41.95), telemetry("b", 2)])
    assert ids(picture, before) == ["a"]
    assert ids(picture, picture.serial) == []
    picture.some_records([drone("b", DroneStatus.BUSY, n=2)])
    assert ids(picture, before) == ["a", "b"]


def test_late_telemetry_changes_nothing() -> None:
    picture = pictured("a", tick=5)
    before = picture.serial
    picture.telemetry([telemetry("a", 4, lat=41.91)])
    assert picture.serial == before
    assert picture.changes(0)[0].pos.lat == 41.9


def test_of_two_records_of_a_drone_the_newer_version_is_shown_whoever_brings_it() -> None:
    picture = FleetPicture()
    picture.telemetry([telemetry("a", 1)])
    picture.some_records([drone("a", DroneStatus.BUSY, n=7)])
    picture.records([drone("a", DroneStatus.IDLE, n=6)])
    picture.some_records([drone("a", DroneStatus.CHARGING, n=5)])
    assert [shown.status for shown in picture.changes(0)] == [DroneStatus.BUSY]


def test_a_drone_whose_record_is_gone_is_no_longer_shown() -> None:
    picture = pictured("a", "b")
    picture.records([drone("b")])
    assert ids(picture, 0) == ["b"]
    assert picture.statuses() == {"inactive": 0, "idle": 1, "busy": 0, "charging": 0, "retiring": 0}


def test_a_reader_gets_the_whole_picture_first_and_changes_then() -> None:
    board = Board(10)
    board.fleet.records([drone("a"), drone("b")])
    board.fleet.telemetry([telemetry("a", 1), telemetry("b", 1)])
    reader = Reader(board, {DRONES}, None)
    assert _told(reader) == (True, ["a", "b"])
    board.fleet.telemetry([telemetry("b", 2, lat=41.91)])
    board.fleet.telemetry([telemetry("b", 3, lat=41.92)])
    assert _told(reader) == (False, ["b"])
    assert reader.next_bytes(0.0) == b""


def _told(reader: Reader) -> tuple[bool, list[str]]:
    data = reader.next_bytes(0.0).decode().partition("data: ")[2]
    document = msgspec.json.decode(data)
    return document["whole"], [one["id"] for one in document["drones"]]


def silent(picture: FleetPicture) -> list[str]:
    return [shown.id for shown in picture.changes(0) if shown.silent]


def test_a_drone_that_is_not_flown_for_three_ticks_is_shown_as_silent_until_it_is_flown_again() -> None:
    picture = pictured("a", "b")
    for _ in range(2):
        picture.heard(quiet=["a"], flown=["b"])
    assert silent(picture) == []
    before = picture.serial
    picture.heard(quiet=["a"], flown=["b"])
    assert (silent(picture), ids(picture, before)) == (["a"], ["a"])
    picture.telemetry([telemetry("a", 1)])
    assert silent(picture) == ["a"]  # a record that came late is no sign of life
    before = picture.serial
    picture.heard(quiet=[], flown=["a", "b"])
    assert (silent(picture), ids(picture, before)) == ([], ["a"])


def test_a_tick_that_a_drone_is_flown_in_begins_the_count_anew() -> None:
    picture = pictured("a")
    for quiet in (["a"], ["a"], [], ["a"], ["a"]):
        picture.heard(quiet=quiet, flown=[] if quiet else ["a"])
    assert silent(picture) == []
