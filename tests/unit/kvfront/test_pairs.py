"""Two writes, the second behind the first, every message moved by hand: A leads the slot of KEY, B that of FACING_KEY."""

from __future__ import annotations

import pytest

from dronedispatch.kvfront.core import pairing
from dronedispatch.kvfront.core.resolution import Conflict, Done, NotApplied, Unknown
from dronedispatch.kvfront.core.writing import Attempt, Write
from dronedispatch.kvstore.core import rules
from dronedispatch.kvstore.core.txn import Txn
from dronedispatch.replication.calls import (
    DAMAGED,
    JOINING,
    MUST_BE_ABSENT,
    NO_SPACE,
    NOT_SENT,
    TOO_OLD,
    AnyReply,
    Relay,
    Relayed,
    StaleEpoch,
)
from dronedispatch.testing.simulation.stage import FACING_KEY, KEY, Running, Stage
from support.rule_switches import Switch, must_turn_red, put


def stored(stage: Stage, key: str) -> list[bytes | None]:
    """What each replica holds, by the name of its write."""
    records = [engine.get(key) for engine in stage.engines.values()]
    return [None if record is None else record.write_id.rstrip(b"_") for record in records]


def at_the_relay(stage: Stage) -> Running:
    """The first is applied at A, and nobody but A has it."""
    pair = stage.pair("f")
    pair.deliver()
    assert pair.asks() == [("B", "Relay")]
    return pair


def test_a_pair_in_slots_that_face_each_other_takes_three_round_trips() -> None:
    stage = Stage(facing=True)
    pair = at_the_relay(stage)
    pair.deliver()
    assert pair.asks() == [("A", "Replicate")]
    pair.deliver()
    assert [type(each) for each in pair.result] == [Done, Done]
    assert stored(stage, KEY) == [b"first"] * 2
    assert stored(stage, FACING_KEY) == [b"second"] * 2


def test_no_second_is_begun_behind_a_first_that_a_third_member_lacks() -> None:
    stage = Stage(rf=3, facing=True)
    pair = stage.pair("f")
    pair.until("Apply", "C")
    assert stored(stage, KEY) == [b"first"] * 3
    assert [type(each) for each in pair.finish()] == [Done, Done]


def test_no_second_is_begun_behind_a_first_that_the_primary_alone_has() -> None:
    stage = Stage(facing=True)
    stage.pair("f").deliver()
    assert stored(stage, KEY) == [b"first", None]
    assert stored(stage, FACING_KEY) == [None, None]


def test_a_replica_that_cannot_store_the_first_applies_no_second() -> None:
    stage = Stage(facing=True)
    stage.put("f", "before").finish()
    pair = at_the_relay(stage)
    stage.engines["B"].damage(KEY)
    assert pair.until("Relay", "B").arrive() is DAMAGED
    assert stored(stage, FACING_KEY) == [None, None]


@pytest.mark.parametrize(
    "reply",
    [TOO_OLD, JOINING, NOT_SENT, NO_SPACE, DAMAGED, StaleEpoch(1, 1)],
    ids=lambda one: type(one).__name__,
)
def test_a_relay_that_was_not_carried_out_becomes_two_writes(reply: AnyReply) -> None:
    stage = Stage(facing=True)
    pair = at_the_relay(stage)
    pair.refuse("B", reply)
    assert pair.asks() == [("B", "Replicate")]
    pair.until("Apply", "B")
    assert stored(stage, KEY) == [b"first"] * 2
    assert [type(each) for each in pair.finish()] == [Done, Done]
    assert stored(stage, FACING_KEY) == [b"second"] * 2


def test_a_relay_whose_answer_is_lost_is_found_by_reading() -> None:
    stage = Stage(facing=True)
    pair = at_the_relay(stage)
    pair.deafen("B")
    assert [type(each) for each in pair.finish()] == [Done, Done]
    assert stored(stage, FACING_KEY) == [b"second"] * 2


def test_a_relay_that_is_lost_leaves_the_first_stored_and_the_second_unknown() -> None:
    stage = Stage(facing=True)
    pair = at_the_relay(stage)
    late = pair.lose("B")
    first, second = pair.finish()
    assert isinstance(first, Done)
    assert isinstance(second, Unknown)
    assert stored(stage, KEY) == [b"first"] * 2
    assert isinstance(late.arrive(), Relayed), "it may yet be carried out: the second is unknown, not undone"


def test_a_relay_of_an_epoch_that_has_ended_does_nothing() -> None:
    stage = Stage(facing=True)
    late = at_the_relay(stage).until("Relay", "B")
    stage.view_without("A")
    stage.get("g").finish()
    assert isinstance(late.arrive(), StaleEpoch)
    assert stored(stage, KEY)[1] is None
    assert stored(stage, FACING_KEY) == [None, None]


def test_behind_a_first_whose_condition_failed_no_second_is_begun() -> None:
    stage = Stage(facing=True)
    stage.put("f", "before").finish()
    first, second = stage.pair("f", expected=MUST_BE_ABSENT).finish()
    assert isinstance(first, Conflict)
    assert second is None
    assert stored(stage, FACING_KEY) == [None, None]


def test_behind_a_first_that_may_not_be_stored_no_second_is_begun() -> None:
    stage = Stage(facing=True)
    pair = stage.pair("f")
    pair.lose("A")
    first, second = pair.finish()
    assert isinstance(first, Unknown)
    assert second is None


def test_a_second_whose_condition_fails_says_so_and_the_first_stays() -> None:
    stage = Stage(facing=True)
    stage.pair("f").finish()
    pair = at_the_relay(stage)
    stage.engines["B"].put(FACING_KEY, 1, stage.engines["A"].get(KEY))  # type: ignore[arg-type]
    first, second = pair.finish()
    assert isinstance(first, Done)
    assert isinstance(second, Conflict)


def test_a_pair_keeps_to_the_copies_that_must_be_in_sync() -> None:
    stage = Stage(facing=True)
    stage.view_without("B")
    first, second = stage.pair("f", min_in_sync=2).finish()
    assert isinstance(first, NotApplied)
    assert second is None


# --- the rules, switched off ---


def whoever_is_missing(
    applied: Attempt, first: Write, second: Write, min_in_sync: int
) -> tuple[str, Relay] | None:
    """The rule off: the leader of the second's slot, whoever else lacks the first."""
    view = applied.view
    name, disk = view.members(second.slot)[0]
    assert applied.record is not None
    then = second.call(view, disk)
    return name, Relay(view.cluster, view.epoch, disk, first.slot, first.key, applied.record, then)


def whatever_becomes_of_the_first(txn: Txn, call: Relay, now_s: float) -> Relayed:
    """The rule off: the second is applied, and then the first is tried."""
    return Relayed(rules._apply(txn, call.then, now_s))


RULES = (
    Switch("every other member stores the first before the second is begun",
           put({"relay_of": whoever_is_missing}, pairing.__name__),
           test_no_second_is_begun_behind_a_first_that_a_third_member_lacks),
    Switch("the second is applied behind a first that is stored",
           lambda patch: patch.setitem(rules._CARRY_OUT, Relay, whatever_becomes_of_the_first),
           test_a_replica_that_cannot_store_the_first_applies_no_second),
)  # fmt: skip


@pytest.mark.parametrize("switch", RULES, ids=lambda switch: switch.name)
async def test_without_its_rule_a_test_turns_red(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> None:
    switch.off(monkeypatch)
    await must_turn_red(switch)
