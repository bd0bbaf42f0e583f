"""Who gets the next request, and who gets none for a while."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dronedispatch.lb.core import ejection
from dronedispatch.lb.core.balance import LeastInFlight, RoundRobin, warmth


@dataclass
class One:
    id: str
    in_flight: int = 0
    since_s: float = -1e9
    credit: float = 0.0


def test_round_robin_gives_each_its_turn() -> None:
    robin, table = RoundRobin(10.0), [One("a"), One("b"), One("c")]
    picked = [robin.pick(table, (), 10, 0.0, warming=False) for _ in range(300)]
    assert Counter(one.id for one in picked if one) == {"a": 100, "b": 100, "c": 100}


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.sets(st.sampled_from("012345")), st.booleans())
def test_nobody_tried_or_full_is_picked_and_somebody_else_is(
    loads: list[int], tried: set[str], warming: bool
) -> None:
    table = [One(str(number), in_flight=load) for number, load in enumerate(loads)]
    allowed = {one.id for one in table if one.in_flight < 2 and one.id not in tried}
    for balancer in (RoundRobin(10.0), LeastInFlight(10.0)):
        picked = balancer.pick(table, tried, 2, 0.0, warming=warming)
        assert (picked.id in allowed) if picked else not allowed


def test_the_least_busy_is_picked_and_equals_take_turns() -> None:
    least, table = LeastInFlight(0.0), [One("a", 3), One("b", 1), One("c", 1)]
    picked = [least.pick(table, (), 10, 0.0, warming=False) for _ in range(10)]
    assert Counter(one.id for one in picked if one).keys() == {"b", "c"}


def test_a_new_gateway_warms_up() -> None:
    robin, table = RoundRobin(10.0), [One("old"), One("new", since_s=100.0)]
    start = Counter(one.id for _ in range(110) if (one := robin.pick(table, (), 10, 100.0, warming=True)))
    assert start["new"] == pytest.approx(10, abs=1)
    later = Counter(one.id for _ in range(100) if (one := robin.pick(table, (), 10, 110.0, warming=True)))
    assert later["new"] == pytest.approx(50, abs=1)


def test_warmth_rises_from_a_tenth_to_all() -> None:
    warmths = [warmth(0.0, now_s, 10.0) for now_s in (0.0, 5.0, 10.0, 99.0)]
    assert warmths == pytest.approx([0.1, 0.55, 1.0, 1.0])
    assert warmth(0.0, 0.0, 0.0) == 1.0


def test_five_failures_in_a_row_are_an_ejection_and_a_success_between_them_is_not() -> None:
    record = ejection.EjectionRecord()
    outcomes = []
    for fails in (True, True, False, True, True, True, True, True):
        if fails:
            outcomes.append(ejection.failed(record, 1.0, hard=True))
        else:
            ejection.succeeded(record, 1.0)
    assert outcomes == [False] * 6 + [True]


def test_each_ejection_is_thirty_seconds_longer_up_to_ten_of_them() -> None:
    record = ejection.EjectionRecord()
    lengths = [ejection.eject(record, 1000.0) - 1000.0 for _ in range(12)]
    assert lengths == [30.0 * times for times in (*range(1, 11), 10, 10)]


def test_after_an_ejection_one_failure_is_enough_and_one_success_forgives() -> None:
    record = ejection.EjectionRecord()
    ejection.eject(record, 0.0)
    assert not ejection.failed(record, 29.0, hard=True)
    assert ejection.failed(record, 31.0, hard=True)
    ejection.succeeded(record, 31.0)
    assert not ejection.failed(record, 32.0, hard=True)


def test_five_quiet_minutes_forget_earlier_ejections() -> None:
    record = ejection.EjectionRecord()
    ejection.eject(record, 0.0)
    ejection.succeeded(record, 100.0)
    assert record.times == 1
    ejection.succeeded(record, 331.0)
    assert record.times == 0


def test_a_probe_that_answers_ends_an_ejection_on_probation() -> None:
    record = ejection.EjectionRecord()
    ejection.eject(record, 0.0)
    ejection.readmit(record, 5.0)
    assert not record.ejected(5.0)
    assert ejection.failed(record, 6.0, hard=True)


@pytest.mark.parametrize(
    ("total", "ejected", "hard", "may"),
    [
        (1, 0, True, False),
        (3, 0, True, True),
        (3, 1, True, True),
        (3, 2, True, False),
        (3, 0, False, True),
        (3, 1, False, False),
        (2, 0, False, True),
        (4, 1, False, True),
        (4, 2, False, False),
    ],
)
def test_somebody_is_always_kept_and_shared_failures_cost_half_at_most(
    total: int, ejected: int, hard: bool, may: bool
) -> None:
    assert (ejection.why_not_eject(total, ejected, hard=hard) is None) is may
