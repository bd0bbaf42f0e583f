"""The fleet as it is before its first flight: names, weight classes and places, all from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from dronedispatch.fleet.drones import DroneType
from dronedispatch.fleet.positions import LatLon

_CLASSES = (DroneType.LIGHT, DroneType.MEDIUM, DroneType.HEAVY)  # a third of the fleet each


def drone_id(number: int) -> str:
    """`number` counts from 0; ids sort in this order up to 99,999 drones."""
    return f"drone-{number + 1:05d}"


def class_of(number: int) -> DroneType:
    """The weight class of drone `number`."""
    return _CLASSES[number % len(_CLASSES)]


def place(name: str, *, seed: int, homes: Sequence[LatLon], spread_deg: float = 0.004) -> LatLon:
    """Where the drone `name` is parked: near one of `homes` (the charge points), the same for the same seed.

    A parked fleet stands around its charge points (within `spread_deg` of one): a uniform placement would let the
    first minutes of every run look better than any later one.
    """
    rng = Random(f"{seed}/{name}")
    home = homes[rng.randrange(len(homes))]
    return LatLon(
        lat=home.lat + rng.uniform(-spread_deg, spread_deg),
        lon=home.lon + rng.uniform(-spread_deg, spread_deg),
    )
