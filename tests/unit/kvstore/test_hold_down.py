"""When a replica may try to join again."""

from __future__ import annotations

from dronedispatch.kvstore.core.hold_down import HOLD_DOWN_MAX_S, NOT_YET_MAX_S, STEADY_S, HoldDown


def waits(hold_down: HoldDown, attempts: int, *, cheap: bool = False) -> list[float]:
    """How long it waits after each of so many failed attempts."""
    now_s, waited = 100.0, []
    for _ in range(attempts):
        hold_down.failed(now_s, cheap=cheap)
        waited.append(hold_down.wait_s(now_s))
        now_s += waited[-1]
        assert hold_down.wait_s(now_s) == 0.0
    return waited


def test_each_failure_in_a_row_doubles_the_wait_up_to_a_minute() -> None:
    assert waits(HoldDown(), 8) == [1, 2, 4, 8, 16, 32, HOLD_DOWN_MAX_S, HOLD_DOWN_MAX_S]


def test_an_attempt_that_asked_nobody_for_anything_is_repeated_soon() -> None:
    assert waits(HoldDown(), 5, cheap=True) == [1, 2, NOT_YET_MAX_S, NOT_YET_MAX_S, NOT_YET_MAX_S]


def test_one_lost_race_after_long_waiting_for_another_replica_is_the_first_failure() -> None:
    hold_down = HoldDown()
    waits(hold_down, 120, cheap=True)
    assert waits(hold_down, 2) == [1, 2]


def test_who_is_out_again_soon_after_it_has_joined_waits_longer_each_time() -> None:
    hold_down, now_s, waited = HoldDown(), 0.0, []
    for _ in range(4):
        hold_down.joined(now_s)
        now_s += 1.0
        hold_down.lacks(now_s)
        waited.append(hold_down.wait_s(now_s))
        now_s += waited[-1]
    assert waited == [1, 2, 4, 8]


def test_who_has_stayed_in_sync_begins_anew() -> None:
    hold_down = HoldDown()
    waits(hold_down, 5)
    hold_down.joined(200.0)
    hold_down.lacks(200.0 + STEADY_S)
    assert (hold_down.failures, hold_down.wait_s(200.0 + STEADY_S)) == (0, 0.0)


def test_looking_again_at_the_same_lack_is_no_second_failure() -> None:
    hold_down = HoldDown()
    hold_down.joined(0.0)
    for now_s in (1.0, 1.1, 1.2):
        hold_down.lacks(now_s)
    assert hold_down.failures == 1


def test_what_is_no_longer_in_the_way_is_forgiven() -> None:
    hold_down = HoldDown()
    hold_down.failed(0.0)
    hold_down.forgive()
    assert hold_down.wait_s(0.0) == 0.0
