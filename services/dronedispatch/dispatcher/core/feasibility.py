"""What a drone must be able to do for an order: the constraints, as margins. One place decides and explains.

A margin of 0 or more holds. Both the policies (arrays, a whole round at once) and `why` (one pair at a time) call
`margins`, so that no explanation can differ from the decision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dronedispatch.fleet.energy import FlightModel

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Margins:
    """`payload_kg`: limit minus parcel. `energy_pct`: what is left above the reserve at the charge point."""

    payload_kg: Array
    energy_pct: Array

    @property
    def fit(self) -> npt.NDArray[np.bool_]:
        return (self.payload_kg >= 0.0) & (self.energy_pct >= 0.0)


def margins(
    flight: FlightModel,
    *,
    battery_pct: Array,
    payload_max_kg: Array,
    weight_kg: Array,
    pickup_m: Array,
    delivery_m: Array,
    return_m: Array,
) -> Margins:
    """pos -> origin (`pickup_m`) -> destination (`delivery_m`) -> nearest charge point (`return_m`) plus the reserve.

    All arguments broadcast together: pairs, or drones by orders.
    """
    return Margins(
        payload_kg=payload_max_kg - weight_kg,
        energy_pct=battery_pct
        - needed_pct(
            flight,
            payload_max_kg=payload_max_kg,
            weight_kg=weight_kg,
            pickup_m=pickup_m,
            delivery_m=delivery_m,
            return_m=return_m,
        ),
    )


def needed_pct(
    flight: FlightModel,
    *,
    payload_max_kg: Array,
    weight_kg: Array,
    pickup_m: Array,
    delivery_m: Array,
    return_m: Array,
) -> Array:
    """The battery with which a drone may start, the reserve included; above 100 nobody can."""
    load = 1.0 + flight.payload_share * weight_kg / payload_max_kg
    per_m = flight.drain_pct_per_km * (1.0 + flight.uncertainty) / 1000.0
    return flight.reserve_pct + per_m * (pickup_m + delivery_m * load + return_m)
