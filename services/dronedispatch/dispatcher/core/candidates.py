"""Which pairs of a drone and an order are worth a thought: all in a small round, the nearest in a large one.

A full matrix grows with drones times orders. In a city of hundreds nobody is served by a drone from the far end, so each
order looks at the nearest drones that can lift it, among them some with the battery to fly it at once; and, when orders
outnumber drones, each drone at the nearest orders that it can lift. The number of pairs grows with the larger of both. The
nearest of a few orders are found by measuring all straight lines, those of many in trees, which is n log n.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from dronedispatch.dispatcher.core.feasibility import needed_pct
from dronedispatch.dispatcher.core.fleet_arrays import Array, FleetArrays, Rows, Stance
from dronedispatch.dispatcher.core.order_arrays import OrderArrays
from dronedispatch.fleet.drones import CLASSES_KG
from dronedispatch.fleet.energy import FlightModel

# Beyond either an order looks at the nearest: a way costs far more than a straight line.
ALL_PAIRS_MAX = 4_000
ALL_DRONES_MAX = 200
LINES_MAX = 20_000  # up to here all straight lines are cheaper than trees
# Drones that an order looks at, of those free at once, of those on their way to another order, and of those free later.
# Each kind by itself: where many are on their way, the ten nearest would else be no one that could start.
PROMPT_NEAREST, HELD_NEAREST, LATER_NEAREST = 10, 4, 6
# And of those free at once that have the battery for it: after a busy hour the ten nearest may all have to charge first,
# with hundreds of charged ones behind them. Their batteries are told apart in steps: a tree each.
ABLE_NEAREST, ABLE_STEP_PCT, ABLE_MAX_PCT = 6, 25.0, 90.0
ORDERS_NEAREST = 10  # orders a drone looks at when there are more orders than drones
Mask = npt.NDArray[np.bool_]


def candidate_pairs(
    fleet: FleetArrays, orders: OrderArrays, held: dict[int, int], flight: FlightModel
) -> tuple[Rows, Rows]:
    """(rows, cols), each pair once. `held`: drone row -> order row; those pairs are always among them."""
    n, m = len(fleet), len(orders)
    if n * m <= ALL_PAIRS_MAX and n <= ALL_DRONES_MAX:
        rows, cols = np.divmod(np.arange(n * m, dtype=np.int64), max(m, 1))
        return rows, cols
    found = [np.fromiter((i * m + j for i, j in held.items()), dtype=np.int64, count=len(held))]
    if m <= n and n * m <= LINES_MAX:
        found.extend(_nearest_of_all(fleet, orders, flight))
    else:
        found.extend(_nearest_in_trees(fleet, orders, flight))
    keys = np.sort(np.concatenate(found))  # np.unique hashes: ten times as long as sorting
    keys = keys[np.diff(keys, prepend=-1) != 0]
    rows, cols = np.divmod(keys, m)
    return rows, cols


def _nearest_of_all(fleet: FleetArrays, orders: OrderArrays, flight: FlightModel) -> Iterator[Rows]:
    """By all straight lines; the same as by trees, but for drones that are equally far."""
    m = len(orders)
    way = orders.origin_m[:, None, :] - fleet.xy_m[None, :, :]
    away = np.hypot(way[..., 0], way[..., 1])
    away[fleet.payload_max_kg[None, :] < _class_kg(orders)[:, None]] = np.inf
    prompt = (fleet.stance == Stance.NOW) | (fleet.stance == Stance.PLUGGED)
    able = fleet.battery_pct - fleet.unseen_pct >= _bound_pct(orders, flight)[:, None]
    groups = (
        (prompt, PROMPT_NEAREST),
        (prompt & able, ABLE_NEAREST),
        (fleet.stance == Stance.HELD, HELD_NEAREST),
        (fleet.stance == Stance.LATER, LATER_NEAREST),
    )
    for group, nearest in groups:
        if not group.any():
            continue
        among = np.where(group, away, np.inf)
        picked = np.argpartition(among, min(nearest, len(fleet)) - 1, axis=1)[:, :nearest]
        col, place = np.nonzero(np.isfinite(np.take_along_axis(among, picked, axis=1)))
        yield picked[col, place] * m + col


def _nearest_in_trees(fleet: FleetArrays, orders: OrderArrays, flight: FlightModel) -> Iterator[Rows]:
    n, m = len(fleet), len(orders)
    kinds = (
        ((Stance.NOW, Stance.PLUGGED), PROMPT_NEAREST, 3),
        ((Stance.HELD,), HELD_NEAREST, 1),
        ((Stance.LATER,), LATER_NEAREST, 2),
    )
    for stances, many, few in kinds:
        group, nearest = np.isin(fleet.stance, stances), few if m > n else many
        yield from _drones_near_orders(fleet, orders, group, nearest)
    yield from _able_near_orders(fleet, orders, flight)
    if m > n:
        yield from _orders_near_drones(fleet, orders)


def _class_kg(orders: OrderArrays) -> Array:
    """What the lightest drone that lifts each order lifts; infinite for what none lifts."""
    return np.array([*CLASSES_KG, np.inf])[np.searchsorted(CLASSES_KG, orders.weight_kg)]


def _bound_pct(orders: OrderArrays, flight: FlightModel) -> Array:
    """What each order needs from its origin on, rounded up: the way to it is part of what is rounded."""
    need_pct = needed_pct(
        flight,
        payload_max_kg=np.minimum(_class_kg(orders), CLASSES_KG[-1]),
        weight_kg=orders.weight_kg,
        pickup_m=np.zeros(len(orders)),
        delivery_m=orders.delivery_m,
        return_m=orders.return_m,
    )
    return np.minimum(np.ceil(need_pct / ABLE_STEP_PCT) * ABLE_STEP_PCT, ABLE_MAX_PCT)


def _drones_near_orders(
    fleet: FleetArrays, orders: OrderArrays, group: Mask, nearest: int, wanting: Mask | None = None
) -> Iterator[Rows]:
    """Of the orders that are `wanting` (all), and the drones of the group."""
    lighter = 0.0
    for class_kg in CLASSES_KG:
        of_class = (orders.weight_kg > lighter) & (orders.weight_kg <= class_kg)
        cols = np.flatnonzero(of_class if wanting is None else of_class & wanting)
        rows = np.flatnonzero(group & (fleet.payload_max_kg >= class_kg))
        lighter = class_kg
        if cols.size and rows.size:
            picked = _nearest(fleet.xy_m[rows], orders.origin_m[cols], nearest)
            yield (rows[picked] * len(orders) + cols[:, None]).ravel()


def _able_near_orders(fleet: FleetArrays, orders: OrderArrays, flight: FlightModel) -> Iterator[Rows]:
    bound_pct = _bound_pct(orders, flight)
    prompt = (fleet.stance == Stance.NOW) | (fleet.stance == Stance.PLUGGED)
    for pct in np.unique(bound_pct):
        able = prompt & (fleet.battery_pct - fleet.unseen_pct >= pct)
        yield from _drones_near_orders(fleet, orders, able, ABLE_NEAREST, bound_pct == pct)


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
