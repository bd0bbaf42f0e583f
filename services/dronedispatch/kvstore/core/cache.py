"""The replica's LRU of ready answers, bounded in items AND in bytes, with every hit, miss and eviction counted.

cachetools counts one dimension only, does not see the key in `getsizeof`, and on an oversize value raises and leaves the
OLD value in place: each of the three would be a wrong answer or a broken bound here, so all three are handled.
"""

from __future__ import annotations

import sys

from cachetools import LRUCache

from dronedispatch.kv.record import Record

ENTRY_OVERHEAD_BYTES = 800
"""Memory of one entry beyond key, value and tags (777 by tracemalloc: record, version, write id, etag, dictionaries)."""
SIZE_STEP_BYTES = 128
"""Sizes are rounded up to multiples of it: a record that grows by a few bytes takes its old one's place as it is."""


class Answer:
    """What a GET of the key is answered with, ready to be sent: the record, whose value is the body."""

    __slots__ = ("record", "size_bytes")

    def __init__(self, record: Record, size_bytes: int) -> None:
        self.record = record
        self.size_bytes = size_bytes


def answer_of(key: str, record: Record) -> Answer:
    """The ready answer for `record`; `size_bytes` is what keeping it costs, key included."""
    return Answer(record, _size_bytes(key, record))


def _size_bytes(key: str, record: Record) -> int:
    size = ENTRY_OVERHEAD_BYTES + sys.getsizeof(key) + len(record.value)
    for tag in record.tags:
        size += len(tag)
    return -(-size // SIZE_STEP_BYTES) * SIZE_STEP_BYTES


class Counters:
    """Monotone counts since the process started, read by the metrics endpoint and by tests."""

    __slots__ = ("evictions", "hits", "misses", "oversize", "writes")

    def __init__(self) -> None:
        self.hits = 0
        self.misses = 0
        self.writes = 0
        self.evictions = 0
        self.oversize = 0


class _Evicting(LRUCache[str, Answer]):
    """LRUCache in bytes that counts what it evicts (cachetools evicts through popitem)."""

    def __init__(self, bytes_max: int, counters: Counters) -> None:
        super().__init__(bytes_max, getsizeof=lambda answer: answer.size_bytes)
        self._counters = counters

    def popitem(self) -> tuple[str, Answer]:
        item = super().popitem()
        self._counters.evictions += 1
        return item


class AnswerCache:
    """At most `items_max` answers of together at most `bytes_max` bytes, keys and overhead included; LRU goes first.

    Both bounds hold after every call. An answer larger than `bytes_max` is not kept, nor is the one that it replaces.
    """

    def __init__(self, *, items_max: int, bytes_max: int) -> None:
        if items_max < 1 or bytes_max < 1:
            raise ValueError(f"cache bounds must be at least 1: items_max={items_max}, bytes_max={bytes_max}")
        self.items_max = items_max
        self.bytes_max = bytes_max
        self.counters = Counters()
        self._entries = _Evicting(bytes_max, self.counters)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes_now(self) -> int:
        """Bytes accounted to the kept answers; never above `bytes_max`."""
        return int(self._entries.currsize)

    def get(self, key: str) -> Answer | None:
        """The answer kept for `key` (a hit, now the most recently used), or None (a miss)."""
        answer = self._kept(key)
        if answer is None:
            self.counters.misses += 1
        else:
            self.counters.hits += 1
        return answer

    def _kept(self, key: str) -> Answer | None:
        try:
            return self._entries[key]
        except KeyError:
            return None

    def put(self, key: str, record: Record) -> Answer:
        """Keep the answer for a record just read from or committed to disk; return it, kept or not."""
        self.counters.writes += 1
        entries = self._entries
        size = _size_bytes(key, record)
        kept = self._kept(key)
        if kept is not None and kept.size_bytes == size:  # as most: anew costs cachetools three times as much
            kept.record = record
            return kept
        answer = Answer(record, size)
        if answer.size_bytes > self.bytes_max:
            self.counters.oversize += 1
            entries.pop(key, None)
            return answer
        if kept is None:
            while len(entries) >= self.items_max:
                entries.popitem()
        entries[key] = answer
        return answer

    def drop(self, key: str) -> None:
        """Forget `key` (its record was removed, or its new one is not known to be on disk)."""
        self._entries.pop(key, None)

    def clear(self) -> None:
        """Forget everything; no eviction is counted."""
        for key in list(self._entries):
            self._entries.pop(key, None)
