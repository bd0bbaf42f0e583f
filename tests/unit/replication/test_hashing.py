"""Assignments are fair, and change little."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronedispatch.kv.slots import SLOTS, facing
from dronedispatch.replication.hashing import assignment, preference


@given(
    replicas=st.integers(min_value=1, max_value=9),
    rf=st.integers(min_value=1, max_value=4),
)
def test_every_slot_has_rf_different_replicas_and_nobody_more_than_his_share(replicas: int, rf: int) -> None:
    names = [f"store-{number}" for number in range(replicas)]
    chosen = assignment(names, rf)
    copies = min(rf, replicas)
    assert len(chosen) == SLOTS
    assert all(len(set(slot)) == len(slot) == copies for slot in chosen)
    held = Counter(name for slot in chosen for name in slot)
    assert len(held) == replicas
    assert max(held.values()) - min(held.values()) <= 1
    leads = Counter(slot[0] for slot in chosen)
    assert max(leads.values()) - min(leads[name] for name in names) <= 2


@pytest.mark.parametrize("replicas", range(2, 8))
def test_most_slots_that_face_each_other_have_the_same_replicas_in_opposite_order(replicas: int) -> None:
    chosen = assignment([f"store-{number}" for number in range(replicas)], 2)
    opposite = sum(chosen[slot] == chosen[facing(slot)][::-1] for slot in range(SLOTS))
    assert opposite >= SLOTS * 0.75


def test_the_assignment_depends_on_names_and_not_on_their_order() -> None:
    assert assignment(["A", "B", "C"], 2) == assignment(["A", "B", "C"], 2)
    assert preference(7, ["A", "B", "C"]) == preference(7, ["C", "A", "B"])


def test_a_fourth_replica_takes_its_share_and_no_copy_moves_between_the_old_ones() -> None:
    before = assignment(["A", "B", "C"], 2)
    after = assignment(["A", "B", "C", "D"], 2, before)
    for old, new in zip(before, after, strict=True):
        assert set(new) - set(old) <= {"D"}
    assert sum("D" in slot for slot in after) == SLOTS * 2 // 4


def test_without_change_nothing_moves() -> None:
    before = assignment(["A", "B", "C"], 2)
    assert [set(slot) for slot in assignment(["A", "B", "C"], 2, before)] == [set(slot) for slot in before]


@pytest.mark.parametrize(("names", "rf"), [([], 2), (["A"], 0)])
def test_an_assignment_to_nobody_is_refused(names: list[str], rf: int) -> None:
    with pytest.raises(ValueError, match="an assignment needs"):
        assignment(names, rf)
