"""The cheapest matching: as many pairs as can be, and of those sets the one with the least sum of costs.

A small round is solved exactly (Crouse 2016, scipy's `linear_sum_assignment`). That takes n^2 or more, so a large one is cut
into tiles of the city, halved at the median until each is small; every tile is solved exactly, and what is left single in
its tile is matched across the edges at the end. What that costs is bounded by the pairs that an edge cuts: with hundreds
of drones in a tile few have their best partner beyond it. The sparse solver (`min_weight_full_bipartite_matching`)
was tried for the whole: 70 ms at 1,000 drones, 5 s at 10,000.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from dronedispatch.dispatcher.core.fleet_arrays import Array, Rows

IMPOSSIBLE_S = 1e7
EXACT_MAX = 60_000  # cells of a matrix that is solved as a whole
TILE_MAX = 400  # drones and orders together


def cheapest_matching(rows: Rows, cols: Rows, cost_s: Array, spots_m: tuple[Array, Array]) -> Rows:
    """Indices into the pairs (`rows[k]`, `cols[k]`): those that are chosen.

    Pairs at IMPOSSIBLE_S / 2 or above are never chosen. `spots_m`: where each row and each column is, for the tiles.
    """
    possible = np.flatnonzero(cost_s < IMPOSSIBLE_S / 2)
    many = len(spots_m[0]), len(spots_m[1])
    if many[0] * many[1] <= EXACT_MAX:
        return possible[_exact(rows[possible], cols[possible], cost_s[possible])]
    tile_of = _tiles(np.concatenate(spots_m))
    row_tile, col_tile = tile_of[: many[0]], tile_of[many[0] :]
    inside = possible[row_tile[rows[possible]] == col_tile[cols[possible]]]
    inside = inside[np.argsort(row_tile[rows[inside]], kind="stable")]
    edges = np.flatnonzero(np.diff(row_tile[rows[inside]])) + 1
    chosen = [part[_exact(rows[part], cols[part], cost_s[part])] for part in np.split(inside, edges)]
    taken = np.concatenate(chosen)
    single_row, single_col = np.ones(many[0], dtype=np.bool_), np.ones(many[1], dtype=np.bool_)
    single_row[rows[taken]] = False
    single_col[cols[taken]] = False
    left = possible[single_row[rows[possible]] & single_col[cols[possible]]]
    return np.concatenate([taken, left[_cheapest_first(rows[left], cols[left], cost_s[left])]])


def _exact(rows: Rows, cols: Rows, cost: Array) -> Rows:
    if not len(rows):
        return np.zeros(0, dtype=np.int64)
    row_ids, row_at = np.unique(rows, return_inverse=True)
    col_ids, col_at = np.unique(cols, return_inverse=True)
    shape = len(row_ids), len(col_ids)
    matrix = np.full(shape, IMPOSSIBLE_S)
    matrix[row_at, col_at] = cost
    number = np.full(shape, -1, dtype=np.int64)
    number[row_at, col_at] = np.arange(len(rows))
    chosen = number[linear_sum_assignment(matrix)]
    return np.asarray(chosen[chosen >= 0], dtype=np.int64)


def _cheapest_first(rows: Rows, cols: Rows, cost: Array) -> Rows:
    """For the few that the edges of tiles have left over."""
    taken_rows: set[int] = set()
    taken_cols: set[int] = set()
    chosen: list[int] = []
    order = np.argsort(cost, kind="stable")
    for k, row, col in zip(order.tolist(), rows[order].tolist(), cols[order].tolist(), strict=True):
        if row not in taken_rows and col not in taken_cols:
            taken_rows.add(row)
            taken_cols.add(col)
            chosen.append(k)
    return np.array(chosen, dtype=np.int64)


def _tiles(spots_m: Array) -> Rows:
    """The tile of each spot: the longer side is cut at the median until TILE_MAX spots or fewer are left."""
    tile_of = np.zeros(len(spots_m), dtype=np.int64)
    todo, count = [np.arange(len(spots_m))], 0
    while todo:
        members = todo.pop()
        if len(members) <= TILE_MAX:
            tile_of[members] = count
            count += 1
            continue
        here = spots_m[members]
        axis = int(np.ptp(here, axis=0).argmax())
        by_place = members[np.argsort(here[:, axis], kind="stable")]
        todo += [by_place[: len(members) // 2], by_place[len(members) // 2 :]]
    return tile_of
