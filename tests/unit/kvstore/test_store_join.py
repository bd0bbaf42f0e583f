"""JOIN and leaving, on a stage: what a returning replica copies, whom it asks, and what it does when something is
in its way.
"""

from __future__ import annotations

from typing import Any

import pytest

from dronedispatch.kv.record import Record
from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvfront.core.resolution import Done
from dronedispatch.kvstore.core import join as core_join
from dronedispatch.kvstore.core import rules as core_rules
from dronedispatch.kvstore.core.join import Joined, NotYet
from dronedispatch.kvstore.core.membership import ATTEMPTS_MAX, announce, leave
from dronedispatch.replication import view as views
from dronedispatch.replication.calls import Fetch, Fetched
from dronedispatch.replication.effects import NONCE, READ_VIEW, Sleep, Swap, SwapView, ViewAt
from dronedispatch.replication.view import Replica
from dronedispatch.testing.simulation.stage import KEY, Stage
from dronedispatch.testing.steps import run_steps


def without_b(*, rf: int = 2) -> Stage:
    """B has missed "two", and f knows that it is out."""
    stage = Stage(rf=rf)
    stage.put("f", "one").finish()
    stage.view_without("B")
    stage.look("f")
    stage.put("f", "two").finish()
    return stage


def stored(stage: Stage, name: str) -> Record | None:
    return stage.engines[name].get(KEY)


def test_a_replica_that_was_away_copies_what_it_has_missed_and_is_in_sync_since_a_new_epoch() -> None:
    stage = without_b()
    assert stage.join("B").finish() == Joined(frozenset({0}), 3)
    assert stored(stage, "B") == stored(stage, "A")
    assert stage.view.since(0, "B", "B1") == 3
    assert stage.engines["B"].joining() == frozenset()


def test_a_replica_with_a_new_disk_joins_with_that_disk() -> None:
    stage = without_b()
    stage.restart("B", wiped=True)
    stage.join("B").finish()
    assert stage.view.since(0, "B", "B1+") == 3
    assert stage.view.replicas["B"].disk == "B1+"


def test_a_replica_that_lacks_nothing_changes_nothing() -> None:
    stage = Stage()
    assert stage.join("B").finish() == Joined(frozenset(), 1)
    assert stage.view.epoch == 1


def test_writers_wait_only_between_the_promise_and_the_view() -> None:
    stage = without_b()
    join = stage.join("B")
    join.until("Prepare", "A")
    assert isinstance(stage.put("f", "three").finish(), Done)
    join.deliver("A")
    blocked = stage.put("f", "four")
    join.finish()
    assert isinstance(blocked.finish(), Done)
    assert stored(stage, "B") == stored(stage, "A")


def test_what_is_written_while_pages_are_copied_comes_with_the_tail() -> None:
    stage = without_b()
    join = stage.join("B")
    join.until("Fetch", "A")
    join.deliver("A")
    stage.put("f", "three").finish()
    join.finish()
    assert stored(stage, "B") == stored(stage, "A")


def test_a_purge_during_the_copy_is_not_undone() -> None:
    stage = without_b()
    join = stage.join("B")
    join.until("Follow", "A")
    stage.put("f", "", tombstone=True).finish()
    stage.sweep("f").finish()
    join.finish()
    assert (stored(stage, "A"), stored(stage, "B")) == (None, None)


def test_every_member_must_promise_or_nobody_grows() -> None:
    stage = without_b(rf=3)
    join = stage.join("B")
    join.until("Prepare", "C")
    join.lose("C")
    assert join.finish() == "C did not promise: Silent"
    assert stage.view.since(0, "B", "B1") is None
    assert (
        stage.view.epoch == 3
    )  # taken for the same sets, so that nobody waits for a view that will not come
    assert isinstance(stage.put("f", "three").finish(), Done)


def test_a_member_that_restarted_has_lost_its_log_and_is_copied_from_anew() -> None:
    stage = without_b()
    join = stage.join("B")
    join.until("Follow", "A")
    stage.restart("A")
    assert join.finish() == "A has trimmed its change log, or has restarted"
    assert isinstance(stage.join("B").finish(), Joined)


def test_a_slot_whose_primary_has_changed_meanwhile_is_not_joined_on_the_old_ones_word() -> None:
    stage = without_b(rf=3)
    join = stage.join("B")
    join.until("Follow", "A")
    stage.view_without("A")
    assert join.finish() == "every slot that was copied has another primary now"
    assert isinstance(stage.join("B").finish(), Joined)


def test_hints_are_a_head_start_and_the_comparison_has_the_last_word() -> None:
    stage = Stage(rf=3, copies=2)
    stage.put("f", "one").finish()
    stage.view_without("B")
    stage.look("f")
    newest = stage.put("f", "two").finish().record
    stage.engines["C"].keep_hint("B", KEY, newest)
    stage.engines["C"].keep_hint("B", "key152", Record(Version(1, 1), bytes(16), 0.0, False, None, (), b""))
    stage.join("B").finish()
    assert stored(stage, "B") == newest
    assert stage.engines["B"].get("key152") is None
    assert "hints_pulled" in stage.events


