"""Whole simulated clusters: 5,000 seeds in CI, more by `scripts/simulate --seeds N`."""

from __future__ import annotations

from collections import Counter

import pytest

from dronedispatch.replication.rules import without
from dronedispatch.testing.simulation.campaign import MUST_HAPPEN, campaign, run_seeds, why_idle
from dronedispatch.testing.simulation.command import main
from dronedispatch.testing.simulation.run import simulate

SEEDS = 5_000
JOBS = 2
FOUND_WITHIN = {1: 50, 2: 50, 5: 100, 6: 100, 7: 50, 8: 50, 10: 50, 12: 50, 15: 50}
"""Rules whose absence so few seeds notice that CI can afford to see it; `scripts/simulate --rule-off N` does it
for all.
"""


def test_no_seed_gives_a_wrong_answer_and_every_cluster_comes_back_to_health() -> None:
    counts: Counter[str] = Counter()
    failures: list[tuple[int, str, str]] = []
    seeds = 0
    for part in campaign(0, SEEDS, jobs=JOBS):
        seeds += part.seeds
        counts += part.counts
        failures += part.failures
    assert failures == [], f"see it again: scripts/simulate --seed {failures[0][0]}"
    assert seeds == SEEDS
    assert why_idle(counts) is None


def test_one_seed_is_one_run() -> None:
    first, second = simulate(7, journal=True), simulate(7, journal=True)
    assert first.journal
    assert first == second


def test_another_seed_is_another_run() -> None:
    assert simulate(7, journal=True).journal != simulate(8, journal=True).journal


@pytest.mark.parametrize("word", MUST_HAPPEN)
def test_a_campaign_in_which_something_never_happened_fails(word: str) -> None:
    counts = Counter({each: 1 for each in MUST_HAPPEN if each != word})
    assert why_idle(counts) == f"never happened: {word}"


@pytest.mark.parametrize(("rule", "seeds"), FOUND_WITHIN.items())
def test_random_seeds_notice_that_a_rule_is_off(rule: int, seeds: int) -> None:
    kinds = {kind for _, kind, _ in run_seeds(range(seeds), rule).failures}
    assert "safety" in kinds


def test_a_failing_seed_prints_its_journal_and_the_command_to_see_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    seed = next(seed for seed in range(200) if simulate(seed, without(2)).safety is not None)
    assert main(["--seed", str(seed), "--rule-off", "2"]) == 1
    out = capsys.readouterr().out
    assert "consul: view 2" in out
    assert "is not linearizable" in out


def test_an_unknown_rule_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--rule-off", "17", "--seeds", "1"]) == 2
    assert "there is no rule 17" in capsys.readouterr().out
