"""The orders of a round, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dronedispatch.dispatcher.core.world import DeliverySnapshot
from dronedispatch.fleet.paths import Paths, xy_of

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OrderArrays:
    """Row j of every array is `deliveries[j]`. Ways in metres.

    `delivery_m`: origin to destination. `return_m`: destination to the nearest charge point.
    """

    deliveries: Sequence[DeliverySnapshot]
    origin_m: Array  # (n, 2)
    destination_m: Array  # (n, 2)
    weight_kg: Array
    delivery_m: Array
    return_m: Array

    def __len__(self) -> int:
        return len(self.deliveries)


def orders_of(deliveries: Sequence[DeliverySnapshot], paths: Paths) -> OrderArrays:
    """Arrays of these deliveries, in their order."""
    origin = xy_of([delivery.origin for delivery in deliveries])
    destination = xy_of([delivery.destination for delivery in deliveries])
    return OrderArrays(
        deliveries=deliveries,
        origin_m=origin,
        destination_m=destination,
        weight_kg=np.array([delivery.weight_kg for delivery in deliveries], dtype=np.float64),
        delivery_m=paths.lengths_m(origin, destination),
        return_m=paths.charge_ways_m(destination).min(axis=1, initial=np.inf),
    )
