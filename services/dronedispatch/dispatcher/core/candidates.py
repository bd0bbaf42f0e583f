"""Which pairs of a drone and an order are worth a thought: all in a small round, the nearest in a large one.

A full matrix grows with drones times orders. In a city of thousands nobody is served by a drone from the far end, so each
order looks at the nearest drones that can lift it, and, when orders outnumber drones, each drone at the nearest orders
that it can lift: the number of pairs grows with the larger of both, and trees make finding them n log n.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.spatial import cKDTree

from dronedispatch.dispatcher.core.fleet_arrays import Array, FleetArrays, Rows, Stance
from dronedispatch.dispatcher.core.order_arrays import OrderArrays
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG

ALL_PAIRS_MAX = 4_000  # up to here the full matrix is cheaper than trees
# Drones that an order looks at, of those free at once, of those on their way to another order, and of those free later.
# Each kind by itself: where many are on their way, the ten nearest would else be no one that could start.
PROMPT_NEAREST, HELD_NEAREST, LATER_NEAREST = 10, 4, 6
ORDERS_NEAREST = 10  # orders a drone looks at when there are more orders than drones
CLASSES_KG = tuple(sorted(PAYLOAD_MAX_KG.values()))


def candidate_pairs(fleet: FleetArrays, orders: OrderArrays, held: dict[int, int]) -> tuple[Rows, Rows]:
    """(rows, cols), each pair once. `held`: drone row -> order row; those pairs are always among them."""
    n, m = len(fleet), len(orders)
    if n * m <= ALL_PAIRS_MAX:
        rows, cols = np.divmod(np.arange(n * m, dtype=np.int64), max(m, 1))
        return rows, cols
    found = [np.fromiter((i * m + j for i, j in held.items()), dtype=np.int64, count=len(held))]
    kinds = (
        ((Stance.NOW, Stance.PLUGGED), PROMPT_NEAREST, 3),
        ((Stance.HELD,), HELD_NEAREST, 1),
        ((Stance.LATER,), LATER_NEAREST, 2),
    )
    for stances, many, few in kinds:
        group, nearest = np.isin(fleet.stance, stances), few if m > n else many
        found.extend(_drones_near_orders(fleet, orders, group, nearest))
    if m > n:
        found.extend(_orders_near_drones(fleet, orders))
    keys = np.sort(np.concatenate(found))  # np.unique hashes: ten times as long as sorting
    keys = keys[np.diff(keys, prepend=-1) != 0]
    rows, cols = np.divmod(keys, m)
    return rows, cols


def _drones_near_orders(
    fleet: FleetArrays, orders: OrderArrays, group: np.ndarray[tuple[int], np.dtype[np.bool_]], nearest: int
) -> Iterator[Rows]:
    lighter = 0.0
    for class_kg in CLASSES_KG:
        cols = np.flatnonzero((orders.weight_kg > lighter) & (orders.weight_kg <= class_kg))
        rows = np.flatnonzero(group & (fleet.payload_max_kg >= class_kg))
        lighter = class_kg
        if cols.size and rows.size:
            picked = _nearest(fleet.xy_m[rows], orders.origin_m[cols], nearest)
            yield (rows[picked] * len(orders) + cols[:, None]).ravel()


def _orders_near_drones(fleet: FleetArrays, orders: OrderArrays) -> Iterator[Rows]:
    for class_kg in CLASSES_KG:
        rows = np.flatnonzero(fleet.payload_max_kg == class_kg)
        cols = np.flatnonzero(orders.weight_kg <= class_kg)
        if cols.size and rows.size:
            picked = _nearest(orders.origin_m[cols], fleet.xy_m[rows], ORDERS_NEAREST)
            yield (rows[:, None] * len(orders) + cols[picked]).ravel()


def _nearest(points: Array, seen_from: Array, count: int) -> Rows:
    """(len(seen_from), k) rows of `points`."""
    count = min(count, len(points))
    _, picked = cKDTree(points).query(seen_from, k=np.arange(1, count + 1))
    return np.asarray(picked, dtype=np.int64)
