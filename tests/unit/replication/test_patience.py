"""How long silence must last: the configured limits where answers are quick, longer where they are not, never for ever."""

from __future__ import annotations

import pytest

from dronedispatch.replication.effects import Pulse
from dronedispatch.replication.patience import FACTOR, REMEMBERED_S, ReplicaPatience


@pytest.fixture
def patience() -> ReplicaPatience:
    return ReplicaPatience(call_s=0.5, call_most_s=1.5, ping_s=0.2, ping_most_s=2.0)


def test_where_answers_are_quick_the_limits_are_the_configured_ones(patience: ReplicaPatience) -> None:
    assert (patience.call_s(100.0), patience.ping_s(100.0)) == (0.5, 0.2)
    patience.took(100.0, 0.04)
    assert (patience.call_s(100.0), patience.ping_s(100.0)) == (0.5, 0.2)


def test_where_answers_have_taken_long_silence_must_last_several_times_as_long(
    patience: ReplicaPatience,
) -> None:
    patience.took(100.0, 0.3)
    patience.took(101.0, 0.01)
    assert patience.call_s(101.0) == patience.ping_s(101.0) == FACTOR * 0.3


def test_a_limit_has_an_end_however_slow_the_machine_is(patience: ReplicaPatience) -> None:
    patience.took(100.0, 60.0)
    assert (patience.call_s(100.0), patience.ping_s(100.0)) == (1.5, 2.0)


def test_what_has_taken_long_is_forgotten(patience: ReplicaPatience) -> None:
    patience.took(100.0, 0.3)
    assert patience.ping_s(100.0 + REMEMBERED_S) == FACTOR * 0.3
    assert patience.ping_s(100.0 + 2 * REMEMBERED_S) == 0.2


def test_a_pause_without_any_answer_forgets_all(patience: ReplicaPatience) -> None:
    patience.took(100.0, 0.3)
    assert patience.ping_s(100.0 + 3 * REMEMBERED_S) == 0.2


def test_silence_for_the_whole_of_a_limit_is_silence(patience: ReplicaPatience) -> None:
    assert patience.silence(100.0, 0.2, 0.21) is Pulse.SILENT


def test_who_looks_up_late_was_asleep_and_is_more_patient_from_then_on(patience: ReplicaPatience) -> None:
    assert patience.silence(100.0, 0.2, 0.6) is Pulse.UNSURE
    assert patience.ping_s(100.0) == pytest.approx(FACTOR * 0.4)


def test_silence_that_is_shorter_than_others_have_taken_meanwhile_says_nothing(
    patience: ReplicaPatience,
) -> None:
    patience.took(100.0, 0.15)
    assert patience.silence(100.0, 0.2, 0.2) is Pulse.UNSURE


def test_everybodys_silence_makes_more_patient(patience: ReplicaPatience) -> None:
    patience.nobody(100.0, 0.2)
    assert patience.ping_s(100.0) == FACTOR * 0.2
