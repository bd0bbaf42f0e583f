"""Who charges and who waits at a station: one list in order of arrival, of which the first `capacity` are plugged in."""

from __future__ import annotations

from collections.abc import Sequence, Set

import msgspec

DOCK_PREFIX = "dock:"


class Dock(msgspec.Struct, frozen=True):
    """`dock:<station>`: ids of the drones that stand there, in order of arrival. Written by drone_sim alone, by CAS."""

    queue: tuple[str, ...] = ()


def dock_key(station: str) -> str:
    return DOCK_PREFIX + station


def plugged_in(dock: Dock, capacity: int) -> tuple[str, ...]:
    """Who charges now."""
    return dock.queue[:capacity]


def settle(dock: Dock, *, present: Sequence[str], ours: Set[str]) -> Dock:
    """The dock after the drones of this process came and went.

    `present`: ids of ours that stand at the station now, in order of arrival. `ours`: every id that this process
    flies; only those are removed when they are not present, so that two processes share a station.
    """
    standing = set(present)
    stay = [drone for drone in dock.queue if drone not in ours or drone in standing]
    known = set(stay)
    return Dock(queue=(*stay, *(drone for drone in present if drone not in known)))
