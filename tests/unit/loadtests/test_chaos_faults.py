"""What `scripts/bench chaos` may do: nothing to the machine itself unless it is asked for by name."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, cast

import pytest
from loadtests.bench import chaos_faults
from loadtests.bench.chaos_faults import FAULTS, step_clock, wanted_faults

from support.waiting import until


def test_all_is_what_this_user_may_do_to_the_system_alone() -> None:
    assert set(FAULTS) - set(wanted_faults(["all"], root=True)) == {"clock"}
    of_root, of_others = (set(wanted_faults(["all"], root=root)) for root in (True, False))
    assert of_root - of_others == {"one-way", "full-disk"}
    assert wanted_faults(["clock", "frozen", "clock"], root=True) == ("clock", "frozen")
    assert wanted_faults([], root=True) == ()


class Machine:
    """Its clocks, in the place of the module `time`."""

    CLOCK_REALTIME = 0

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.off_s = 0.0
        self.was_off_s: list[float] = []

    def monotonic(self) -> float:
        self.passed_s += 1.0
        return 7.0 + self.passed_s

    def time(self) -> float:
        return 1000.0 + self.passed_s + self.off_s

    def clock_settime(self, _clock: int, wall_s: float) -> None:
        self.off_s = wall_s - 1000.0 - self.passed_s
        self.was_off_s.append(self.off_s)


@pytest.mark.virtual_time
@pytest.mark.parametrize("seed", range(4))
async def test_a_clock_that_was_set_is_right_again_whatever_ends_the_fault(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    monkeypatch.setattr(chaos_faults, "time", machine)
    assert await step_clock(cast(Any, None), Random(seed)) in {"ahead", "back"}
    ended = asyncio.create_task(step_clock(cast(Any, None), Random(seed)))
    await until(lambda: machine.off_s != 0.0, "the clock is set")
    ended.cancel()
    await asyncio.gather(ended, return_exceptions=True)
    first, after_first, second, after_second = machine.was_off_s
    assert (after_first, after_second) == (0.0, 0.0)
    assert 5.0 <= abs(first) <= 60.0
    assert 5.0 <= abs(second) <= 60.0
