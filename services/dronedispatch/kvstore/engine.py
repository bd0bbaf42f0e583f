"""The replica's disk: LMDB behind typed reads and ONE write transaction at a time.

Databases: `meta` {name -> bytes}, `data` {slot byte + key -> record}, `tags` {tag + NUL + key -> nothing}, `hints`
{target + NUL + key -> record}. The slot leads the data key because a JOIN compares slot by slot; scans by prefix merge the
slots lazily instead. Long reads would pin pages, so every read here is one short transaction and scans come in pages.

Foreign errors stop here. DiskFull: nothing was done, and the next transaction may succeed. An fsync of unknown outcome is
FatalDisk: nobody may answer anything any more, the process must end (kv-protocol R9).
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import lmdb

from dronedispatch.kv.record import Record
from dronedispatch.kvstore.cache import AnswerCache
from dronedispatch.kvstore.changes import ChangeLog
from dronedispatch.kvstore.disk import OpenDisk, free_bytes
from dronedispatch.kvstore.stored import decode, encode

COMMIT_BYTES: Final = 64 * 1024
"""What a commit writes beyond the records themselves (copied B-tree pages), at most, for a small group."""

SHORT_WRITE_FREE_BYTES: Final = 2 * 1024**2
"""LMDB reports a short write as EIO: with less free space than this it was a full disk, and nothing is stored."""


class DiskFull(Exception):
    """No room: the transaction was aborted as a whole, definitely nothing of it is stored."""


class FatalDisk(Exception):
    """The disk answered a sync in a way that leaves the outcome unknown: end the process without another answer."""


class Reads:
    """Typed reads within one LMDB transaction, read or write."""

    def __init__(self, engine: Engine, txn: lmdb.Transaction[bytes]) -> None:
        self._engine = engine
        self._txn = txn

    def record(self, key: str) -> Record | None:
        """The record of `key` as this transaction sees it. Raises Damaged. Does not touch the cache."""
        stored = self._txn.get(self._engine.data_key(key), db=self._engine.data)
        return None if stored is None else decode(key, stored)

    def meta(self, name: str) -> bytes | None:
        """The meta entry `name`."""
        return self._txn.get(name.encode(), db=self._engine.disk.meta)

    def slot_items(self, slot: int, after: str | None = None) -> Iterator[tuple[str, bytes]]:
        """(key, stored bytes) of a slot in key order, after `after`; the transaction must outlive the iterator."""
        head = bytes([slot])
        return self._walk(self._engine.data, head, None if after is None else after.encode(), reverse=False)

    def slot_keys(
        self, slot: int, prefix: str, after: str | None, *, reverse: bool
    ) -> Iterator[tuple[str, bytes]]:
        """Like slot_items, but only keys with `prefix`, in either direction (`after` is exclusive in it)."""
        low = bytes([slot])
        return self._walk(
            self._engine.data, low, None if after is None else after.encode(), reverse=reverse, prefix=prefix
        )

    def tagged(self, tag: str, prefix: str, after: str | None, *, reverse: bool) -> Iterator[str]:
        """The keys that carry `tag` and begin with `prefix`, in key order, after `after`."""
        head = tag.encode() + b"\x00"
        after_key = None if after is None else after.encode()
        for key, _ in self._walk(self._engine.tags, head, after_key, reverse=reverse, prefix=prefix):
            yield key

    def hints(self, target: str, after: str | None) -> Iterator[tuple[str, bytes]]:
        """(key, stored bytes) of the hints kept for `target`, in key order, after `after`."""
        head = target.encode() + b"\x00"
        return self._walk(
            self._engine.hints_db, head, None if after is None else after.encode(), reverse=False
        )

    def _walk(
        self, db: lmdb._Database, head: bytes, after: bytes | None, *, reverse: bool, prefix: str = ""
    ) -> Iterator[tuple[str, bytes]]:
        """(key behind `head`, value) of every entry whose key begins with head + prefix, from `after` on."""
        skip = len(head)
        stem = head + prefix.encode()
        with self._txn.cursor(db=db) as cursor:
            found = _seek_reverse(cursor, stem, head, after) if reverse else _seek(cursor, stem, head, after)
            while found:
                key = cursor.key()
                if not key.startswith(stem):
                    return
                yield key[skip:].decode(), cursor.value()
                found = cursor.prev() if reverse else cursor.next()


def _seek(cursor: lmdb.Cursor[bytes], stem: bytes, head: bytes, after: bytes | None) -> bool:
    if after is None or head + after < stem:
        return bool(cursor.set_range(stem))
    start = head + after
    if not cursor.set_range(start):
        return False
    return bool(cursor.next()) if cursor.key() == start else True


def _seek_reverse(cursor: lmdb.Cursor[bytes], stem: bytes, head: bytes, after: bytes | None) -> bool:
    end = _behind(stem)
    if after is not None:
        end = min(end, head + after)
    if cursor.set_range(end):
        return bool(cursor.prev())
    return bool(cursor.last())


def _behind(stem: bytes) -> bytes:
    """The smallest key greater than every key that begins with `stem` (stems are UTF-8 behind a byte below 0xFF)."""
    return stem + b"\xff" * 4


class Write(Reads):
    """The one write transaction: what it wrote is seen by its own reads, and by nobody else before the commit is synced."""

    def __init__(self, engine: Engine, txn: lmdb.Transaction[bytes]) -> None:
        super().__init__(engine, txn)
        self.written: dict[str, Record | None] = {}
        self.bytes = 0
        self.dirty = False
        self.hint_bytes = 0

    def record(self, key: str) -> Record | None:
        """The newest record of `key`: written in this transaction, cached, or on disk. Raises Damaged."""
        if key in self.written:
            return self.written[key]
        if self._engine.threaded:  # the cache belongs to the loop
            return super().record(key)
        answer = self._engine.cache.get(key)
        return super().record(key) if answer is None else answer.record

    def put(self, key: str, record: Record, previous: Record | None) -> None:
        """Store `record` for `key`, whose record was `previous` until now (its tags leave the index)."""
        engine, txn = self._engine, self._txn
        stored = encode(record)
        self._reserve(len(stored))
        try:
            txn.put(engine.data_key(key), stored, db=engine.data)
        except (lmdb.MapFullError, lmdb.TxnFullError) as error:
            raise DiskFull(str(error)) from error
        before = previous.tags if previous is not None else ()
        if before != record.tags:
            self._index(key, before, record.tags)
        self._wrote(key, record)

    def remove(self, key: str, previous: Record | None) -> None:
        """Forget `key` altogether (purge of a tombstone, or a JOIN that found it gone)."""
        self._txn.delete(self._engine.data_key(key), db=self._engine.data)
        self._index(key, previous.tags if previous is not None else (), ())
        self._wrote(key, None)

    def set_meta(self, name: str, value: bytes | None) -> None:
        """Set the meta entry `name` (None: remove it)."""
        db = self._engine.disk.meta
        if value is None:
            self._txn.delete(name.encode(), db=db)
        else:
            self._txn.put(name.encode(), value, db=db)
        self.dirty = True

    def put_hint(self, target: str, key: str, record: Record) -> bool:
        """Keep `record` for `target` unless a newer one is kept already; False: no room for hints."""
        engine = self._engine
        name = target.encode() + b"\x00" + key.encode()
        kept = self._txn.get(name, db=engine.hints_db)
        if kept is not None and decode(key, kept).version >= record.version:
            return True
        stored = encode(record)
        grown = len(name) + len(stored) - (len(name) + len(kept) if kept is not None else 0)
        if engine.hint_bytes + self.hint_bytes + grown > engine.hint_bytes_max:
            return False
        self._reserve(len(stored))
        self._txn.put(name, stored, db=engine.hints_db)
        self.hint_bytes += grown
        self.dirty = True
        return True

    def drop_hint(self, target: str, key: str) -> None:
        """Forget the hint for `key` of `target`."""
        name = target.encode() + b"\x00" + key.encode()
        kept = self._txn.pop(name, db=self._engine.hints_db)
        if kept is not None:
            self.hint_bytes -= len(name) + len(kept)
            self.dirty = True

    def _index(self, key: str, before: tuple[str, ...], now: tuple[str, ...]) -> None:
        tags, txn, name = self._engine.tags, self._txn, key.encode()
        for tag in before:
            if tag not in now:
                txn.delete(tag.encode() + b"\x00" + name, db=tags)
        for tag in now:
            if tag not in before:
                txn.put(tag.encode() + b"\x00" + name, b"", db=tags)

    def _wrote(self, key: str, record: Record | None) -> None:
        self.written[key] = record
        self._engine.changes.note(key)
        self.dirty = True

    def _reserve(self, size: int) -> None:
        """Raise DiskFull before the disk does: LMDB's own report of it (EIO) cannot be told from a broken disk."""
        self.bytes += size + 4096
        if self._engine.free_now is None:
            self._engine.free_now = free_bytes(self._engine.disk.path)
        if self._engine.free_now - self.bytes - COMMIT_BYTES < self._engine.reserve_bytes:
            raise DiskFull(
                f"{self._engine.free_now} bytes free, {self._engine.reserve_bytes} of them reserved"
            )


