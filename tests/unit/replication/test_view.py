"""The view's changes: each raises the epoch by one, none empties a slot, and members keep the order of the assignment."""

from __future__ import annotations

import pytest

from dronedispatch.replication import view as views
from dronedispatch.replication.hashing import assignment
from dronedispatch.replication.rules import without
from dronedispatch.replication.view import Member, Replica, Slot, View

NAMES = ("A", "B", "C")


def first_view(rf: int = 2, names: tuple[str, ...] = NAMES) -> View:
    replicas = {name: Replica(f"http://{name}", f"{name}1") for name in names}
    return views.bootstrap("cluster", replicas, rf, assignment(names, rf), "me")


def small(*slots: tuple[str, ...]) -> View:
    replicas = {name: Replica(f"http://{name}", f"{name}1") for name in (*NAMES, "D")}
    return views.bootstrap("cluster", replicas, 2, slots, "me")


def test_the_document_is_read_back_as_it_was_written_and_is_small() -> None:
    view = first_view()
    document = views.encode(view)
    assert views.decode(document) == view
    assert len(document) < 10_000


@pytest.mark.parametrize(
    "document", [b"", b"{}", b"[]", b'{"cluster":"c","epoch":1,"by":"","rf":2,"nodes":{},"slots":[]}']
)
def test_a_document_that_is_no_view_is_refused(document: bytes) -> None:
    with pytest.raises(ValueError, match="not a view"):
        views.decode(document)


def test_a_slot_without_a_replica_is_no_view() -> None:
    view = first_view()
    emptied = views.encode(View("c", 1, "", 2, view.replicas, (Slot(("A",), {}), *view.slots[1:])))
    with pytest.raises(ValueError, match="slot without a replica"):
        views.decode(emptied)


def test_members_are_in_the_order_of_the_assignment_and_leavers_come_last() -> None:
    slot = Slot(("B", "A"), {"A": Member(1, "a"), "C": Member(1, "c"), "B": Member(2, "b")})
    assert slot.members() == ("B", "A", "C")


def test_a_vote_removes_the_bad_one_everywhere_else_remains() -> None:
    view = small(("A", "B"), ("B", "A"), ("A",))
    after = views.vote_out(view, {"A": "A1"}, "you", seen=1)
    assert (after.epoch, after.by) == (2, "you")
    assert [after.members(number) for number in range(3)] == [(("B", "B1"),), (("B", "B1"),), (("A", "A1"),)]


def test_a_vote_against_all_members_of_a_slot_changes_nothing() -> None:
    view = small(("A", "B"))
    assert views.vote_out(view, {"A": "A1", "B": "B1"}, "you", seen=1) is view


def test_a_vote_against_another_disk_or_a_younger_membership_changes_nothing() -> None:
    view = small(("A", "B"))
    assert views.vote_out(view, {"A": "A0"}, "you", seen=1) is view
    rejoined = views.joined(views.vote_out(view, {"A": "A1"}, "x", seen=1), "A", "A1", {0}, "y")
    assert views.vote_out(rejoined, {"A": "A1"}, "you", seen=1) is rejoined


def test_a_vote_for_silence_leaves_one_that_answers() -> None:
    view = small(("A", "B"), ("A", "C"), ("A",))
    after = views.vote_out(view, {"A": "A1"}, "you", seen=1, answering={"C"})
    assert [slot.members() for slot in after.slots[:3]] == [("A", "B"), ("C",), ("A",)]


def test_without_rule_10_a_stale_replica_would_be_put_in_charge() -> None:
    view = views.vote_out(small(("A", "B")), {"B": "B1"}, "x", seen=1)
    after = views.vote_out(view, {"A": "A1"}, "y", seen=2, rules=without(10))
    assert after.members(0) == (("B", "B1"),)


def test_a_joiner_is_in_sync_since_the_new_epoch_with_its_present_disk() -> None:
    out = views.vote_out(small(("A", "B")), {"A": "A1"}, "x", seen=1)
    back = views.joined(out, "A", "A2", {0}, "y")
    assert back.epoch == 3
    assert back.since(0, "A", "A2") == 3
    assert back.since(0, "A", "A1") is None
    assert back.replicas["A"] == Replica("http://A", "A2")
    assert back.members(0) == (("A", "A2"), ("B", "B1"))


def test_a_move_is_complete_when_the_newcomer_joins_and_only_then_does_the_leaver_go() -> None:
    moved = views.reassigned(small(("A", "B")), {0: ("A", "D")}, "x")
    assert [name for name, _ in moved.members(0)] == ["A", "B"]
    assert moved.lacking_slots("D", "D1") == {0}
    done = views.joined(moved, "D", "D1", {0}, "y")
    assert [name for name, _ in done.members(0)] == ["A", "D"]
    assert done.epoch == 3


def test_a_move_to_those_who_have_it_drops_the_leaver_at_once() -> None:
    assert [name for name, _ in views.reassigned(small(("A", "B")), {0: ("A",)}, "x").members(0)] == ["A"]


def test_a_primary_that_must_follow_begins_its_membership_anew() -> None:
    swapped = views.reassigned(small(("A", "B")), {0: ("B", "A")}, "x")
    assert [name for name, _ in swapped.members(0)] == ["B", "A"]
    assert swapped.since(0, "A", "A1") == 2
    assert swapped.since(0, "B", "B1") == 1
    leaving = views.reassigned(small(("A", "B")), {0: ("B", "C")}, "x")
    assert leaving.since(0, "A", "A1") == 2


@pytest.mark.parametrize("names", [(), ("E",), ("A", "A")])
def test_a_slot_cannot_be_assigned_to_strangers_nobody_or_one_twice(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="cannot be assigned"):
        views.reassigned(small(("A", "B")), {0: names}, "x")


def test_leaving_empties_no_slot() -> None:
    after = views.left(small(("A", "B"), ("A",)), "A", "x")
    assert [after.members(number) for number in (0, 1)] == [(("B", "B1"),), (("A", "A1"),)]


def test_a_lost_disk_keeps_its_slot_refused_while_the_replica_can_join_others() -> None:
    view = small(("A",), ("A", "B"))
    assert view.lacking_slots("A", "A2") == {1}
    assert view.since(0, "A", "A2") is None


def test_only_the_operator_starts_a_lost_slot_again() -> None:
    after = views.accepted_loss(small(("A",)), 0, "A", "A2", "x")
    assert after.members(0) == (("A", "A2"),)
    assert after.since(0, "A", "A2") == 2


def test_a_node_with_slots_cannot_be_forgotten() -> None:
    view = small(("A", "B"))
    with pytest.raises(ValueError, match="still has 1 slots"):
        views.without_replica(view, "A", "x")
    assert "D" not in views.without_replica(view, "D", "x").replicas


def test_a_known_node_changes_nothing_and_a_new_address_raises_the_epoch() -> None:
    view = small(("A", "B"))
    assert views.with_replica(view, "A", view.replicas["A"], "x") is view
    moved = views.with_replica(view, "A", Replica("http://elsewhere", "A1"), "x")
    assert (moved.epoch, moved.replicas["A"].url) == (2, "http://elsewhere")


def test_a_bump_changes_the_epoch_alone() -> None:
    view = small(("A", "B"))
    bumped = views.bumped(view, "x", 9)
    assert (bumped.epoch, bumped.by, bumped.slots) == (9, "x", view.slots)
    assert bumped.members(0) == view.members(0)
