"""Orders that are assigned or in progress, beside the drones that they name: of most of them a round has nothing to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dronedispatch.dispatcher.core.advance import DROPPED_OFF, PICKED_UP, holds
from dronedispatch.dispatcher.core.fleet_cache import FleetCache, Rows
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import DeliverySnapshot, DroneSnapshot
from dronedispatch.fleet.deliveries import DeliveryStatus

_FLOWN = (DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS)


@dataclass(frozen=True, slots=True)
class Flown:
    """`orders[held[k]]` is held by the drone of row `rows[k]` of the cache; the others are held by none that they name."""

    orders: list[DeliverySnapshot]
    held: Rows
    rows: Rows

    def to_advance(self, cached: FleetCache) -> dict[str, DeliverySnapshot]:
        """Those whose drones have done another stop."""
        assigned = [self.orders[k].status is DeliveryStatus.ASSIGNED for k in self.held.tolist()]
        done = cached.done[self.rows] >= np.where(np.array(assigned, dtype=np.bool_), PICKED_UP, DROPPED_OFF)
        return {self.orders[k].id: self.orders[k] for k in self.held[done].tolist()}

    def to_reconcile(self, cached: FleetCache, tuning: Tuning) -> list[DeliverySnapshot]:
        """Those that nobody holds, and those of drones that are silent or called back."""
        odd = np.ones(len(self.orders), dtype=np.bool_)
        odd[self.held] = (cached.ticks_missed[self.rows] >= tuning.silent_ticks) | cached.recalled[self.rows]
        return [self.orders[k] for k in np.flatnonzero(odd).tolist()]

    def idle_hands(self, cached: FleetCache) -> list[DroneSnapshot]:
        """Busy drones that hold none of these orders, sorted by id."""
        busy = cached.busy.copy()
        busy[self.rows] = False
        return cached.at(np.flatnonzero(busy))


def flown_of(deliveries: Mapping[str, DeliverySnapshot], cached: FleetCache) -> Flown:
    """In the order of `deliveries`."""
    orders: list[DeliverySnapshot] = []
    held: list[int] = []
    rows: list[int] = []
    for order in deliveries.values():
        if order.drone_id is None or order.status not in _FLOWN:
            continue
        drone = cached.drones.get(order.drone_id)
        if drone is not None and holds(drone, order):
            held.append(len(orders))
            rows.append(cached.row(drone.id))
        orders.append(order)
    return Flown(orders, np.array(held, dtype=np.int64), np.array(rows, dtype=np.int64))
