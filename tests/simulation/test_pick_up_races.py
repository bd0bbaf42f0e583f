"""No parcel is fetched twice, whatever pauses, dies or comes late; and without either half of the rule it would be."""

from __future__ import annotations

import pytest

from support.pick_up_world import HALVES, run

SEEDS = 24
FOUND_WITHIN = 80  # seeds: one in four notices that a half is off


@pytest.mark.parametrize("part", range(4))
async def test_no_schedule_fetches_a_parcel_twice_or_leaves_one_behind(
    part: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(part, SEEDS, 4):
        verdict = await run(seed, monkeypatch)
        assert verdict.violations == {}, f"seed {seed}"
        assert verdict.observed > 0


@pytest.mark.parametrize("off", HALVES)
async def test_without_either_half_of_the_rule_a_schedule_fetches_a_parcel_twice(
    off: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(FOUND_WITHIN):
        with monkeypatch.context() as patched:
            if (await run(seed, patched, off=(off,))).flown_twice:
                return
    pytest.fail("no schedule has noticed")
