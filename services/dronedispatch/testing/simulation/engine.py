"""The memory twin of a replica's engine: a Txn whose commits become durable some time after they become visible."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterator

from dronedispatch.kv.record import Record
from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.core.txn import ChangedKeys, DamagedRecord
from dronedispatch.replication.calls import MUST_BE_ABSENT


class MemoryEngine:
    """Everything that one replica keeps, and what of it would be lost by a crash now.

    `begin()`, calls, `commit(durable_at_s)`; `crash(now_s)` takes back, newest first, every change whose commit is
    not durable at `now_s`. `log_keys_max` bounds the change log, which a crash empties.
    """

    def __init__(self, cluster: str, disk: str, *, log_keys_max: int = 1_000) -> None:
        self._cluster = cluster
        self._disk = disk
        self._floor = 0
        self._published = 0
        self._joining: frozenset[int] = frozenset()
        self._data: dict[str, Record] = {}
        self._hints: dict[str, dict[str, Record]] = {}
        self._held: dict[str, tuple[Version, float]] = {}
        self._log: deque[tuple[int, str]] = deque()
        self._log_keys_max = log_keys_max
        self._trimmed = 0
        self._lsn = 0
        self._runs = 1
        self.damaged: set[str] = set()
        self._undo: deque[tuple[float, Callable[[], None]]] = deque()
        self._changed: list[Callable[[], None]] = []

    # --- durability ---

    def commit(self, durable_at_s: float, now_s: float) -> bool:
        """End a transaction; False: it changed nothing. Its changes are safe from `durable_at_s` on."""
        undo = self._undo
        while undo and undo[0][0] <= now_s:
            undo.popleft()
        if not self._changed:
            return False
        undo.extend((durable_at_s, back) for back in self._changed)
        self._changed.clear()
        return True

    def damage(self, key: str) -> bool:
        """A bit of the stored record flips; False: there is none."""
        if key not in self._data:
            return False
        self.damaged.add(key)
        return True

    def crash(self, now_s: float) -> int:
        """Lose what is not durable, and what is only in memory; return how many changes were lost."""
        lost = 0
        while self._undo:
            durable_at_s, back = self._undo.pop()
            if durable_at_s > now_s:
                back()
                lost += 1
        self._changed.clear()
        self._held.clear()
        self._log.clear()
        self._runs += 1
        self._lsn = self._trimmed = 0
        return lost

    # --- Txn ---

    @property
    def cluster(self) -> str:
        return self._cluster

    @property
    def disk(self) -> str:
        return self._disk

    @property
    def floor(self) -> int:
        return self._floor

    @property
    def published(self) -> int:
        return self._published

    def raise_floor(self, floor: int, published: int) -> None:
        before = (self._floor, self._published)
        self._changed.append(lambda: self._set_floor(*before))
        self._set_floor(floor, published)

    def forget_floor(self) -> None:
        """What rule 3 forbids, at a restart; run by the simulation alone."""
        self._set_floor(0, 0)

    def _set_floor(self, floor: int, published: int) -> None:
        self._floor, self._published = floor, published

    def is_joining(self, slot: int) -> bool:
        return slot in self._joining

    def joining(self) -> frozenset[int]:
        return self._joining

    def set_joining(self, slots: Collection[int]) -> None:
        before = self._joining
        self._changed.append(lambda: self._set_joining(before))
        self._joining = frozenset(slots)

    def _set_joining(self, slots: frozenset[int]) -> None:
        self._joining = slots

    def get(self, key: str) -> Record | None:
        if key in self.damaged:
            raise DamagedRecord(key)
        return self._data.get(key)

    def put(self, key: str, slot: int, record: Record) -> None:
        self._set(key, record)

    def remove(self, key: str, slot: int) -> None:
        if key in self._data:
            self._set(key, None)

    def _set(self, key: str, record: Record | None) -> None:
        before = self._data.get(key)
        self._changed.append(lambda: self._store(key, before))
        self._store(key, record)
        self._lsn += 1
        self._log.append((self._lsn, key))
        if len(self._log) > self._log_keys_max:
            self._trimmed = self._log.popleft()[0]

    def _store(self, key: str, record: Record | None) -> None:
        self.damaged.discard(key)
        if record is None:
            self._data.pop(key, None)
        else:
            self._data[key] = record

    def held_since(self, key: str, version: Version, now_s: float) -> float:
        held = self._held.get(key)
        if held is None or held[0] != version:
            held = self._held[key] = (version, now_s)
        return held[1]

    def versions(self, slot: int, after: str | None, limit: int) -> list[tuple[str, Version]]:
        keys = sorted(key for key in self._data if slot_of(key) == slot)
        start = 0 if after is None else bisect_right(keys, after)
        page = keys[start : start + limit]
        return [(key, MUST_BE_ABSENT if key in self.damaged else self._data[key].version) for key in page]

    def digest(self, slot: int) -> bytes:
        return repr(self.versions(slot, None, 1_000_000)).encode()

    def scan(
        self, slots: Collection[int], *, prefix: str | None, tag: str | None, after: str | None, reverse: bool
    ) -> Iterator[tuple[str, Record | None]]:
        for key in sorted(self._data, reverse=reverse):
            record = self._data[key]
            if after is not None and (key >= after if reverse else key <= after):
                continue
            if slot_of(key) not in slots or (prefix is not None and not key.startswith(prefix)):
                continue
            if key in self.damaged:
                yield key, None
            elif tag is None or (tag in record.tags and not record.tombstone):
                yield key, record

    def tombstones(self, slots: Collection[int], after: str | None) -> Iterator[tuple[str, Record | None]]:
        found = self.scan(slots, prefix=None, tag=None, after=after, reverse=False)
        return ((key, record) for key, record in found if record is None or record.tombstone)

    def log_position(self) -> tuple[str, int]:
        return f"{self._disk}/{self._runs}", self._lsn

    def changes(self, slots: Collection[int], log: str, since: int, limit: int) -> ChangedKeys | None:
        if log != self.log_position()[0] or since < self._trimmed:
            return None
        newer = [(lsn, key) for lsn, key in self._log if lsn > since and slot_of(key) in slots]
        page = newer[:limit]
        more = len(newer) > limit
        return ChangedKeys(
            tuple(dict.fromkeys(key for _, key in page)), page[-1][0] if more else self._lsn, more
        )

    def keep_hint(self, target: str, key: str, record: Record) -> None:
        kept = self._hints.setdefault(target, {})
        old = kept.get(key)
        if old is None or record.version > old.version:
            kept[key] = record

    def hints(self, target: str, after: str | None, limit: int) -> list[tuple[str, Record]]:
        kept = self._hints.get(target, {})
        return [(key, kept[key]) for key in sorted(kept) if after is None or key > after][:limit]

    def drop_hints(self, target: str) -> None:
        self._hints.pop(target, None)
