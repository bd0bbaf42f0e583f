"""Slots are for ever, and a key can be made for one."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from dronedispatch.kv.slots import ENDING_LETTERS, SLOTS, ending, facing, slot_of


@pytest.mark.parametrize(
    ("key", "slot"), [("zones", 40), ("drone:1", 38), ("delivery:x", 11), ("", 0), ("à", 26)]
)
def test_the_slot_of_a_key_never_changes(key: str, slot: int) -> None:
    assert slot_of(key) == slot


def test_keys_spread_evenly_over_the_slots() -> None:
    counts = Counter(slot_of(f"delivery:{number}") for number in range(64_000))
    assert len(counts) == SLOTS
    assert max(counts.values()) < 1_300


def test_two_slots_face_each_other() -> None:
    assert all(facing(facing(slot)) == slot != facing(slot) for slot in range(SLOTS))


@given(head=st.text(max_size=40), slot=st.integers(0, SLOTS - 1), chance=st.integers(0, 1 << 20))
def test_an_ending_brings_a_key_into_its_slot(head: str, slot: int, chance: int) -> None:
    assume(head.isprintable())
    letters = ending(head, slot, chance)
    assert len(letters) == 2
    assert set(letters) <= set(ENDING_LETTERS)
    assert slot_of(head + letters) == slot


def test_every_ending_is_drawn() -> None:
    drawn = {ending("delivery:", slot, chance) for slot in range(SLOTS) for chance in range(64)}
    assert len(drawn) == len(ENDING_LETTERS) ** 2
