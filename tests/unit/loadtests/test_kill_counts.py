"""The benchmark of kill -9 cycles: what it calls lost, and that it would see it."""

from __future__ import annotations

import pytest
from loadtests.bench.kv_events import Counts


@pytest.mark.parametrize(
    ("stored", "wrong"),
    [(0, True), (6, True), (7, False), (9, False), (10, True)],
    ids=["gone", "older than acknowledged", "acknowledged", "sent later, outcome unknown", "invented"],
)
def test_a_count_below_the_acknowledged_or_above_the_sent_is_wrong(stored: int, wrong: bool) -> None:
    counts = Counts(sent={"k": 9}, acknowledged={"k": 7})
    assert counts.wrong("k", stored) is wrong


def test_a_key_of_which_no_write_was_acknowledged_may_be_absent_or_hold_what_was_sent() -> None:
    counts = Counts(sent={"k": 2})
    assert not counts.wrong("k", 0)
    assert not counts.wrong("k", 2)
    assert counts.wrong("k", 3)


def test_unknown_and_refused_writes_are_no_successes() -> None:
    assert Counts(writes=10, unknown=2, refused=3).successes == 5
