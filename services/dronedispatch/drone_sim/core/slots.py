"""Who flies which slot of the fleet: several drone_sim processes share it, and take over the slots of a dead one."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from zlib import crc32


def slot_of(drone_id: str, slots: int) -> int:
    """The slot of a drone, 0..slots-1: the same in every process, whatever else flies."""
    return crc32(drone_id.encode()) % slots


@dataclass(frozen=True, slots=True)
class Share:
    """What to do about slots now: `claim` in this order until `wanted` are held, give `release` back."""

    claim: tuple[int, ...]
    wanted: int
    release: tuple[int, ...]


def share_of(instance: str, instances: Sequence[str], held: Set[int], slots: int) -> Share:
    """The fair share of `instance` among `instances` (itself included or not), given the slots that it holds.

    Everybody wants ceil(slots / processes); the remainder makes no slot move twice, because only what exceeds the
    share is released and only free slots can be claimed. Each process starts at another slot, so that two rarely
    ask for the same one.
    """
    everybody = sorted({*instances, instance})
    wanted = -(-slots // len(everybody))
    start = everybody.index(instance) * slots // len(everybody)
    order = [(start + offset) % slots for offset in range(slots)]
    claim = tuple(slot for slot in order if slot not in held)
    surplus = max(0, len(held) - wanted)
    release = tuple([slot for slot in reversed(order) if slot in held][:surplus])
    return Share(claim=claim, wanted=wanted, release=release)
