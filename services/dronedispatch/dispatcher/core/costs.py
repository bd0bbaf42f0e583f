"""What it costs to give an order to a drone, in seconds, for every candidate pair and every way to do it.

Cost is the time to the pick-up, plus what the choice takes from later orders. The second part counts in proportion to
the *load* rho (0: drones wait for orders, 1: orders wait for drones), because only then is a drone's time anybody's:

* Energy must be charged sooner or later. With nothing else to do (rho 0) waiting at the charger delays this order alone
  and later charging is free; under load it delays one order or another, so that the wait as such costs nothing: its
  weight is 1 - rho.
* What costs time under load is the number of visits to a charge point. A drone that leaves one at x % wastes (100 - x) %
  of a visit's detour, and one that ends an order low and far from a charge point makes a longer detour.
* The empty way takes a drone's time twice: this order waits for it, and the ones after it do.
* A heavier drone than the parcel needs is missed by those that no lighter one carries, by as much as more of them wait.

So drones leave chargers early while the city is quiet and charge up in full when it is busy, with no threshold between.
All constants are shares of the time to cross the city: the same round fits any city, speed and `--speed`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from itertools import combinations

import numpy as np
import numpy.typing as npt

from dronedispatch.dispatcher.core.feasibility import needed_pct
from dronedispatch.dispatcher.core.fleet_arrays import Array, FleetArrays, Rows, Stance
from dronedispatch.dispatcher.core.matching import IMPOSSIBLE_S
from dronedispatch.dispatcher.core.order_arrays import OrderArrays
from dronedispatch.dispatcher.core.stations import Stops
from dronedispatch.dispatcher.core.world import World
from dronedispatch.fleet.drones import CLASSES_KG

FULL_LOAD_BACKLOG = 0.5  # waiting orders a drone at which rho is 1
VISIT = 0.30  # the detour of a visit to a charge point
EMPTY = 0.7  # weight of the empty way's second count
LOW_PCT, LOW_RANGE_PCT = (
    60.0,
    25.0,
)  # below the first a drone may have to charge next, LOW_RANGE_PCT lower it must
SWAP = 0.036  # a swap must save this much
AGE = 0.008  # of the cube of the age in crossings: an order of eight (3.7 h at 60 km/h) outbids any way
PRIORITY = 0.05  # a step of priority
LATE = 0.5  # being in danger of missing the deadline
CLASS = 1.0  # an order a drone by which the heavier class is scarcer than the parcel's own
SCARCE_MAX = 2.0  # beyond it, no more
TIE = 1e-4  # of a crossing: zone rank, and class steps above what the parcel needs
FULL_PCT = 99.0


class Mode(IntEnum):
    """How the drone would do it."""

    DIRECT = 0
    PLUGGED_ENOUGH = 1  # stay plugged in until it is enough
    PLUGGED_FULL = 2
    VIA_ENOUGH = 3  # to a charge point first
    VIA_FULL = 4


@dataclass(frozen=True)
class PairCosts:
    """Of pairs (`rows[k]`, `cols[k]`): the cheapest mode, its cost, and when the pick-up would be, from now."""

    rows: Rows
    cols: Rows
    cost_s: Array
    mode: Rows
    pickup_s: Array
    energy_margin_pct: Array  # DIRECT
    payload_margin_kg: Array

    @property
    def possible(self) -> npt.NDArray[np.bool_]:
        return self.cost_s < IMPOSSIBLE_S / 2


def crossing_s(world: World) -> float:
    """Real seconds to cross the city."""
    return world.city.diameter_m / world.flight.cruise_mps


def load_of(waiting: int, drones: int) -> float:
    """rho, by the backlog."""
    return min(1.0, waiting / max(1, drones) / FULL_LOAD_BACKLOG)


def order_bonus_s(world: World, now_s: float, orders: OrderArrays) -> Array:
    """Extra cost of leaving an order waiting, compared with a new one: age, priority, deadline."""
    cross_s = crossing_s(world)
    age = np.array([now_s - delivery.created_s for delivery in orders.deliveries]) / cross_s
    bonus = AGE * np.power(np.maximum(age, 0.0), 3)
    bonus += PRIORITY * np.array([delivery.priority for delivery in orders.deliveries])
    for j, delivery in enumerate(orders.deliveries):
        if delivery.deadline_s is not None:
            slack = (delivery.deadline_s - now_s - orders.delivery_m[j] / world.flight.cruise_mps) / cross_s
            if slack > 0:  # a deadline that is missed already moves nobody
                bonus[j] += LATE * max(0.0, 1.0 - slack)
    return np.asarray(bonus * cross_s, dtype=np.float64)


@dataclass(frozen=True)
class _Terms:
    """What every mode's cost is made of; arrays over the pairs. `v`: metres a second; `*_s`: seconds; `*_pct`: battery."""

    rho: float
    cross_s: float
    v: float
    rate: float  # per cent a second at a charger
    per_m: float  # per cent a metre, planned
    payload: Array
    weight: Array
    carry: Array
    retreat: Array
    battery: Array
    unseen: Array  # of it, what may be gone by the time that the drone hears
    ready: Array
    fetch: Array
    fetch_from_stop: Array
    to_stop: Array
    queue_s: Array
    need: Array
    plugged: npt.NDArray[np.bool_]

    @property
    def need_from_stop(self) -> Array:
        return self.need + self.per_m * (self.fetch_from_stop - self.fetch)

    @property
    def at_stop(self) -> Array:
        return self.battery - self.per_m * self.to_stop

    @property
    def enough_s(self) -> Array:
        return np.maximum(0.0, self.need - self.battery) / self.rate

    @property
    def full_s(self) -> Array:
        return np.maximum(0.0, 100.0 - self.battery) / self.rate

    @property
    def stop_enough_s(self) -> Array:
        return np.maximum(0.0, self.need_from_stop - self.at_stop) / self.rate + self.queue_s

    @property
    def stop_full_s(self) -> Array:
        return np.maximum(0.0, 100.0 - self.at_stop) / self.rate + self.queue_s

    def retreat_cost(self, left_pct: Array) -> Array:
        low = np.clip((LOW_PCT - left_pct) / LOW_RANGE_PCT, 0.0, 1.0)
        return np.asarray(self.rho * low * self.retreat / self.v, dtype=np.float64)


