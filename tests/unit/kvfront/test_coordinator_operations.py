"""READ, WRITE, FINISH, scans and sweeps on a stage where every message is moved by hand."""

from __future__ import annotations

import pytest

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.kvfront.core.resolution import Conflict, Done, NotApplied, Unknown, agreed, newest
from dronedispatch.kvfront.core.scanning import Query
from dronedispatch.kvfront.core.tombstone_gc import Swept
from dronedispatch.kvfront.core.writing import hints_for
from dronedispatch.replication.calls import MUST_BE_ABSENT, MUST_EXIST, Damaged, Found, Joining
from dronedispatch.testing.simulation.stage import KEY, Stage


def record(version: Version, *, tombstone: bool = False) -> Record:
    return Record(version, bytes(16), 1.0, tombstone, None, (), b"")


OLD, NEW = record(Version(1, 1)), record(Version(1, 2))


def test_equal_versions_are_an_answer() -> None:
    assert agreed([Found(NEW), Found(NEW)]) == Found(NEW)
    assert agreed([Found(None), Found(None)]) == Found(None)


@pytest.mark.parametrize(
    "replies", [[Found(NEW), Found(OLD)], [Found(NEW), Found(None)], [Found(NEW), Joining()]]
)
def test_anything_else_is_none(replies: list[Found | Joining]) -> None:
    assert agreed(replies) is None


def test_the_newest_wins_and_whoever_has_less_lags() -> None:
    assert newest([Found(OLD), Found(NEW), Found(None)]) == (NEW, [0, 2])
    assert newest([Found(None), Found(None)]) == (None, [])


@pytest.mark.parametrize("reply", [Joining(), Damaged()])
def test_nothing_is_newest_while_a_member_has_not_answered(reply: Joining | Damaged) -> None:
    assert newest([Found(NEW), reply]) is None


def test_a_write_takes_two_round_trips_and_a_read_one() -> None:
    stage = Stage()
    write = stage.put("f", "one")
    assert write.asks() == [("A", "Apply")]
    write.deliver()
    assert write.asks() == [("B", "Replicate")]
    write.deliver()
    assert isinstance(write.result, Done)
    read = stage.get("f")
    assert read.asks() == [("A", "Read"), ("B", "Read")]
    read.deliver()
    assert read.result.record.version == Version(1, 1)


def test_a_read_repairs_whoever_lags_before_it_answers() -> None:
    stage = Stage(rf=3)
    stage.put("f", "one").finish()
    cut_short = stage.put("f", "two")
    cut_short.until("Replicate", "B")
    read = stage.get("f")
    read.deliver()
    assert read.asks() == [("B", "Replicate"), ("C", "Replicate")]
    read.deliver()
    assert read.result.record.write_id.startswith(b"two")
    assert stage.events == ["read_repair"]


def test_a_failed_condition_carries_what_is_stored_everywhere() -> None:
    stage = Stage()
    stage.put("f", "one").finish()
    cas = stage.put("f", "two", MUST_BE_ABSENT)
    cas.deliver()
    assert cas.asks() == [("B", "Replicate")]
    assert isinstance(cas.finish(), Conflict)
    assert cas.result.record.write_id.startswith(b"one")


def test_a_condition_that_fails_on_nothing_asks_the_others_too() -> None:
    stage = Stage()
    cas = stage.put("f", "two", MUST_EXIST)
    cas.deliver()
    assert cas.asks() == [("B", "Read")]
    assert cas.finish() == Conflict(None, "version")


def test_a_slot_whose_last_disk_is_gone_refuses_writes_definitely() -> None:
    stage = Stage(rf=1)
    stage.restart("A", wiped=True)
    result = stage.put("f", "one", patience_s=0.5).finish()
    assert isinstance(result, NotApplied)
    assert "last_member" in stage.events


def test_too_few_replicas_in_sync_refuse_before_anything_is_applied() -> None:
    stage = Stage()
    stage.view_without("B")
    write = stage.put("f", "one", min_in_sync=2)
    assert isinstance(write.result, NotApplied)
    assert stage.engines["A"].get(KEY) is None


def test_a_silent_backup_is_voted_out_and_the_write_is_a_success() -> None:
    stage = Stage()
    stage.unreachable.add("B")
    write = stage.put("f", "one")
    write.until("Replicate", "B")
    write.lose("B")
    assert isinstance(write.finish(), Done)
    assert [name for name, _ in stage.view.members(0)] == ["A"]
    assert "voted_out" in stage.events


