"""Which slot a key lives in, and which replicas a slot should have: consistent hashing with bounded loads.

`slot_of` is for ever: changing it loses every stored key. `assignment` is only advice: the view is the authority.
Each slot ranks the replicas by a hash of (slot, replica) (rendezvous hashing, Thaler and Ravishankar 1998), and a
replica that has its fair share already is passed over (bounded loads, Mirrokni, Thorup and Zadimoghaddam 2016), so
that no replica gets more than its share of slots or of primaries, and a replica more or less moves few slots.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from zlib import crc32

SLOTS = 64


def slot_of(key: str) -> int:
    """The slot of `key`, 0..63. CRC-32 spreads evenly in its low bits and costs a tenth of a cryptographic hash."""
    return crc32(key.encode()) % SLOTS


def preference(slot: int, names: Sequence[str]) -> list[str]:
    """All of `names` in the order in which `slot` would have them as its replicas."""

    def weight(name: str) -> bytes:
        return blake2b(f"{slot}/{name}".encode(), digest_size=8).digest()

    return sorted(names, key=weight)


def assignment(
    names: Sequence[str], rf: int, current: Sequence[Sequence[str]] = ()
) -> tuple[tuple[str, ...], ...]:
    """For each slot its `min(rf, len(names))` replicas in primary order; what `current` has stays where it may.

    Every replica gets at most ceil(64 * rf / n) slots and is the primary of at most ceil(64 / n). Raises
    ValueError for no names or an rf below 1.
    """
    if not names or rf < 1:
        raise ValueError(f"an assignment needs replicas and rf >= 1, not {len(names)} replicas and rf {rf}")
    copies = min(rf, len(names))
    share = -(-SLOTS * copies // len(names))
    held: Counter[str] = Counter()
    chosen: list[list[str]] = []
    for slot in range(SLOTS):
        kept: list[str] = []
        for name in current[slot] if current else ():
            if name in names and held[name] < share and len(kept) < copies:
                held[name] += 1
                kept.append(name)
        chosen.append(kept)
    for slot, replicas in enumerate(chosen):
        for name in _by_need(slot, names, held, share):
            if len(replicas) == copies:
                break
            if name not in replicas:
                held[name] += 1
                replicas.append(name)
    return _primaries_shared(chosen, names)


def _by_need(slot: int, names: Sequence[str], held: Counter[str], share: int) -> list[str]:
    """The slot's preference, those with room first (a full one is taken only when nobody else is left)."""
    order = preference(slot, names)
    return sorted(order, key=lambda name: held[name] >= share)


def _primaries_shared(chosen: list[list[str]], names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The same replicas, ordered so that nobody is the primary of more than its share where the sets allow it."""
    share = -(-SLOTS // len(names))
    leads: Counter[str] = Counter()
    ordered = []
    for replicas in chosen:
        first = replicas[0]
        if leads[first] >= share:
            first = min(replicas, key=lambda name: leads[name])
        leads[first] += 1
        ordered.append((first, *(name for name in replicas if name != first)))
    return tuple(ordered)