class Engine:
    """One replica's records on one open disk, read through the answer cache.

    `threaded`: transactions run on a thread of their own, which then keeps off the cache.
    """

    def __init__(
        self,
        disk: OpenDisk,
        cache: AnswerCache,
        *,
        slot_of: Callable[[str], int],
        reserve_bytes: int,
        changes_max: int,
        hint_bytes_max: int,
        threaded: bool = False,
    ) -> None:
        self.disk = disk
        self.threaded = threaded
        self.cache = cache
        self.changes = ChangeLog(changes_max)
        self.reserve_bytes = reserve_bytes
        self.hint_bytes_max = hint_bytes_max
        self.free_now: int | None = None
        self._slot_of = slot_of
        env = disk.env
        self.data = env.open_db(b"data")
        self.tags = env.open_db(b"tags")
        self.hints_db = env.open_db(b"hints")
        with env.begin() as txn, txn.cursor(db=self.hints_db) as cursor:
            self.hint_bytes = sum(len(key) + len(value) for key, value in cursor)

    def data_key(self, key: str) -> bytes:
        """Where `key` lies in `data`."""
        return bytes((self._slot_of(key),)) + key.encode()

    @contextmanager
    def reading(self) -> Iterator[Reads]:
        """A short read transaction over what is committed and synced."""
        with self.disk.env.begin() as txn:
            yield Reads(self, txn)

    def get(self, key: str) -> Record | None:
        """The committed record of `key`, through the cache. Raises Damaged."""
        answer = self.cache.get(key)
        if answer is not None:
            return answer.record
        with self.disk.env.begin() as txn:
            stored = txn.get(self.data_key(key), db=self.data)
        if stored is None:
            return None
        record = decode(key, stored)
        self.cache.put(key, record)
        return record

    def begin(self) -> Write:
        """Open the write transaction; exactly one of commit and abort must follow, on the same thread."""
        self.free_now = None
        return Write(self, self.disk.env.begin(write=True))

    def commit(self, write: Write) -> None:
        """Commit and sync. Raises DiskFull (nothing stored) or FatalDisk. Call `publish` afterwards, on the loop."""
        if not write.dirty:
            write._txn.abort()
            return
        try:
            write._txn.commit()
        except (lmdb.MapFullError, lmdb.DiskError) as error:
            raise DiskFull(str(error)) from error
        except lmdb.Error as error:
            if error.code in (errno.ENOSPC, errno.EDQUOT) or (
                error.code == errno.EIO and free_bytes(self.disk.path) < SHORT_WRITE_FREE_BYTES
            ):
                raise DiskFull(str(error)) from error
            raise FatalDisk(str(error)) from error

    def abort(self, write: Write) -> None:
        """Undo everything of `write`."""
        write._txn.abort()

    def publish(self, write: Write) -> None:
        """Let the cache answer with what `write` has committed."""
        self.hint_bytes += write.hint_bytes
        for key, record in write.written.items():
            if record is None:
                self.cache.drop(key)
            else:
                self.cache.put(key, record)

    def close(self) -> None:
        """Note how far the file has come, then close it."""
        self.disk.note()
        self.disk.env.close()