def test_a_silent_primary_leaves_the_outcome_unknown_unless_its_record_is_found() -> None:
    stage = Stage()
    stage.unreachable.add("A")
    lost = stage.put("f", "one")
    lost.lose("A")
    assert isinstance(lost.finish(), Unknown)
    stage = Stage()
    answer_lost = stage.put("f", "one")
    answer_lost.deafen("A")
    assert isinstance(answer_lost.finish(), Done)


def test_a_joining_backup_is_waited_for_and_not_voted_on() -> None:
    stage = Stage()
    stage.engines["B"].set_joining({0})
    write = stage.put("f", "one")
    write.deliver()
    write.deliver()
    assert write.asks() == [("B", "Replicate")]
    stage.engines["B"].set_joining(())
    assert isinstance(write.finish(), Done)
    assert stage.view.epoch == 1


@pytest.mark.parametrize("name", ["A", "B"])
def test_a_damaged_record_is_replaced_by_a_sound_copy_while_the_other_replica_answers(name: str) -> None:
    stage = Stage()
    stage.put("f", "one").finish()
    assert stage.engines[name].damage(KEY)
    assert stage.get("f").finish().record.write_id.startswith(b"one")
    assert [member for member, _ in stage.view.members(0)] != ["A", "B"]
    stage.join(name).finish()
    assert [member for member, _ in stage.view.members(0)] == ["A", "B"]
    record = stage.engines[name].get(KEY)
    assert record is not None
    assert record.write_id.startswith(b"one")


def test_a_write_on_a_damaged_record_is_done_by_the_other_replica() -> None:
    stage = Stage()
    stage.put("f", "one").finish()
    stage.engines["A"].damage(KEY)
    assert isinstance(stage.put("f", "two", Version(1, 1)).finish(), Done)


def test_the_last_copy_damaged_is_refused_and_not_taken_for_absent() -> None:
    stage = Stage(rf=1)
    stage.put("f", "one").finish()
    stage.engines["A"].damage(KEY)
    assert isinstance(stage.get("f", patience_s=0.5).finish(), NotApplied)


def test_an_absent_replica_is_owed_a_hint_outside_its_slot_if_there_is_an_outsider() -> None:
    stage = Stage(rf=3, copies=2)
    assert hints_for(stage.view, 0, KEY, NEW) == []
    stage.view_without("B")
    ((stand_in, hint),) = hints_for(stage.view, 0, KEY, NEW)
    assert (stand_in, hint.target, hint.disk) == ("C", "B", "C1")


def test_without_an_outsider_the_primary_keeps_the_hint() -> None:
    stage = Stage()
    stage.view_without("B")
    ((stand_in, hint),) = hints_for(stage.view, 0, KEY, NEW)
    assert (stand_in, hint.target) == ("A", "B")


def test_a_sweep_purges_under_a_new_epoch_what_all_members_hold_dead() -> None:
    stage = Stage()
    stage.put("f", "one").finish()
    stage.put("f", "", tombstone=True).finish()
    assert stage.sweep("f").finish() == Swept(1, more=False)
    assert stage.view.epoch == 2
    assert [stage.engines[name].get(KEY) for name in "AB"] == [None, None]
    stage.look("f")
    assert stage.put("f", "two").finish().record.version == Version(2, 1)


def test_a_sweep_with_nothing_to_purge_costs_no_epoch() -> None:
    stage = Stage()
    stage.put("f", "one").finish()
    assert stage.sweep("f").finish() == Swept(0, more=False)
    assert stage.view.epoch == 1


def test_a_sweep_without_every_promise_purges_nothing_and_unblocks() -> None:
    stage = Stage()
    stage.put("f", "", tombstone=True).finish()
    sweep = stage.sweep("f")
    sweep.until("Prepare", "B")
    sweep.lose("B")
    assert sweep.finish() == "not every replica promised"
    stage.look("f")
    assert isinstance(stage.put("f", "two").finish(), Done)


def test_a_scan_reads_where_the_lists_differ_and_skips_what_is_dead() -> None:
    stage = Stage()
    cut_short = stage.put("f", "one")
    cut_short.until("Replicate", "B")
    scan = stage.scan("f", Query())
    listing = scan.finish()
    assert [key for key, _ in listing.items] == [KEY]
    assert "scan_differs" in stage.events
    assert stage.engines["B"].get(KEY) is not None
    stage.put("f", "", tombstone=True).finish()
    assert stage.scan("f", Query()).finish().items == ()
