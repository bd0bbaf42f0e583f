"""Who must go when the door is full."""

from __future__ import annotations

from dronedispatch.lb.core.crowd import Crowd


def crowd_of(*silent: tuple[str, str]) -> Crowd[str]:
    crowd: Crowd[str] = Crowd()
    for member, address in silent:
        crowd.came(member, address)
    return crowd


def test_the_longest_silent_one_of_the_address_with_most_connections_goes_first() -> None:
    crowd = crowd_of(("other", "b"), ("first", "a"), ("second", "a"), ("new", "b"))
    crowd.came("third", "a")
    assert crowd.who_must_go("new") == "first"


def test_a_request_under_way_keeps_its_connection() -> None:
    crowd = crowd_of(("one", "a"), ("new", "a"))
    crowd.busy("one", "a")
    assert crowd.who_must_go("new") is None


def test_who_has_never_asked_goes_before_who_rests_between_two_requests() -> None:
    crowd = crowd_of(("rests", "a"), ("silent", "b"), ("new", "a"))
    crowd.busy("rests", "a")
    crowd.rests("rests", "a")
    assert crowd.who_must_go("new") == "silent"
    crowd.left("silent", "b")
    assert crowd.who_must_go("new") == "rests"


def test_who_rested_longest_goes_first() -> None:
    crowd = crowd_of(("one", "a"), ("two", "a"), ("new", "a"))
    for member in ("one", "two"):
        crowd.busy(member, "a")
        crowd.rests(member, "a")
    crowd.busy("one", "a")
    crowd.rests("one", "a")
    assert crowd.who_must_go("new") == "two"


def test_nobody_makes_room_for_himself() -> None:
    assert crowd_of(("new", "a")).who_must_go("new") is None


def test_an_address_is_forgotten_with_its_last_connection() -> None:
    crowd = crowd_of(("one", "a"), ("two", "a"))
    crowd.busy("one", "a")
    crowd.left("one", "a")
    crowd.left("two", "a")
    nobody = crowd.who_must_go("x")
    for member, address in (("three", "a"), ("four", "b"), ("five", "b")):
        crowd.came(member, address)
    assert (nobody, crowd.who_must_go("x")) == (None, "four")
