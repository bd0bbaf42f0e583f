"""What the replica's rules need of its engine: one write transaction, as a port with an LMDB twin and a memory twin."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple, Protocol

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version


class DamagedRecord(Exception):
    """The stored bytes of a key do not match their checksum; raised by `Txn.get`."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key}: the checksum of the stored record is wrong")
        self.key = key


class ChangedKeys(NamedTuple):
    """Changed keys, the oldest change first, each once; complete up to position `lsn`. `more`: there is more after
    it.
    """

    keys: tuple[str, ...]
    lsn: int
    more: bool


class Txn(Protocol):
    """One transaction over everything that a replica keeps.

    A driver opens one for all calls of a loop turn, runs `execute` for each, commits once, and only then lets any
    of the replies go (R9): also those of reads, for they may have seen what the commit makes durable. Nothing here
    may await.
    """

    @property
    def cluster(self) -> str:
        """The cluster that this replica belongs to."""

    @property
    def disk(self) -> str:
        """This disk's identity."""

    @property
    def floor(self) -> int:
        """No request of an epoch below is carried out."""

    @property
    def published(self) -> int:
        """The highest epoch seen in a request: a view of that epoch did exist."""

    def raise_floor(self, floor: int, published: int) -> None:
        """Set both, durably with this transaction; the caller passes values that are not below the present ones."""

    def is_joining(self, slot: int) -> bool:
        """`slot` is marked as being filled."""

    def joining(self) -> frozenset[int]:
        """All marked slots."""

    def set_joining(self, slots: Collection[int]) -> None:
        """Make `slots` the set of marked slots, durably with this transaction."""

    def get(self, key: str) -> Record | None:
        """The record, tombstones included. Raises DamagedRecord."""

    def put(self, key: str, slot: int, record: Record) -> None:
        """Store the record whatever was there; keeps tag index, digest and change log in step."""

    def remove(self, key: str, slot: int) -> None:
        """Remove the key, if it is there; keeps tag index, digest and change log in step."""

    def held_since(self, key: str, version: Version, now_s: float) -> float:
        """The monotonic time since when this process has held `version` of `key`; `now_s` if it does not know (and
        from now on).
        """

    def versions(self, slot: int, after: str | None, limit: int) -> list[tuple[str, Version]]:
        """Up to `limit` keys of `slot` after `after` in key order, tombstones included. A damaged record has
        version (0, 0).
        """

    def digest(self, slot: int) -> bytes:
        """Equal for two replicas if and only if (but for a hash collision) their `versions` of `slot` are."""

    def scan(
        self, slots: Collection[int], *, prefix: str | None, tag: str | None, after: str | None, reverse: bool
    ) -> Iterator[tuple[str, Record | None]]:
        """Keys of `slots` in key order after `after` (before it, if `reverse`), tombstones included unless `tag`
        is given.

        None: the record's checksum is wrong.
        """

    def tombstones(self, slots: Collection[int], after: str | None) -> Iterator[tuple[str, Record | None]]:
        """The tombstones of `slots` in key order after `after`, at a cost that does not grow with the live records."""

    def log_position(self) -> tuple[str, int]:
        """(name of this run of the change log, its last position)."""

    def changes(self, slots: Collection[int], log: str, since: int, limit: int) -> ChangedKeys | None:
        """What changed in `slots` after `since`; None if the log is another one or has been trimmed beyond that
        position.
        """

    def keep_hint(self, target: str, key: str, record: Record) -> None:
        """Keep the newest record for (target, key), within the bounds of the hint store; may drop it."""

    def hints(self, target: str, after: str | None, limit: int) -> list[tuple[str, Record]]:
        """Up to `limit` hints for `target` after `after` in key order."""

    def drop_hints(self, target: str) -> None:
        """Forget all hints for `target`."""