def pair_costs(
    world: World,
    now_s: float,
    fleet: FleetArrays,
    orders: OrderArrays,
    stops: Stops,
    fetch_m: Array,
    pairs: tuple[Rows, Rows],
    rho: float,
) -> PairCosts:
    """Costs of the pairs. `stops`: for each drone the charge point that it would charge at. `fetch_m`: of each pair, from
    where the drone is free to the origin."""
    rows, cols = pairs
    terms = _terms(world, fleet, orders, stops, fetch_m, pairs, rho)
    modes = _mode_costs(terms)
    mode = modes.argmin(axis=0)
    cost = modes.min(axis=0) + TIE * terms.cross_s * np.maximum(0.0, terms.payload - terms.weight)
    cost += CLASS * terms.cross_s * rho * _scarcities(fleet, orders, pairs)
    cost = np.where((terms.weight > terms.payload) | (cost >= IMPOSSIBLE_S), IMPOSSIBLE_S, cost)
    return PairCosts(
        rows=rows,
        cols=cols,
        cost_s=cost,
        mode=mode.astype(np.int64),
        pickup_s=np.take_along_axis(_pickup_times(terms), mode[None, :], axis=0)[0],
        energy_margin_pct=terms.battery - terms.unseen - terms.need,
        payload_margin_kg=terms.payload - terms.weight,
    )


def _scarcities(fleet: FleetArrays, orders: OrderArrays, pairs: tuple[Rows, Rows]) -> Array:
    """By how many waiting orders a drone the heavier drone of a pair is scarcer than one of the parcel's own class.

    A heavy drone could carry medium parcels too: the greater need of both counts. Orders on whose way a drone is that may
    still give them back count as well: or a swap would change what it was decided on.
    """
    rows, cols = pairs
    classes = np.array(CLASSES_KG)
    order_class = np.minimum(np.searchsorted(classes, orders.weight_kg), len(classes) - 1)
    drone_class = np.searchsorted(classes, fleet.payload_max_kg)
    load = np.bincount(order_class, minlength=len(classes)) / np.maximum(
        1, np.bincount(drone_class, minlength=len(classes))
    )
    scarcer = np.zeros((len(classes), len(classes)))
    for own, heavier in combinations(range(len(classes)), 2):
        scarcer[own, heavier] = np.clip(load[own + 1 : heavier + 1].max() - load[own], 0.0, SCARCE_MAX)
    return np.asarray(scarcer[order_class[cols], drone_class[rows]], dtype=np.float64)


