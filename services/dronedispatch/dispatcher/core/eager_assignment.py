"""While a good part of the fleet is idle no order waits: an idle drone sets out at once, and a better one may take over.

Look-ahead lets an order wait for a drone that comes by soon. That saves empty way when drones are scarce. With many idle
ones it saves little that a later swap does not save too, and a person who has ordered sees a drone set out: live, with
2,000 drones and 20 orders a second, 5 % of the orders waited more than 5.6 s for their first drone while 600 stood idle.
With 18 drones it changes the mean by 0 to 1 % at 24 to 36 orders an hour (3 paired seeds, no clear sign): SPARE_MIN
keeps it out of small fleets that are busy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from dronedispatch.dispatcher.core.costs import Mode, PairCosts
from dronedispatch.dispatcher.core.fleet_arrays import FleetArrays, Stance

SPARE_SHARE = 0.2  # of the drones that a round counts with: so many idle ones must have nothing to do
SPARE_MIN = 10  # and at least so many

Chosen = dict[int, int]  # drone row -> index of its pair


def set_out_at_once(
    fleet: FleetArrays, pairs: PairCosts, held: Mapping[int, int], pending: Sequence[int], chosen: Chosen
) -> Chosen:
    """The matching `chosen`, with idle drones for the orders that would wait (`pending`: rows of the pending orders).

    `held`: drone row -> the order row that it flies to. Such a drone keeps its order until the better one can start:
    otherwise the order would be given to an idle drone and taken from it again in every round.
    """
    spare = fleet.stance == Stance.NOW
    spare[list(chosen)] = False
    if np.count_nonzero(spare) < max(SPARE_MIN, SPARE_SHARE * len(fleet)):
        return chosen
    chosen = _kept(fleet, pairs, held, chosen)
    taken = {int(pairs.cols[pair]): row for row, pair in chosen.items()}
    waiting = {
        col: taken.get(col)
        for col in pending
        if col not in taken or not starts_now(fleet, pairs, taken[col], chosen[taken[col]])
    }
    direct = pairs.possible & (pairs.mode == Mode.DIRECT)
    usable = np.flatnonzero(direct & np.isin(pairs.cols, list(waiting)) & spare[pairs.rows])
    for pair in usable[np.argsort(pairs.cost_s[usable], kind="stable")].tolist():
        row, col = int(pairs.rows[pair]), int(pairs.cols[pair])
        if not spare[row] or col not in waiting:
            continue
        spare[row] = False
        before = waiting.pop(col)
        if before is not None:
            del chosen[before]
        chosen[row] = pair
    return chosen


def starts_now(fleet: FleetArrays, pairs: PairCosts, row: int, pair: int) -> bool:
    """Whether the drone can set out for the pair's order in this round."""
    return int(pairs.mode[pair]) == Mode.DIRECT and int(fleet.stance[row]) in (Stance.NOW, Stance.PLUGGED)


def _kept(fleet: FleetArrays, pairs: PairCosts, held: Mapping[int, int], chosen: Chosen) -> Chosen:
    """Held orders stay with their drones unless the drone that is to take over can start now."""
    chosen = dict(chosen)
    order_of = np.full(len(fleet), -1, dtype=np.int64)
    order_of[list(held)] = list(held.values())
    holding = np.flatnonzero(order_of[pairs.rows] == pairs.cols)
    own = dict(zip(pairs.rows[holding].tolist(), holding.tolist(), strict=True))
    takers = {int(pairs.cols[pair]): row for row, pair in chosen.items()}
    for row, col in held.items():
        taker = takers.get(col)
        if taker == row or row not in own:
            continue
        if taker is not None and starts_now(fleet, pairs, taker, chosen[taker]):
            continue
        if taker is not None and taker in chosen and int(pairs.cols[chosen[taker]]) == col:
            del chosen[taker]
        chosen[row] = own[row]
    return chosen
