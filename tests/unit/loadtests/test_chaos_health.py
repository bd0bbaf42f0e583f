"""What scripts/bench chaos makes of its looks and answers."""

from __future__ import annotations

from collections import Counter

from loadtests.bench.chaos_health import Spell, longest_gaps, said_beside_truth

SPELLS = [Spell("frozen", "kvstore-1", 10.0, 15.0), Spell("one-way", "kvstore-2", 30.0, 40.0)]


def test_a_gap_belongs_to_the_last_fault_that_had_begun_before_it_ended() -> None:
    answered = [0.0, 5.0, 11.0, 12.0, 29.0, 38.0, 39.0]
    assert longest_gaps(answered, SPELLS) == {"frozen": 17.0, "one-way": 9.0}


def test_without_a_fault_no_gap_is_told() -> None:
    assert longest_gaps([0.0, 100.0], []) == {}


def test_what_the_page_said_is_counted_by_what_was_true() -> None:
    looks: list[tuple[float, str, tuple[str, ...]]] = [
        (5.0, "healthy", ()),
        (12.0, "degraded", ("slots_short",)),
        (20.0, "healthy", ()),
        (35.0, "no answer", ()),
        (101.0, "healthy", ()),
    ]
    assert said_beside_truth(looks, SPELLS) == {
        "quiet": Counter({"healthy": 2}),
        "frozen": Counter({"degraded (slots_short)": 1}),
        "after a fault": Counter({"healthy": 1}),
        "one-way": Counter({"no answer": 1}),
    }
