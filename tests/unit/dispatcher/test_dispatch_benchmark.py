"""A small paired benchmark in virtual time, so that no worse policy passes; `scripts/bench dispatch` is the large one."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from loadtests.bench.dispatch import run_case, scenario_of
from loadtests.bench.dispatch_baselines import OURS
from loadtests.bench.dispatch_hindsight import exact, flown_routes, hindsight_of, improve
from loadtests.bench.dispatch_log import Case
from loadtests.bench.dispatch_report import Ratio, Table, paired_ratio
from loadtests.bench.dispatch_scale import busy_world, growth_exponent, time_kept, time_rounds
from loadtests.bench.dispatch_world import Simulation

from dronedispatch.dispatcher.core.tuning import Tuning


def case(policy: str, load: float | None, seed: int, **changes: Any) -> Case:
    plain = Case(policy, load, seed, orders=50, drones=18, clustered=False, no_fly=False, chargers=None)
    return replace(plain, **changes)


def test_ours_is_faster_than_every_baseline_at_thirty_an_hour() -> None:
    names = ("B0", "B1", "B2", "B3", "ours")
    table = Table([run_case(case(name, 30.0, seed)) for name in names for seed in (0, 1)])
    ratios = [table.ratio(30.0, lambda run: run.mean, "ours", name).mean for name in names[:-1]]
    assert max(ratios) < 0.97
    assert all(run.stranded == 0 for run in table.runs)


def test_ours_delivers_more_than_pick_drone_when_orders_always_wait() -> None:
    ours, theirs = (run_case(case(name, None, 3, orders=160)) for name in ("ours", "B0"))
    assert ours.per_hour > 1.2 * theirs.per_hour
    assert ours.empty_ratio < 0.4


def test_nobody_is_stranded_and_everything_is_delivered_with_one_charger_and_no_fly_areas() -> None:
    measured = run_case(case("ours", 30.0, 4, orders=100, chargers=1, no_fly=True, clustered=True))
    assert measured.stranded == 0


def test_a_run_repeats_to_the_bit() -> None:
    runs = [
        Simulation(scenario_of(case("ours", 36.0, 5, orders=60)), OURS, Tuning(autoscale=False))
        for _ in range(2)
    ]
    first, second = (run.run().waits_s() for run in runs)
    assert np.array_equal(first, second)


def test_a_large_round_assigns_to_drones_that_can() -> None:
    world = busy_world(300, 200, seed=1)
    plan = OURS(world, 1000.0)
    drones = {drone.id: drone for drone in world.drones}
    assert plan.assigns
    assert len({assign.drone_id for assign in plan.assigns}) == len(plan.assigns)
    assert all(drones[assign.drone_id].delivery_id is None for assign in plan.assigns)


def test_a_timing_says_how_it_grows() -> None:
    timings = [time_rounds(n, n // 2, rounds=1) for n in (20, 40)]
    assert math.isfinite(growth_exponent(timings))
    assert min(time_kept(60, rounds=3)) > 0.0


def test_a_paired_ratio_needs_pairs_and_tells_its_interval() -> None:
    assert paired_ratio([1.0, 2.0], [2.0, 4.0]) == Ratio(0.5, 0.0)
    with pytest.raises(ValueError):
        paired_ratio([1.0], [1.0, 2.0])


@pytest.mark.parametrize("anticipate", [False, True])
def test_hindsight_is_never_worse_than_its_start_nor_better_than_the_bound(anticipate: bool) -> None:
    scenario = scenario_of(case("ours", 20.0, 6, orders=5, drones=3))
    run = Simulation(scenario, OURS, Tuning(autoscale=False)).run()
    hindsight = hindsight_of(run, anticipate=anticipate)
    starts, routes = flown_routes(run)
    before = sum(hindsight.cost_s(start, route) for start, route in zip(starts, routes, strict=True))
    found, _ = improve(hindsight, starts, routes, np.random.default_rng(1), iterations=30)
    bound, best = exact(hindsight, starts, 5)
    assert bound <= best + 1e-6
    assert best <= found + 1e-6
    assert found <= before
