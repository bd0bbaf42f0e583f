"""Timed runs of one machine take turns."""

from __future__ import annotations

from pathlib import Path

import pytest
from loadtests.bench.turn import turn


def test_a_second_timed_run_waits_until_the_first_has_ended(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    first = turn(lock)
    first.__enter__()
    said: list[str] = []

    def end_the_first(_seconds: float) -> None:
        first.__exit__(None, None, None)

    with turn(lock, say=said.append, pause=end_the_first):
        assert len(said) == 1
    assert str(lock) in said[0]


def test_who_waits_too_long_measures_nothing_and_says_so(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with (
        turn(lock),
        pytest.raises(SystemExit, match="nothing was measured: another timed run"),
        turn(lock, wait_s=3.0, say=lambda _text: None, pause=lambda _seconds: None),
    ):
        raise AssertionError("both hold it")


def test_a_run_that_failed_leaves_the_turn_to_the_next(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with pytest.raises(ValueError, match="broken"), turn(lock):
        raise ValueError("broken")
    with turn(lock, wait_s=0.0):
        pass
