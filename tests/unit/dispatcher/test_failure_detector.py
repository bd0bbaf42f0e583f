"""Who is silent: by the later ticks of his own drone_sim, and by nothing else for a minute."""

from __future__ import annotations

import pytest

from dronedispatch.dispatcher.core.failure_detector import FailureDetector
from dronedispatch.dispatcher.core.world import UNFLOWN_TICKS


def hear(
    detector: FailureDetector, tick: int, *drones: str, quiet: tuple[str, ...] = (), source: str = "sim-1"
) -> None:
    detector.hear(source, tick, part=0, parts=1, drones=drones, quiet=quiet, now_s=float(tick))


def test_later_ticks_in_which_a_drone_is_quiet_are_counted() -> None:
    detector = FailureDetector()
    hear(detector, 1, "a", "b")
    for tick in (2, 3, 4):
        hear(detector, tick, "b", quiet=("a",))
    assert detector.missed(4.0) == {"a": 3}


def test_a_drone_that_its_source_no_longer_names_is_judged_by_nobody_until_the_rest_is_over() -> None:
    detector = FailureDetector()
    hear(detector, 1, "a", "b")
    found = []
    for tick in range(2, 70):
        hear(detector, tick, "b")
        found.append(detector.missed(float(tick)))
    assert found[:61] == [{}] * 61
    assert found[-1] == {"a": UNFLOWN_TICKS}


def test_a_drone_that_is_heard_again_has_missed_nothing() -> None:
    detector = FailureDetector()
    hear(detector, 1, "a", "b")
    hear(detector, 2, "b", quiet=("a",))
    hear(detector, 3, "a", "b")
    assert detector.missed(3.0) == {}


def test_late_and_doubled_messages_count_for_nothing() -> None:
    detector = FailureDetector()
    hear(detector, 5, "a", "b")
    for _ in range(3):
        hear(detector, 5, "b", quiet=("a",))
        hear(detector, 4, "b", quiet=("a",))
    assert detector.missed(5.0) == {}


def test_a_tick_whose_parts_are_not_all_there_makes_nobody_silent() -> None:
    detector = FailureDetector()
    for tick in (1, 2, 3):
        detector.hear("sim-1", tick, part=0, parts=2, drones=["a"], quiet=["b"], now_s=float(tick))
        if tick == 1:
            detector.hear("sim-1", tick, part=1, parts=2, drones=["b"], now_s=float(tick))
    assert detector.missed(3.0) == {}


def test_a_source_that_says_nothing_makes_its_drones_silent_after_the_rest_only() -> None:
    detector = FailureDetector()
    hear(detector, 0, "a")
    found = [detector.missed(float(now_s)) for now_s in range(1, 62)]
    assert found[:60] == [{}] * 60
    assert found[60] == {"a": UNFLOWN_TICKS}


def test_a_drone_that_is_flown_by_another_source_is_counted_by_that_one_alone() -> None:
    detector = FailureDetector()
    hear(detector, 1, "a", "b", source="sim-1")
    hear(detector, 2, "a", quiet=("b",), source="sim-1")
    hear(detector, 2, "b", source="sim-2")
    hear(detector, 3, "a", source="sim-1")
    assert detector.missed(3.0) == {}


def test_newer_telemetry_in_the_store_is_a_sign_of_life() -> None:
    detector = FailureDetector()
    hear(detector, 1, "a", "b")
    hear(detector, 2, "b", quiet=("a",))
    detector.see("a", 2.0)
    assert detector.missed(2.0) == {}


def test_a_drone_that_was_never_heard_is_silent_after_the_rest() -> None:
    detector = FailureDetector()
    detector.expect("a", 0.0)
    found = [detector.missed(float(now_s)) for now_s in range(62)]
    assert found[60] == {}
    assert found[61] == {"a": UNFLOWN_TICKS}


@pytest.mark.parametrize("pause_s", [6.0, 3600.0])
def test_after_a_pause_of_its_own_it_judges_nobody_by_what_it_slept_over(pause_s: float) -> None:
    detector = FailureDetector()
    detector.expect("never", 1.0)
    hear(detector, 1, "a", "b")
    hear(detector, 2, "b", quiet=("a",))
    assert detector.missed(2.0) == {"a": 1}
    assert detector.missed(2.0 + pause_s) == {}


def test_a_forgotten_drone_is_missed_by_nobody() -> None:
    detector = FailureDetector()
    hear(detector, 1, "a", "b")
    hear(detector, 2, "b", quiet=("a",))
    detector.forget("a")
    hear(detector, 3, "b")
    assert detector.missed(3.0) == {}
