"""Counting live copies: what the view says, held against what the replicas answer."""

from __future__ import annotations

from dronedispatch.replication import view as views
from dronedispatch.replication.copies import Sighting, copies_of
from dronedispatch.replication.hashing import assignment
from dronedispatch.replication.view import Replica, View

NAMES = ("A", "B", "C")
WELL = {name: Sighting(f"{name}1") for name in NAMES}


def view_of(rf: int = 2) -> View:
    replicas = {name: Replica(f"http://{name}", f"{name}1") for name in NAMES}
    return views.bootstrap("c", replicas, rf, assignment(NAMES, rf), "x")


def test_all_there_is_whole() -> None:
    copies = copies_of(view_of(), WELL)
    assert (copies.whole, copies.fewer, copies.one, copies.none, copies.absent) == (64, 0, 0, 0, {})


def test_who_has_not_been_asked_yet_is_believed_to_be_there() -> None:
    assert copies_of(view_of(), {}).whole == 64


def test_one_that_does_not_answer_leaves_its_slots_with_one_copy_before_anybody_has_voted() -> None:
    copies = copies_of(view_of(), {**WELL, "C": Sighting(None)})
    assert copies.fewer == copies.one > 40
    assert copies.none == 0
    assert copies.absent == {"C": "does not answer"}


def test_one_that_was_voted_out_lacks_though_it_answers_and_its_reason_is_told() -> None:
    view = views.left(view_of(), "C", "y")
    copies = copies_of(view, {**WELL, "C": Sighting("C1", "no coordinator reaches C")})
    assert copies.absent == {"C": "no coordinator reaches C"}
    assert copies.fewer > 40


def test_slots_whose_every_disk_is_gone_are_lost_though_no_view_can_say_so() -> None:
    copies = copies_of(view_of(), {name: Sighting(f"{name}2") for name in NAMES})
    assert (copies.whole, copies.none) == (0, 64)
    assert set(copies.absent) == set(NAMES)


def test_with_one_copy_wanted_one_copy_is_whole() -> None:
    assert copies_of(view_of(1), WELL).whole == 64
