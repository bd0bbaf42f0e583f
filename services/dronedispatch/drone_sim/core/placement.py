"""The fleet as it is before its first flight: names, weight classes and places, all from one seed."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from dronedispatch.fleet.drones import DroneType
from dronedispatch.fleet.positions import LatLon

_CLASSES = (DroneType.LIGHT, DroneType.MEDIUM, DroneType.HEAVY)  # a third of the fleet each


@dataclass(frozen=True, slots=True)
class Placed:
    """A drone to register."""

    id: str
    type: DroneType
    pos: LatLon


def drone_id(number: int) -> str:
    """`number` counts from 0; ids sort in this order up to 99,999 drones."""
    return f"drone-{number + 1:05d}"


def place(number: int, *, seed: int, places: tuple[LatLon, ...], spread_deg: float = 0.002) -> Placed:
    """Drone `number` of the fleet, near one of `places` (the charge points), the same for the same seed.

    A parked fleet stands around its charge points (within `spread_deg` of one): uniform placement would let the
    first minutes of every run look better than any later one.
    """
    rng = Random(f"{seed}/{number}")
    home = places[number // len(_CLASSES) % len(places)]
    return Placed(
        id=drone_id(number),
        type=_CLASSES[number % len(_CLASSES)],
        pos=LatLon(
            lat=home.lat + rng.uniform(-spread_deg, spread_deg),
            lon=home.lon + rng.uniform(-spread_deg, spread_deg),
        ),
    )