def _terms(
    world: World,
    fleet: FleetArrays,
    orders: OrderArrays,
    stops: Stops,
    fetch: Array,
    pairs: tuple[Rows, Rows],
    rho: float,
) -> _Terms:
    rows, cols = pairs
    flight = world.flight
    payload, weight = fleet.payload_max_kg[rows], orders.weight_kg[cols]
    carry, retreat = orders.delivery_m[cols], orders.return_m[cols]
    return _Terms(
        rho=rho,
        cross_s=crossing_s(world),
        v=flight.cruise_mps,
        rate=flight.charge_pct_per_min / 60.0,
        per_m=flight.planned_pct(1.0),
        payload=payload,
        weight=weight,
        carry=carry,
        retreat=retreat,
        battery=fleet.battery_pct[rows],
        unseen=fleet.unseen_pct[rows],
        ready=fleet.ready_s[rows],
        fetch=fetch,
        fetch_from_stop=orders.from_stop_m[cols, stops.index[rows]],
        to_stop=stops.way_m[rows],
        queue_s=stops.wait_s[rows],
        need=needed_pct(
            flight,
            payload_max_kg=payload,
            weight_kg=weight,
            pickup_m=fetch,
            delivery_m=carry,
            return_m=retreat,
        ),
        plugged=fleet.stance[rows] == Stance.PLUGGED,
    )


def _mode_costs(t: _Terms) -> Array:
    """(modes, pairs), seconds, in the order of Mode; IMPOSSIBLE_S where a mode cannot be."""
    need, need_from_stop, at_stop, plugged = t.need, t.need_from_stop, t.at_stop, t.plugged
    may_stop = ~plugged & (t.battery < FULL_PCT) & (need_from_stop <= 100.0) & (at_stop >= 0.0)
    wait_weight = 1.0 - t.rho
    visit = VISIT * t.cross_s * t.rho / 100.0  # s for every per cent that a visit leaves uncharged
    empty = (1.0 + EMPTY * t.rho) / t.v
    direct = t.ready + t.fetch * empty
    stopping = t.ready + (t.to_stop + t.fetch_from_stop) * empty
    gone, gone_from_stop = t.per_m * (t.fetch + t.carry), t.per_m * (t.fetch_from_stop + t.carry)
    early = np.where(plugged, visit * (100.0 - t.battery), 0.0)
    small = 3e-3 * t.cross_s  # keeps rounding from preferring a stop that gains nothing
    home = t.rho * t.retreat / t.v
    ways = (
        (need <= t.battery - t.unseen, direct + early + t.retreat_cost(t.battery - gone)),
        (
            plugged & (need > t.battery) & (need <= 100.0),
            direct + t.enough_s * wait_weight + visit * (100.0 - need) + home,
        ),
        (
            plugged & (need <= 100.0),
            direct + t.full_s * wait_weight + t.retreat_cost(100.0 - gone) + small,
        ),
        (
            may_stop & (need_from_stop > at_stop),
            stopping + t.stop_enough_s * wait_weight + visit * (100.0 - need_from_stop) + home + small,
        ),
        (
            may_stop,
            stopping + t.stop_full_s * wait_weight + t.retreat_cost(100.0 - gone_from_stop) + 2 * small,
        ),
    )
    return np.stack([np.where(possible, cost, IMPOSSIBLE_S) for possible, cost in ways])


def _pickup_times(t: _Terms) -> Array:
    """(modes, pairs), seconds from now to the pick-up, in the order of Mode."""
    fly, fly_from_stop = t.fetch / t.v, (t.to_stop + t.fetch_from_stop) / t.v
    return np.stack(
        [
            t.ready + fly,
            t.ready + t.enough_s + fly,
            t.ready + t.full_s + fly,
            t.ready + fly_from_stop + t.stop_enough_s,
            t.ready + fly_from_stop + t.stop_full_s,
        ]
    )
