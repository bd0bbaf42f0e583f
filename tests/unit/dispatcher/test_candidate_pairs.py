"""Which drones an order looks at: all of a small fleet, the nearest of a large one, however they are found."""

from __future__ import annotations

import numpy as np
import pytest
from loadtests.bench.dispatch_scale import quiet_worlds

from dronedispatch.dispatcher.core import candidates
from dronedispatch.dispatcher.core.candidates import (
    ABLE_NEAREST,
    ALL_DRONES_MAX,
    HELD_NEAREST,
    LATER_NEAREST,
    PROMPT_NEAREST,
    candidate_pairs,
)
from dronedispatch.dispatcher.core.fleet_arrays import FleetArrays, Stance
from dronedispatch.dispatcher.core.order_arrays import OrderArrays
from dronedispatch.dispatcher.core.plan import Plan
from dronedispatch.dispatcher.core.round import plan_round
from dronedispatch.fleet.energy import FlightModel

NOW_S = 1_000.0


def fleet_of(rng: np.random.Generator, count: int) -> FleetArrays:
    return FleetArrays(
        drones=[None] * count,  # type: ignore[list-item]  # nobody asks who they are
        stance=rng.choice(list(map(int, Stance)), count),
        xy_m=rng.uniform(-9_000, 9_000, (count, 2)),
        ready_s=np.zeros(count),
        battery_pct=rng.uniform(5, 100, count),
        unseen_pct=rng.uniform(0, 5, count),
        payload_max_kg=rng.choice([3.0, 7.0, 10.0], count),
        holding={},
        bringing={},
        rows=np.arange(count),
    )


def orders_of(rng: np.random.Generator, count: int) -> OrderArrays:
    return OrderArrays(
        deliveries=[None] * count,  # type: ignore[list-item]
        origin_m=rng.uniform(-9_000, 9_000, (count, 2)),
        destination_m=rng.uniform(-9_000, 9_000, (count, 2)),
        weight_kg=rng.uniform(0.2, 11.0, count),
        delivery_m=rng.uniform(100, 15_000, count),
        return_m=rng.uniform(0, 4_000, count),
        from_stop_m=np.zeros((count, 1)),
    )


def pairs_of(fleet: FleetArrays, orders: OrderArrays) -> list[tuple[int, int]]:
    rows, cols = candidate_pairs(fleet, orders, {}, FlightModel())
    return list(zip(rows.tolist(), cols.tolist(), strict=True))


@pytest.mark.parametrize("orders", [1, 4, 15])
@pytest.mark.parametrize("seed", range(4))
def test_straight_lines_find_the_same_pairs_as_trees(
    seed: int, orders: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(seed)
    fleet, some = fleet_of(rng, 900), orders_of(rng, orders)
    by_lines = pairs_of(fleet, some)
    monkeypatch.setattr(candidates, "LINES_MAX", 0)
    assert by_lines == pairs_of(fleet, some)
    assert len(by_lines) == len(set(by_lines))


def test_one_order_looks_at_the_nearest_of_a_large_fleet_and_at_all_of_a_small_one() -> None:
    rng = np.random.default_rng(1)
    order = orders_of(rng, 1)
    small, large = fleet_of(rng, ALL_DRONES_MAX), fleet_of(rng, ALL_DRONES_MAX + 1)
    assert len(pairs_of(small, order)) == len(small)
    looked_at = [row for row, _ in pairs_of(large, order)]
    assert 0 < len(looked_at) <= PROMPT_NEAREST + ABLE_NEAREST + HELD_NEAREST + LATER_NEAREST
    away = np.hypot(*(large.xy_m - order.origin_m[0]).T)
    able = large.payload_max_kg >= order.weight_kg[0]
    prompt = np.flatnonzero((large.stance <= Stance.PLUGGED) & able)
    assert set(prompt[np.argsort(away[prompt])[:PROMPT_NEAREST]].tolist()) <= set(looked_at)


def test_no_orders_look_at_nobody() -> None:
    rng = np.random.default_rng(1)
    assert not pairs_of(fleet_of(rng, 900), orders_of(rng, 0))


def test_what_the_nearest_cost_is_what_the_best_of_all_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    worlds = list(quiet_worlds(900, 12, seed=3))
    nearest = [plan_round(world, NOW_S) for world in worlds]
    monkeypatch.setattr(candidates, "ALL_DRONES_MAX", 900)
    of_all = [plan_round(world, NOW_S) for world in worlds]
    assert [len(plan.assigns) for plan in nearest] == [len(plan.assigns) for plan in of_all]
    assert sum(map(cost_s, nearest)) == pytest.approx(sum(map(cost_s, of_all)), abs=0.1)
    assert sum(map(cost_s, of_all)) > 0.0


def cost_s(plan: Plan) -> float:
    return sum(assign.cost_s for assign in plan.assigns)
