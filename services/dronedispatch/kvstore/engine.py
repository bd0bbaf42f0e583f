"""The replica's disk: LMDB behind one transaction at a time, committed and synced before anybody hears of it.

Databases: `meta` {name -> bytes}, `data` {slot byte + key -> record}, `tags` {tag + NUL + key -> nothing}, `hints`
{target + NUL + key -> record}. The slot leads the data key because a JOIN compares slot by slot; scans by prefix merge the
slots lazily instead. Long reads would pin pages, so every read is one short transaction and scans come in pages.

LMDB syncs twice for a commit: the pages, then the meta page that makes them count. The second one is `sync` here, and
no reply leaves before it (committer.py). It used to be left to the next commit's first one, which covers it: that saved
a sync a group and made every write wait, twice, for a whole commit more. A crash in between loses a group of which
nobody has heard.

Foreign errors stop here. DiskFull: nothing was done, and the next transaction may succeed. An fsync of unknown outcome is
FatalDisk: nobody may answer anything any more, the process must end (kv-protocol R9).
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import lmdb

from dronedispatch.kv.version import Version
from dronedispatch.kvstore.cache import AnswerCache
from dronedispatch.kvstore.changes import ChangeLog
from dronedispatch.kvstore.disk import OpenDisk, free_bytes
from dronedispatch.kvstore.state import LAST_VIEW_KEY, STATE_KEY, State, decode_state
from dronedispatch.kvstore.txn import DiskFull, LmdbTxn

SHORT_WRITE_FREE_BYTES: Final = 2 * 1024**2
"""LMDB reports a short write as EIO: with less free space than this it was a full disk, and nothing is stored."""


class FatalDisk(Exception):
    """The disk answered a sync in a way that leaves the outcome unknown: end the process without another answer."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """`reserve_bytes` of the file system stay free for promises; at most `changes_max` keys are remembered for joiners."""

    reserve_bytes: int = 64 * 1024**2
    changes_max: int = 200_000
    hint_bytes_max: int = 64 * 1024**2


class Engine:
    """One replica's records and promises on one open disk, read through the answer cache.

    `threaded`: write transactions run on a thread of their own, which then keeps off the cache.
    """

    def __init__(self, disk: OpenDisk, cache: AnswerCache, bounds: Bounds, *, threaded: bool = False) -> None:
        self.disk = disk
        self.cache = cache
        self.bounds = bounds
        self.threaded = threaded
        self.changes = ChangeLog(bounds.changes_max)
        self.held: dict[str, tuple[Version, float]] = {}
        self.hints_dropped = 0
        env = disk.env
        self.data = env.open_db(b"data")
        self.tags = env.open_db(b"tags")
        self.hints = env.open_db(b"hints")
        with env.begin() as txn, txn.cursor(db=self.hints) as cursor:
            self.state: State = decode_state(txn.get(STATE_KEY.encode(), db=disk.meta))
            self.hint_bytes = sum(len(key) + len(value) for key, value in cursor)

    @contextmanager
    def reading(self) -> Iterator[LmdbTxn]:
        """A short read transaction over what is committed and synced; on the loop only."""
        with self.disk.env.begin() as txn:
            yield LmdbTxn(self, txn, write=False)

    def begin(self) -> LmdbTxn:
        """Open the write transaction; exactly one of commit and abort must follow, on the same thread."""
        return LmdbTxn(self, self.disk.env.begin(write=True), write=True)

    def commit(self, write: LmdbTxn) -> None:
        """Commit; its pages, and every commit before it, are then on the disk, itself after `sync` or the next commit.

        Raises DiskFull (nothing stored) or FatalDisk. Call `publish` afterwards, on the loop.
        """
        if not write.dirty:
            write._txn.abort()
            return
        try:
            write._txn.commit()
        except (lmdb.MapFullError, lmdb.DiskError) as error:
            raise DiskFull(str(error)) from error
        except lmdb.Error as error:
            short = error.code == errno.EIO and free_bytes(self.disk.path) < SHORT_WRITE_FREE_BYTES
            if short or error.code in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(str(error)) from error
            raise FatalDisk(str(error)) from error

    def sync(self) -> None:
        """Every commit so far is then on the disk. Raises FatalDisk."""
        try:
            self.disk.env.sync(True)
        except lmdb.Error as error:
            raise FatalDisk(str(error)) from error

    def abort(self, write: LmdbTxn) -> None:
        """Undo everything of `write`."""
        write._txn.abort()

    def publish(self, write: LmdbTxn) -> None:
        """Let everybody see what `write` has committed."""
        self.state = write.state
        self.hint_bytes += write.hint_bytes
        cache = self.cache
        for key, record in write.written.items():
            if record is None:
                cache.drop(key)
            else:
                cache.put(key, record)
        for key, held in write.held.items():
            if held is None:
                self.held.pop(key, None)
            else:
                self.held[key] = held

    def last_view(self) -> bytes | None:
        """The newest view that this replica has kept."""
        with self.disk.env.begin() as txn:
            return txn.get(LAST_VIEW_KEY.encode(), db=self.disk.meta)

    def keys(self) -> int:
        """How many keys are stored, tombstones included."""
        with self.disk.env.begin() as txn:
            return txn.stat(self.data)["entries"]

    def tags_by_index(self, txn: lmdb.Transaction[bytes], key: str) -> tuple[str, ...]:
        """The tags under which the index knows `key`: a walk over the whole index, for a damaged record only."""
        tail = b"\x00" + key.encode()
        with txn.cursor(db=self.tags) as cursor:
            return tuple(
                entry.removesuffix(tail).decode()
                for entry in cursor.iternext(keys=True, values=False)
                if entry.endswith(tail)
            )

    def close(self) -> None:
        """Note how far the file has come, then close it."""
        self.sync()
        self.disk.note(synced=True)
        self.disk.close()
