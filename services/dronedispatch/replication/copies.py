"""How many live copies each slot has: what the view says, held against what the replicas say of themselves. Pure.

A view never leaves a slot empty, so it cannot say that a slot is lost: its last member may be dead, or have another disk.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dronedispatch.replication.view import View
from dronedispatch.runtime.health import Copies


@dataclass(frozen=True, slots=True)
class Sighting:
    """What a replica answered lately: the disk that it has (None: it does not answer), and its reason for being absent."""

    disk: str | None
    reason: str = ""


def copies_of(view: View, seen: Mapping[str, Sighting]) -> Copies:
    """The slots of `view` by their copies. A replica that is not in `seen` has not been asked yet: the view is believed."""
    whole = fewer = one = none = 0
    absent: dict[str, str] = {}
    for number, slot in enumerate(view.slots):
        alive = [name for name, disk in view.members(number) if _answers(seen.get(name), disk)]
        lacking = [name for name in slot.assigned if name not in alive]
        absent.update((name, _why(view, name, seen.get(name))) for name in lacking)
        if not lacking:
            whole += 1
        elif not alive:
            none += 1
        else:
            fewer += 1
            one += len(alive) == 1
    return Copies(len(view.slots), whole, fewer, one, none, absent)


def _answers(seen: Sighting | None, disk: str) -> bool:
    return seen is None or seen.disk == disk


def _why(view: View, name: str, seen: Sighting | None) -> str:
    if seen is not None and seen.disk is None:
        return "does not answer"
    replica = view.replicas.get(name)
    if seen is not None and replica is not None and seen.disk != replica.disk:
        return f"has another disk than the view knows ({seen.reason})" if seen.reason else "has another disk"
    return (seen.reason if seen is not None else "") or "not in sync"
