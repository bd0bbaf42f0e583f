"""Which slot a key lives in. `slot_of` is for ever: changing it loses every stored key."""

from __future__ import annotations

from itertools import product
from typing import Final
from zlib import crc32

SLOTS = 64
ENDING_LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32, of which ULIDs are made."""


def slot_of(key: str) -> int:
    """The slot of `key`, 0..63. CRC-32 spreads evenly in its low bits and costs a tenth of a cryptographic hash."""
    return crc32(key.encode()) % SLOTS


def facing(slot: int) -> int:
    """The slot whose replicas are those of `slot` in opposite order, in an assignment that is as good as new."""
    return slot ^ 1


def _endings() -> tuple[tuple[str, ...], ...]:
    endings: list[list[str]] = [[] for _ in range(SLOTS)]
    for letters in product(ENDING_LETTERS, repeat=2):
        endings[slot_of("".join(letters))].append("".join(letters))
    return tuple(tuple(each) for each in endings)


_ENDINGS: Final = _endings()


def ending(head: str, slot: int, chance: int) -> str:
    """Two letters of base 32 that bring the key `head` + letters into `slot`; `chance` picks one of about sixteen.

    CRC is linear: what two letters do to the checksum does not depend on what stands before them.
    """
    before = crc32(b"\0\0", crc32(head.encode())) ^ crc32(b"\0\0")
    choices = _ENDINGS[(slot ^ before) % SLOTS]
    return choices[chance % len(choices)]
