"""The matching is the cheapest one; tiles and candidates cost little and lose nothing that is held."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dronedispatch.dispatcher.core import matching
from dronedispatch.dispatcher.core.fleet_arrays import Array, Rows
from dronedispatch.dispatcher.core.matching import IMPOSSIBLE_S, cheapest_matching


def all_pairs(n: int, m: int) -> tuple[Rows, Rows]:
    rows, cols = np.divmod(np.arange(n * m), m)
    return rows, cols


def spots(n: int, m: int, rng: np.random.Generator) -> tuple[Array, Array]:
    return rng.uniform(0, 20_000, (n, 2)), rng.uniform(0, 20_000, (m, 2))


@pytest.mark.parametrize("seed", range(8))
def test_a_small_matching_is_the_best_of_all(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = 4, 5
    cost = rng.uniform(-500, 1000, (n, m))
    cost[rng.uniform(size=(n, m)) < 0.3] = IMPOSSIBLE_S
    rows, cols = all_pairs(n, m)
    chosen = cheapest_matching(rows, cols, cost.ravel(), spots(n, m, rng))
    best = min(
        sum(cost[i, j] for i, j in enumerate(columns)) for columns in itertools.permutations(range(m), n)
    )
    got = float(cost.ravel()[chosen].sum()) + (n - len(chosen)) * IMPOSSIBLE_S
    assert got == pytest.approx(best)


def test_an_impossible_pair_is_never_chosen() -> None:
    rows, cols = all_pairs(2, 2)
    cost = np.array([1.0, IMPOSSIBLE_S, IMPOSSIBLE_S, IMPOSSIBLE_S])
    assert cheapest_matching(rows, cols, cost, (np.zeros((2, 2)), np.zeros((2, 2)))).tolist() == [0]


def test_nothing_matches_nothing() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert not cheapest_matching(none, none, np.zeros(0), (np.zeros((0, 2)), np.zeros((0, 2)))).size


def test_tiles_match_as_many_and_cost_at_most_six_per_cent_more(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    n, m = 700, 500
    drones, orders = spots(n, m, rng)
    rows, cols = all_pairs(n, m)
    cost = np.hypot(*(drones[rows] - orders[cols]).T)
    tiled = cheapest_matching(rows, cols, cost, (drones, orders))
    monkeypatch.setattr(matching, "EXACT_MAX", n * m)
    exact = cheapest_matching(rows, cols, cost, (drones, orders))
    assert len(tiled) == len(exact) == m
    assert len(set(rows[tiled].tolist())) == len(set(cols[tiled].tolist())) == m
    assert cost[exact].sum() <= cost[tiled].sum() <= 1.06 * cost[exact].sum()