def test_leaving_needs_one_change_of_the_view() -> None:
    view = Stage().view
    result, made = run_steps(
        leave("A"),
        [(type(READ_VIEW), ViewAt(view, 4)), (type(NONCE), "me"), (SwapView, Swap.DONE)],
    )
    assert not isinstance(result, str)
    assert [name for name, _ in result.members(0)] == ["B"]
    assert made[-1].index == 4


def test_who_is_in_no_set_has_left_already() -> None:
    view = views.left(Stage().view, "A", "x")
    result, _ = run_steps(leave("A"), [(type(READ_VIEW), ViewAt(view, 4)), (type(NONCE), "me")])
    assert result is view


def test_leaving_without_consul_gives_up_with_the_reason() -> None:
    answers: list[tuple[type, Any]] = [(type(READ_VIEW), None), (Sleep, None)] * ATTEMPTS_MAX
    assert run_steps(leave("A"), answers)[0] == "Consul does not answer"


def test_another_address_is_written_into_the_view_by_its_replica() -> None:
    view = Stage().view
    result, _ = run_steps(
        announce("A", "http://elsewhere"),
        [(type(READ_VIEW), ViewAt(view, 4)), (type(NONCE), "me"), (SwapView, Swap.DONE)],
    )
    assert not isinstance(result, str)
    assert (result.epoch, result.replicas["A"]) == (2, Replica("http://elsewhere", "A1"))
    assert result.slots == view.slots


def test_who_cannot_be_reached_does_not_join_and_costs_nobody_an_epoch() -> None:
    stage = without_b()
    stage.unreachable.add("B")
    reason = stage.join("B").finish()
    assert isinstance(reason, NotYet) and reason.startswith("no coordinator reaches B")
    assert (stage.view.epoch, stage.view.since(0, "B", "B1")) == (2, None)
    assert "join_started" not in stage.events


def test_who_is_cut_off_while_it_copies_does_not_join_either() -> None:
    stage = without_b()
    join = stage.join("B")
    join.until("Follow", "A")
    stage.unreachable.add("B")
    assert isinstance(join.finish(), NotYet)
    assert (stage.view.epoch, stage.view.since(0, "B", "B1")) == (2, None)


def test_a_primary_that_is_not_there_yet_is_asked_again_soon() -> None:
    stage = without_b()
    join = stage.join("B")
    join.until("Locate", "A")
    join.lose("A")
    reason = join.finish()
    assert isinstance(reason, NotYet) and reason.startswith("A does not say where it stands")
    assert stage.view.epoch == 2


def test_large_records_are_copied_in_pages_of_bounded_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_rules, "PAGE_BYTES", 2500)
    monkeypatch.setattr(core_join, "PAGE_BYTES", 2500)
    stage = without_b()
    keys = [name for name in (f"large{number}" for number in range(1_000)) if slot_of(name) == 0][:7]
    for key in keys:
        stage.engines["A"].put(key, 0, Record(Version(2, 1), bytes(16), 0.0, False, None, (), bytes(1000)))
    stage.engines["A"].commit(stage.now_s, stage.now_s)
    join, sizes = stage.join("B"), list[int]()
    while not join.ended:
        for call in join.waiting:
            if call is not None and isinstance(call.call, Fetch):
                reply = call.arrive()
                assert isinstance(reply, Fetched)
                sizes.append(sum(len(record.value) for _, record in reply.entries if record is not None))
        join.deliver()
    assert isinstance(join.result, Joined)
    assert sum(sizes) >= 7_000
    assert max(sizes) <= 2500
    assert all(stage.engines["B"].get(key) == stage.engines["A"].get(key) for key in keys)


def test_writers_that_are_quicker_than_the_pages_hold_up_no_join_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(core_rules, "PAGE_BYTES", 1)
    monkeypatch.setattr(core_join, "CATCH_UP_KEYS_MAX", 50)
    stage = without_b()
    keys = [name for name in (f"large{number}" for number in range(10_000)) if slot_of(name) == 0][:100]
    join, followed = stage.join("B"), 0
    join.until("Follow", "A")
    for key in keys:
        stage.engines["A"].put(key, 0, Record(Version(2, 1), bytes(16), 0.0, False, None, (), bytes(1000)))
    stage.engines["A"].commit(stage.now_s, stage.now_s)
    while ("A", "Prepare") not in join.asks():
        followed += ("A", "Follow") in join.asks()
        join.deliver()
    assert followed == 50
    assert isinstance(join.finish(), Joined)
    assert all(stage.engines["B"].get(key) == stage.engines["A"].get(key) for key in keys)
