"""The cheapest matching: as many pairs as can be, and of those sets the one with the least sum of costs.

Small rounds use the dense assignment of Crouse (2016), large ones the sparse one of Jonker and Volgenant, both scipy's.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from dronedispatch.dispatcher.core.costs import IMPOSSIBLE_S
from dronedispatch.dispatcher.core.roster import Array, Rows

DENSE_MAX = 10_000  # cells


def cheapest_matching(shape: tuple[int, int], rows: Rows, cols: Rows, cost_s: Array) -> Rows:
    """Indices into the pairs: those that are chosen. Pairs at IMPOSSIBLE_S or above are never chosen."""
    possible = np.flatnonzero(cost_s < IMPOSSIBLE_S / 2)
    if not possible.size:
        return possible
    rows, cols, cost = rows[possible], cols[possible], cost_s[possible]
    if shape[0] * shape[1] <= DENSE_MAX:
        return possible[_dense(shape, rows, cols, cost)]
    if shape[0] > shape[1]:
        return possible[_sparse((shape[1], shape[0]), cols, rows, cost)]
    return possible[_sparse(shape, rows, cols, cost)]


def _dense(shape: tuple[int, int], rows: Rows, cols: Rows, cost: Array) -> Rows:
    matrix = np.full(shape, IMPOSSIBLE_S)
    matrix[rows, cols] = cost
    number = np.full(shape, -1, dtype=np.int64)
    number[rows, cols] = np.arange(len(rows))
    chosen = number[linear_sum_assignment(matrix)]
    return np.asarray(chosen[chosen >= 0], dtype=np.int64)


def _sparse(shape: tuple[int, int], rows: Rows, cols: Rows, cost: Array) -> Rows:
    """Every row has a place of its own to stay single at, so that a full matching exists."""
    few, many = shape
    lowest = float(cost.min())
    everyone = np.arange(few)
    graph = csr_array(
        (
            np.concatenate([cost - lowest + 1.0, np.full(few, IMPOSSIBLE_S)]),
            (np.concatenate([rows, everyone]), np.concatenate([cols, many + everyone])),
        ),
        shape=(few, many + few),
    )
    got_rows, got_cols = min_weight_full_bipartite_matching(graph)
    paired = got_cols < many
    keys = rows * many + cols
    by_key = np.argsort(keys)
    wanted = got_rows[paired].astype(np.int64) * many + got_cols[paired]
    return np.asarray(by_key[np.searchsorted(keys, wanted, sorter=by_key)], dtype=np.int64)
