"""The rules' port onto the engine: one LMDB transaction as core.txn.Txn."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator
from hashlib import blake2b

import lmdb
from msgspec.structs import replace

from dronedispatch.kv.record import Record
from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kv.wire import LOCK_PREFIX
from dronedispatch.kvstore.core.record_codec import decode, encode, fingerprint
from dronedispatch.kvstore.core.state import LAST_VIEW_KEY, STATE_KEY, State, encode_state
from dronedispatch.kvstore.core.txn import ChangedKeys, DamagedRecord
from dronedispatch.kvstore.cursor_range import walk
from dronedispatch.kvstore.journal import Change
from dronedispatch.kvstore.tables import DATA, HINTS, META, TAGS, Shared, Tables, data_key, hint_key, tag_key

DAMAGED_VERSION = Version(0, 0)
DEAD = "\x01"
"""The index entry of tombstones: no client can write such a tag."""


class DiskFull(Exception):
    """No room: nothing of what raised it is stored. The transaction goes on without it, unless it is `broken`."""


class LmdbTxn:
    """Everything that this transaction changes is seen by its own reads, and by nobody else before it is synced.

    `reserve(size)` raises DiskFull where so many bytes more have no room. None: over a read transaction, for calls that only
    read; what it would have to change is an assertion.
    `broken`: it failed half-way through one change and can only be aborted.
    """

    def __init__(
        self,
        txn: lmdb.Transaction[bytes],
        tables: Tables,
        shared: Shared,
        reserve: Callable[[int], None] | None = None,
    ) -> None:
        self._txn = txn
        self._tables = tables
        self._shared = shared
        self._reserve = reserve
        self._cached = reserve is None or not shared.threaded
        self.state: State = shared.state
        self.written: dict[str, Record | None] = {}
        self.held: dict[str, tuple[Version, float] | None] = {}
        self.changes_made: list[Change] = []
        self.hint_bytes = 0
        self.hints_dropped = 0
        self.dirty = False
        self.broken = False
        self._got: tuple[str, Record | None] = ("", None)
        self.disk = shared.disk

    @property
    def read_only(self) -> bool:
        """Over a read transaction."""
        return self._reserve is None

    # --- promises ---

    @property
    def cluster(self) -> str:
        return self.state.cluster

    @property
    def floor(self) -> int:
        return self.state.floor

    @property
    def published(self) -> int:
        return self.state.published

    def raise_floor(self, floor: int, published: int) -> None:
        self._set_state(replace(self.state, floor=floor, published=published))

    def is_joining(self, slot: int) -> bool:
        return slot in self.state.joining

    def joining(self) -> frozenset[int]:
        return frozenset(self.state.joining)

    def set_joining(self, slots: Collection[int]) -> None:
        self._set_state(replace(self.state, joining=tuple(sorted(slots))))

    def belong_to(self, cluster: str) -> None:
        """Become a replica of `cluster`, durably with this transaction; once and for ever."""
        assert self.state.cluster in ("", cluster)
        self._set_state(replace(self.state, cluster=cluster))

    def be_copy_of(self, disk: str) -> None:
        """Remember of which disk this one is a complete copy; "": of none (any more)."""
        self._set_state(replace(self.state, was=disk))

    def set_last_view(self, document: bytes) -> None:
        """Keep the newest view, for `kvctl recover`."""
        self._put(LAST_VIEW_KEY.encode(), document, META)

    def _set_state(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._put(STATE_KEY.encode(), encode_state(state), META)

    # --- records ---

    def get(self, key: str) -> Record | None:
        written = self.written
        if key in written:
            return written[key]
        if not self._cached:
            return self._stored(key)
        cache = self._shared.cache
        answer = cache.get(key)
        if answer is not None:
            record: Record | None = answer.record
        else:
            record = self._stored(key)
            if record is not None:
                cache.put(key, record)
        self._got = (key, record)
        return record

    def _stored(self, key: str) -> Record | None:
        stored = self._txn.get(data_key(slot_of(key), key), db=self._tables.data)
        return None if stored is None else decode(key, stored)

    def put(self, key: str, slot: int, record: Record) -> None:
        assert self._reserve is not None, "a read transaction cannot write"
        try:
            got, old = self._got
            if got != key:
                old = self.get(key)
            before = _terms(old)
        except DamagedRecord:
            before = self._tables.tags_by_index(self._txn, key)
        stored = encode(record)
        if not record.tombstone:
            self._reserve(len(stored))
        self._put(data_key(slot, key), stored, DATA)
        terms = _terms(record)
        if before != terms:
            self._index(key, before, terms)
        self._wrote(key, record)

    def remove(self, key: str, slot: int) -> None:
        try:
            old = self.get(key)
        except DamagedRecord:
            before = self._tables.tags_by_index(self._txn, key)
        else:
            if old is None:
                return
            before = _terms(old)
        self._delete(data_key(slot, key), DATA)
        self._index(key, before, ())
        self._wrote(key, None)

    def held_since(self, key: str, version: Version, now_s: float) -> float:
        if not key.startswith(LOCK_PREFIX):
            return now_s
        held = self.held[key] if key in self.held else self._shared.held.get(key)
        if held is not None and held[0] == version:
            return held[1]
        written = self.written.get(key)
        if written is None or not written.tombstone:  # a released lock is held by nobody
            self.held[key] = (version, now_s)
        return now_s

    def _wrote(self, key: str, record: Record | None) -> None:
        if self.state.was:
            self.be_copy_of("")
        self.written[key] = record
        self._got = ("", None)
        self._shared.changes.note(key)
        if key.startswith(LOCK_PREFIX) and (record is None or record.tombstone):
            self.held[key] = None

    def _index(self, key: str, before: tuple[str, ...], now: tuple[str, ...]) -> None:
        for tag in before:
            if tag not in now:
                self._delete(tag_key(tag, key), TAGS)
        for tag in now:
            if tag not in before:
                self._put(tag_key(tag, key), b"", TAGS)

    # --- ranges ---

    def versions(self, slot: int, after: str | None, limit: int) -> list[tuple[str, Version]]:
        page: list[tuple[str, Version]] = []
        for key, stored in walk(self._txn, self._tables.data, bytes((slot,)), after=after):
            if len(page) == limit:
                break
            page.append((key, _version_of(key, stored)))
        return page

    def digest(self, slot: int) -> bytes:
        digest = blake2b(digest_size=16)
        first = bytes((slot,))
        with self._txn.cursor(db=self._tables.data) as cursor:
            if cursor.set_range(first):
                for name, stored in cursor.iternext():
                    if name[0] != slot:
                        break
                    digest.update(name)
                    digest.update(fingerprint(stored))
        return digest.digest()

    def scan(
        self, slots: Collection[int], *, prefix: str | None, tag: str | None, after: str | None, reverse: bool
    ) -> Iterator[tuple[str, Record | None]]:
        if tag is not None:
            return self._tagged(frozenset(slots), prefix or "", tag, after, reverse=reverse)
        lanes = [
            walk(
                self._txn,
                self._tables.data,
                bytes((slot,)),
                prefix=prefix or "",
                after=after,
                reverse=reverse,
            )
            for slot in slots
        ]
        merged = heapq.merge(*lanes, key=lambda entry: entry[0].encode(), reverse=reverse)
        return ((key, _sound(key, stored)) for key, stored in merged)

    def _tagged(
        self, slots: frozenset[int], prefix: str, tag: str, after: str | None, *, reverse: bool
    ) -> Iterator[tuple[str, Record | None]]:
        head = tag_key(tag, "")
        for key, _ in walk(self._txn, self._tables.tags, head, prefix=prefix, after=after, reverse=reverse):
            if slot_of(key) in slots:
                try:
                    record = self.get(key)
                except DamagedRecord:
                    yield key, None
                    continue
                if record is not None:
                    yield key, record

    def tombstones(self, slots: Collection[int], after: str | None) -> Iterator[tuple[str, Record | None]]:
        return self._tagged(frozenset(slots), "", DEAD, after, reverse=False)

    def log_position(self) -> tuple[str, int]:
        return self._shared.changes.name, self._shared.changes.lsn

    def changes(self, slots: Collection[int], log: str, since: int, limit: int) -> ChangedKeys | None:
        if log != self._shared.changes.name:
            return None
        wanted = frozenset(slots)
        return self._shared.changes.since(since, limit, lambda key: slot_of(key) in wanted)

    def value(self, table: int, key: bytes) -> bytes | None:
        """What a table holds for a key, as it is."""
        return self._txn.get(key, db=self._tables.numbered[table])

    def pages(self, table: int) -> int:
        """How many pages a table's tree takes."""
        stat = self._txn.stat(self._tables.numbered[table])
        return int(stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"])

    def entries(self) -> int:
        """How many keys are stored, tombstones included."""
        return int(self._txn.stat(self._tables.data)["entries"])

    # --- hints ---

    def keep_hint(self, target: str, key: str, record: Record) -> None:
        assert self._reserve is not None, "a read transaction cannot write"
        shared, name = self._shared, hint_key(target, key)
        kept = self._txn.get(name, db=self._tables.hints)
        if kept is not None and decode(key, kept).version >= record.version:
            return
        stored = encode(record)
        grown = len(stored) - len(kept) if kept is not None else len(name) + len(stored)
        if shared.hint_bytes + self.hint_bytes + grown > shared.hint_bytes_max:
            self.hints_dropped += 1
            return
        self._reserve(len(stored))
        self._put(name, stored, HINTS)
        self.hint_bytes += grown

    def hints(self, target: str, after: str | None, limit: int) -> list[tuple[str, Record]]:
        page: list[tuple[str, Record]] = []
        for key, stored in walk(self._txn, self._tables.hints, hint_key(target, ""), after=after):
            if len(page) == limit:
                break
            page.append((key, decode(key, stored)))
        return page

    def all_hint_bytes(self) -> int:
        """What all hints take."""
        with self._txn.cursor(db=self._tables.hints) as cursor:
            return sum(len(name) + len(stored) for name, stored in cursor)

    def drop_hints(self, target: str) -> None:
        names = [
            (hint_key(target, key), len(stored))
            for key, stored in walk(self._txn, self._tables.hints, hint_key(target, ""))
        ]
        for name, size in names:
            self._delete(name, HINTS)
            self.hint_bytes -= len(name) + size

    def old_hints(self, before_s: float, limit: int) -> list[tuple[str, str]]:
        """Up to `limit` (target, key) whose record was written before the wall time `before_s`."""
        found: list[tuple[str, str]] = []
        for name, stored in walk(self._txn, self._tables.hints, b""):
            target, _, key = name.partition("\x00")
            if len(found) < limit and decode(key, stored).wall_s < before_s:
                found.append((target, key))
        return found

    def drop_hint(self, target: str, key: str) -> None:
        """Forget one hint (it has grown too old)."""
        name = hint_key(target, key)
        kept = self._txn.get(name, db=self._tables.hints)
        if kept is not None:
            self._delete(name, HINTS)
            self.hint_bytes -= len(name) + len(kept)

    # --- the transaction itself ---

    def _put(self, key: bytes, value: bytes, table: int) -> None:
        assert self._reserve is not None, "a read transaction cannot write"
        self.dirty = True
        try:
            self._txn.put(key, value, db=self._tables.numbered[table])
        except (lmdb.MapFullError, lmdb.TxnFullError) as error:
            self.broken = True
            raise DiskFull(str(error)) from error
        self.changes_made.append((table, key, value))

    def _delete(self, key: bytes, table: int) -> None:
        assert self._reserve is not None, "a read transaction cannot write"
        self.dirty = True
        self._txn.delete(key, db=self._tables.numbered[table])
        self.changes_made.append((table, key, None))


def _terms(record: Record | None) -> tuple[str, ...]:
    """What the index knows a record by: its tags, or that it is a tombstone (so that a sweep need not read everything)."""
    if record is None:
        return ()
    return (DEAD,) if record.tombstone else record.tags


def _sound(key: str, stored: bytes) -> Record | None:
    """The record; None: its checksum is wrong."""
    try:
        return decode(key, stored)
    except DamagedRecord:
        return None


def _version_of(key: str, stored: bytes) -> Version:
    try:
        return decode(key, stored).version
    except DamagedRecord:
        return DAMAGED_VERSION
