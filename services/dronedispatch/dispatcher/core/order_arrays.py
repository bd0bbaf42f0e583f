"""The orders of a round, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dronedispatch.dispatcher.core.order_ways import OrderWays
from dronedispatch.dispatcher.core.world import DeliverySnapshot
from dronedispatch.fleet.paths import xy_of

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OrderArrays:
    """Row j of every array is `deliveries[j]`. Ways in metres.

    `delivery_m`: origin to destination. `return_m`: destination to the nearest charge point. `from_stop_m`: each charge
    point to the origin.
    """

    deliveries: Sequence[DeliverySnapshot]
    origin_m: Array  # (n, 2)
    destination_m: Array  # (n, 2)
    weight_kg: Array
    delivery_m: Array
    return_m: Array
    from_stop_m: Array  # (n, charge points)

    def __len__(self) -> int:
        return len(self.deliveries)


def orders_of(deliveries: Sequence[DeliverySnapshot], ways: OrderWays) -> OrderArrays:
    """Arrays of these deliveries, in their order."""
    delivery_m, from_stop_m, to_stop_m = ways.of(deliveries)
    return OrderArrays(
        deliveries=deliveries,
        origin_m=xy_of([delivery.origin for delivery in deliveries]),
        destination_m=xy_of([delivery.destination for delivery in deliveries]),
        weight_kg=np.array([delivery.weight_kg for delivery in deliveries], dtype=np.float64),
        delivery_m=delivery_m,
        return_m=to_stop_m.min(axis=1, initial=np.inf),
        from_stop_m=from_stop_m,
    )
