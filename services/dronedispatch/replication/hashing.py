"""Which replicas a slot should have: consistent hashing with bounded loads.

`assignment` is only advice: the view is the authority.
Each slot ranks the replicas by a hash of (slot, replica) (rendezvous hashing, Thaler and Ravishankar 1998), and a
replica that has its fair share already is passed over (bounded loads, Mirrokni, Thorup and Zadimoghaddam 2016), so
that no replica gets more than its share of slots or of primaries, and a replica more or less moves few slots.
Two slots that face each other (2n and 2n + 1) get the same replicas in opposite order, where both are new: a pair of writes
in them takes three round trips instead of four (kvfront/core/pairing.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b

from dronedispatch.kv.slots import SLOTS, facing


def preference(slot: int, names: Sequence[str]) -> list[str]:
    """All of `names` in the order in which `slot` would have them as its replicas."""

    def weight(name: str) -> bytes:
        return blake2b(f"{slot}/{name}".encode(), digest_size=8).digest()

    return sorted(names, key=weight)


def assignment(
    names: Sequence[str], rf: int, current: Sequence[Sequence[str]] = ()
) -> tuple[tuple[str, ...], ...]:
    """For each slot its `min(rf, len(names))` replicas in primary order; what `current` has stays where it may.

    No two replicas differ by more than one slot, and hardly any two by more than one in how many they lead. Raises
    ValueError for no names or an rf below 1.
    """
    if not names or rf < 1:
        raise ValueError(f"an assignment needs replicas and rf >= 1, not {len(names)} replicas and rf {rf}")
    copies = min(rf, len(names))
    share = -(-SLOTS * copies // len(names))
    chosen = [
        [name for name in (current[slot] if current else ()) if name in names][:copies]
        for slot in range(SLOTS)
    ]
    held = Counter(dict.fromkeys(names, 0))
    held.update(name for replicas in chosen for name in replicas)
    for slot, replicas in enumerate(chosen):
        while len(replicas) < copies:
            faced = chosen[facing(slot)][::-1] if slot > facing(slot) else []
            wanted = dict.fromkeys([*faced, *preference(slot, names)])
            left = [name for name in wanted if name not in replicas]
            name = next((each for each in left if held[each] < share), min(left, key=held.__getitem__))
            held[name] += 1
            replicas.append(name)
    _even_out_copies(chosen, held)
    _even_out_leads(chosen, Counter(dict.fromkeys(names, 0)))
    return tuple(tuple(replicas) for replicas in chosen)


def _even_out_copies(chosen: list[list[str]], held: Counter[str]) -> None:
    """Hand copies of the fullest replica to the emptiest, in the slots that rank the latter best, until they
    differ by one.
    """
    while True:
        full, empty = max(held, key=held.__getitem__), min(held, key=held.__getitem__)
        if held[full] - held[empty] <= 1:
            return
        slots = [slot for slot, replicas in enumerate(chosen) if full in replicas and empty not in replicas]
        best = min(slots, key=lambda slot: preference(slot, list(held)).index(empty))
        chosen[best][chosen[best].index(full)] = empty
        held[full] -= 1
        held[empty] += 1


def _even_out_leads(chosen: list[list[str]], leads: Counter[str]) -> None:
    """Put another replica first, where one that leads many slots shares one with one that leads two fewer."""
    leads.update(replicas[0] for replicas in chosen)
    changed = True
    while changed:
        changed = False
        for replicas in chosen:
            least = min(replicas, key=leads.__getitem__)
            if leads[replicas[0]] - leads[least] >= 2:
                leads[replicas[0]] -= 1
                leads[least] += 1
                replicas.insert(0, replicas.pop(replicas.index(least)))
                changed = True
