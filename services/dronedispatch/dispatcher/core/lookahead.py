"""The default policy: pending orders and drones that are free now, soon or once charged, matched as a whole.

An order whose best drone is still busy or charging waits for it (a Hold), and the next round thinks again. An order that
was assigned to a drone still far from it takes part too: when a better plan is worth a swap, it is undone here and
assigned anew by the round that follows at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from dronedispatch.dispatcher.core import costs
from dronedispatch.dispatcher.core.candidates import candidate_pairs
from dronedispatch.dispatcher.core.costs import Mode, PairCosts, pair_costs
from dronedispatch.dispatcher.core.eager_assignment import set_out_at_once
from dronedispatch.dispatcher.core.fleet_arrays import (
    FleetArrays,
    Rows,
    Stance,
    ask_until_free,
    lookahead_fleet,
    until_free,
)
from dronedispatch.dispatcher.core.fleet_cache import ReadyDrones
from dronedispatch.dispatcher.core.matching import IMPOSSIBLE_S, cheapest_matching
from dronedispatch.dispatcher.core.order_arrays import OrderArrays, orders_of
from dronedispatch.dispatcher.core.plan import Assign, Free, Hold, Undo
from dronedispatch.dispatcher.core.stations import Stations
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot, World
from dronedispatch.fleet.deliveries import DeliveryStatus


@dataclass
class Decided:
    """What a policy wants. `to_charge`: idle drones that fly to a charge point, with the cause."""

    assigns: list[Assign] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    undos: list[Undo] = field(default_factory=list)
    frees: list[Free] = field(default_factory=list)
    to_charge: list[tuple[DroneSnapshot, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Weighed:
    """The pairs of a round with what they cost: what `decide` chooses from and `why` tells."""

    fleet: FleetArrays
    orders: OrderArrays
    held: Mapping[int, int]  # drone row -> order row
    pairs: PairCosts


def weigh(
    world: World,
    now_s: float,
    drones: ReadyDrones,
    deliveries: Mapping[str, DeliverySnapshot],
    pending: Sequence[DeliverySnapshot],
    stations: Stations,
    *,
    all_pairs: bool = False,
) -> Weighed:
    """Every candidate pair, with its costs."""
    fleet = lookahead_fleet(world, drones, deliveries)
    drones.cached.order_ways.learn([*pending, *fleet.holding.values(), *fleet.bringing.values()])
    orders = orders_of([*pending, *fleet.holding.values()], drones.cached.order_ways)
    held = {row: len(pending) + k for k, row in enumerate(fleet.holding)}
    if all_pairs:
        rows, cols = np.divmod(np.arange(len(fleet) * len(orders)), max(1, len(orders)))
    else:
        rows, cols = candidate_pairs(fleet, orders, held, world.flight)
    cached = drones.cached
    used = np.flatnonzero(np.bincount(rows, minlength=len(fleet)))
    ask_until_free(cached, fleet, used)
    stations.ask_stops(fleet, np.union1d(used, _low(world, fleet)))
    origins = [delivery.origin for delivery in orders.deliveries]
    places = np.searchsorted(used, rows), cols
    fetch_m = cached.pickup_ways.of(
        len(cached.views), fleet.rows[used], fleet.xy_m[used], origins, places, cached.asked
    )
    fleet = until_free(world, cached, fleet, used)
    rho = costs.load_of(len(pending), len(fleet))
    stops = stations.stops_of(fleet, used)
    pairs = pair_costs(world, now_s, fleet, orders, stops, fetch_m, (rows, cols), rho)
    return Weighed(fleet, orders, held, pairs)


def _low(world: World, fleet: FleetArrays) -> Rows:
    """Who flies to a charge point unless an order needs it."""
    low = (fleet.stance == Stance.NOW) & (fleet.battery_pct < world.tuning.top_up_below_pct)
    return np.flatnonzero(low)


def decide(
    world: World,
    now_s: float,
    drones: ReadyDrones,
    deliveries: Mapping[str, DeliverySnapshot],
    pending: Sequence[DeliverySnapshot],
    stations: Stations,
) -> Decided:
    """`pending`: sorted, without those that this round has other intents for."""
    weighed = weigh(world, now_s, drones, deliveries, pending, stations)
    chosen = set_out_at_once(
        weighed.fleet, weighed.pairs, weighed.held, range(len(pending)), _match(world, now_s, weighed)
    )
    decided = Decided()
    _undo(weighed, chosen, decided)
    busy = {free.drone_id for free in decided.frees}
    for row, pair in chosen.items():
        _place(world, now_s, weighed, row, pair, busy, decided)
    placed = {assign.delivery_id for assign in decided.assigns} | {hold.delivery_id for hold in decided.holds}
    decided.holds += [
        Hold(delivery.id, None, None, "every drone that can fly it is spoken for")
        for delivery in pending
        if delivery.id not in placed
    ]
    fleet = weighed.fleet
    for row in _low(world, fleet).tolist():
        if row not in chosen and fleet.drones[row].bound_for is None:
            decided.to_charge.append((fleet.drones[row], "nothing waits for it"))
    return decided


def _match(world: World, now_s: float, weighed: Weighed) -> dict[int, int]:
    """Drone row -> index of its pair."""
    pairs = weighed.pairs
    total = pairs.cost_s - costs.order_bonus_s(world, now_s, weighed.orders)[pairs.cols]
    kept = np.full(len(weighed.fleet), -1, dtype=np.int64)
    for row, col in weighed.held.items():
        kept[row] = col
    total -= np.where(kept[pairs.rows] == pairs.cols, costs.SWAP * costs.crossing_s(world), 0.0)
    total = np.where(pairs.possible, total, IMPOSSIBLE_S)
    spots = weighed.fleet.xy_m.copy()
    held = list(weighed.held)
    spots[held] = weighed.orders.origin_m[
        [weighed.held[row] for row in held]
    ]  # never a tile's edge between them
    chosen = cheapest_matching(pairs.rows, pairs.cols, total, (spots, weighed.orders.origin_m))
    return dict(zip(pairs.rows[chosen].tolist(), chosen.tolist(), strict=True))


def _undo(weighed: Weighed, chosen: Mapping[int, int], decided: Decided) -> None:
    """Held drones that got another order, or none, give theirs back."""
    for row, col in weighed.held.items():
        pair = chosen.get(row)
        if pair is not None and weighed.pairs.cols[pair] == col:
            continue
        drone, delivery = weighed.fleet.drones[row], weighed.orders.deliveries[col]
        cause = "another drone is better placed by now"
        decided.undos.append(Undo(delivery.id, delivery.version, drone.id, cause))
        decided.frees.append(Free(drone.id, drone.version, cause, after_delivery=delivery.id))


def _place(
    world: World, now_s: float, weighed: Weighed, row: int, pair: int, busy: set[str], decided: Decided
) -> None:
    """What a matched pair becomes: an assignment, a wait, or a way to a charge point first."""
    fleet, pairs = weighed.fleet, weighed.pairs
    drone, delivery = fleet.drones[row], weighed.orders.deliveries[int(pairs.cols[pair])]
    if delivery.status is not DeliveryStatus.PENDING or drone.id in busy:
        return  # still held, or free to be assigned by the next round
    pickup_s = now_s + float(pairs.pickup_s[pair])
    dropoff_s = pickup_s + world.flight.flight_s(float(weighed.orders.delivery_m[pairs.cols[pair]]))
    mode, stance = int(pairs.mode[pair]), int(fleet.stance[row])
    if mode == Mode.DIRECT and stance in (Stance.NOW, Stance.PLUGGED):
        cost_s = float(pairs.cost_s[pair])
        decided.assigns.append(
            Assign(drone.id, drone.version, delivery.id, delivery.version, pickup_s, dropoff_s, cost_s)
        )
        return
    wait = "after its drop-off" if stance in (Stance.LATER, Stance.HELD) else "when it has charged"
    decided.holds.append(Hold(delivery.id, drone.id, dropoff_s, f"{drone.id} comes {wait}"))
    if stance == Stance.NOW and mode in (Mode.VIA_ENOUGH, Mode.VIA_FULL) and drone.bound_for is None:
        decided.to_charge.append((drone, f"charges for {delivery.id}"))
