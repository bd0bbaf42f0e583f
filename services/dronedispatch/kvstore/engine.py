"""The replica's disk: LMDB behind one transaction at a time, committed and synced before anybody hears of it.

The databases and their keys are in tables.py. Long reads would pin pages, so every read is one short transaction and scans
come in pages.

Inline, a small group is committed in the journal (journal.py). LMDB's transaction stays open for the next groups, which see
it, and is committed for many at once: at a `checkpoint`, or with a group that is large. A crash in between loses what that
transaction held; whoever opens the disk next carries out the journal's entries again. LMDB then syncs twice, the pages
and the meta page that makes them count; the second one is `sync` here, as for the journal: no reply leaves before it.

Foreign errors stop here. DiskFull: nothing was done, and the next transaction may succeed. An fsync of unknown outcome is
FatalDisk: nobody may answer anything any more, the process must end (docs/protocol.md, R9).
"""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import lmdb

from dronedispatch.kvstore.core.cache import AnswerCache
from dronedispatch.kvstore.core.change_log import ChangeLog
from dronedispatch.kvstore.core.state import LAST_VIEW_KEY, STATE_KEY, State, decode_state
from dronedispatch.kvstore.core.txn import DamagedRecord
from dronedispatch.kvstore.disk import JOURNAL_KEY, DamagedDisk, OpenDisk, free_bytes, is_damage
from dronedispatch.kvstore.journal import NAME_BYTES, Change, JournalFull, encode_changes
from dronedispatch.kvstore.tables import META, Shared, Tables
from dronedispatch.kvstore.txn import DiskFull, LmdbTxn

SHORT_WRITE_FREE_BYTES: Final = 2 * 1024**2
"""LMDB reports a short write as EIO: with less free space than this it was a full disk, and nothing is stored."""
COMMIT_BYTES: Final = 64 * 1024
"""What a commit of a small group writes beyond its records, at most: copied B-tree pages."""
CHECKPOINT_CHANGES: Final = 2_048
"""So many changes are worth a commit: it takes 4 ms, in which nobody is answered, and as many pages of memory at most."""


MAP_RESERVE_BYTES: Final = 64 * 1024**2
"""Of the map, at least, for promises, tombstones and the pages that a checkpoint copies; a 32nd of a large one."""
INSIDE_SLACK_BYTES: Final = 1024**2
"""Of the pages that the data file holds free: what may be too scattered to be used."""
ROOM_BYTES_MIN: Final = 1024**2
"""Above what is reserved: with less it is not worth to begin a join."""


def _kept_back(map_size: int) -> int:
    return int(max(MAP_RESERVE_BYTES, map_size // 32))


class FatalDisk(Exception):
    """The disk answered a sync in a way that leaves the outcome unknown: end the process without another answer."""


class _Guard:
    """One for all: a generator's context manager is made anew for each commit, and costs 1 us."""

    def __enter__(self) -> None:
        """See Engine.guarded."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, lmdb.Error):
            raise (DamagedDisk if is_damage(error) else FatalDisk)(str(error)) from error
        if isinstance(
            error, UnicodeDecodeError | DamagedRecord
        ):  # no text; a record where none can be replaced
            raise DamagedDisk(repr(error)) from error


_GUARD: Final = _Guard()


@dataclass(frozen=True, slots=True)
class Bounds:
    """`reserve_bytes` of the file system stay free for promises; at most `changes_max` keys are remembered for joiners."""

    reserve_bytes: int = 64 * 1024**2
    changes_max: int = 200_000
    hint_bytes_max: int = 64 * 1024**2


class Engine:
    """One replica's records and promises on one open disk, read through the answer cache.

    `threaded`: write transactions run on a thread of their own, which then keeps off the cache, and without the journal.
    The loop reads what was there at the last `publish`: LMDB shows a commit to everybody before it is synced.
    """

    def __init__(self, disk: OpenDisk, cache: AnswerCache, bounds: Bounds, *, threaded: bool = False) -> None:
        self.disk = disk
        self.cache = cache
        self.bounds = bounds
        self.threaded = threaded
        with self.guarded():
            self.tables = Tables(disk.env, disk.meta)
        self._shared = Shared(
            disk.disk,
            cache,
            ChangeLog(uuid.uuid4().hex, bounds.changes_max),
            bounds.hint_bytes_max,
            threaded=threaded,
        )
        self._txn: lmdb.Transaction[bytes] | None = None
        self._synced: lmdb.Transaction[bytes] | None = None
        self._journaled: list[Sequence[Change]] = list(disk.journaled)
        self._journaled_changes = 0
        self._to_sync = False
        self._next_name = b""
        self._room: int | None = None
        with self.guarded():
            self._open_again()
            try:
                self.checkpoint()
            except DiskFull:  # all stays in the journal, which the writer thread does not use
                if threaded:
                    raise
            self._show_synced()
            self._remember()

    @property
    def state(self) -> State:
        """What this disk has promised."""
        return self._shared.state

    @property
    def hint_bytes(self) -> int:
        """What all hints take."""
        return self._shared.hint_bytes

    @property
    def hints_dropped(self) -> int:
        """How many hints had no room, since the start."""
        return self._shared.hints_dropped

    def _remember(self) -> None:
        """What this disk has promised, and of which disk it is a copy."""
        with self.reading() as txn:
            try:
                self._shared.state = decode_state(txn.value(META, STATE_KEY.encode()))
            except ValueError as error:
                raise DamagedDisk(f"what it has promised is unreadable: {error}") from error
            self._shared.hint_bytes = txn.all_hint_bytes()
        if self.disk.was != self.state.was and self.disk.fresh:
            write = self.begin()
            write.be_copy_of(self.disk.was)
            self.commit(write)
            self.sync()
            self.publish(write)

    def guarded(self) -> _Guard:
        """What LMDB says of the file is DamagedDisk, what it says of the device FatalDisk: no foreign error passes."""
        return _GUARD

    @contextmanager
    def reading(self) -> Iterator[LmdbTxn]:
        """A short read transaction over what is committed and synced; on the loop only."""
        with self.guarded():
            if self._txn is not None and not self.threaded:
                yield LmdbTxn(self._txn, self.tables, self._shared)
                return
            if self._synced is not None:
                yield LmdbTxn(self._synced, self.tables, self._shared)
                return
            with self.disk.env.begin() as txn:
                yield LmdbTxn(txn, self.tables, self._shared)

    def _show_synced(self) -> None:
        """Threaded, and every commit is synced: `reading` sees all of it from now on."""
        if self.threaded:
            if self._synced is not None:
                self._synced.abort()
            self._synced = self.disk.env.begin()

    def begin(self) -> LmdbTxn:
        """Open the write transaction; exactly one of commit and abort must follow, on the same thread."""
        if self._txn is None:
            self._txn, self._room = self.disk.env.begin(write=True), None
        return LmdbTxn(self._txn, self.tables, self._shared, self.reserve)

    def commit(self, write: LmdbTxn) -> None:
        """Commit; it is on the disk after `sync`, which must follow.

        Raises DiskFull (nothing stored) or FatalDisk. Call `publish` afterwards, on the loop.
        """
        if not write.dirty:
            self._leave_alone()
            return
        assert not self._to_sync or self.threaded, "the last commit has not been synced"
        if not self._append(write.changes_made):
            self._commit()

    def sync(self) -> None:
        """Every commit so far is then on the disk. Raises FatalDisk."""
        journal = self.disk.journal
        try:
            if self._to_sync or journal is None:
                self.disk.env.sync(True)
            else:
                journal.sync()
        except (lmdb.Error, OSError) as error:
            raise FatalDisk(str(error)) from error
        if self._to_sync and self._journaled:
            self._journaled, self._journaled_changes = [], 0
            if journal is not None:
                journal.begin_again(self._next_name)
        self._to_sync = False

    def reserve(self, size: int) -> None:
        """Raise DiskFull before disk or map do, for LMDB reports a full disk as EIO, like a broken one.

        Room is asked for once in each of LMDB's transactions, however many groups it holds. What is kept back is for
        promises and for tombstones: a full store must still delete, and come back.
        """
        if self._room is None:
            assert self._txn is not None
            self._room = self._free_room(LmdbTxn(self._txn, self.tables, self._shared))
        if self._room < size + 4096:
            raise DiskFull(
                f"{self.bounds.reserve_bytes} bytes are reserved, {size} more would not be left free"
            )
        self._room -= size + 4096

    def _free_room(self, txn: LmdbTxn) -> int:
        """Bytes that records may take: of the file system with what the file holds free inside, or of the map."""
        env = self.disk.env
        info, page = env.info(), env.stat()["psize"]
        held = self._held_pages(txn) * page
        inside = max(0, (info["last_pgno"] + 1) * page - held - INSIDE_SLACK_BYTES)
        on_disk = free_bytes(self.disk.path) + inside - self.bounds.reserve_bytes - COMMIT_BYTES
        in_map = info["map_size"] - held - _kept_back(info["map_size"])
        return int(min(on_disk, in_map))

    def _held_pages(self, txn: LmdbTxn) -> int:
        return sum(txn.pages(table) for table in range(len(self.tables.numbered)))

    def used(self) -> tuple[float, float]:
        """(of the map's part for records, of the file system): the shares that are used, 0..1; free pages are not."""
        env = self.disk.env
        stat = os.statvfs(self.disk.path)
        map_size = env.info()["map_size"]
        with self.reading() as txn:
            map_used = self._held_pages(txn) * env.stat()["psize"] / (map_size - _kept_back(map_size))
        return map_used, 1.0 - stat.f_bavail / stat.f_blocks if stat.f_blocks else 0.0

    def why_no_room(self) -> str | None:
        """The reason why records cannot be taken now; None: there is room for them."""
        with self.reading() as txn:
            room = self._free_room(txn)
        if room >= ROOM_BYTES_MIN:
            return None
        free = free_bytes(self.disk.path)
        return f"the store is full: {free} bytes of the file system are free, {self.used()[0]:.0%} of the map is used"

    @property
    def journaled(self) -> bool:
        """Some commits are in the journal only."""
        return bool(self._journaled)

    @property
    def checkpoint_due(self) -> bool:
        """It is time for a checkpoint."""
        return self._journaled_changes >= CHECKPOINT_CHANGES

    def checkpoint(self) -> None:
        """Bring LMDB up to the journal. Raises DiskFull (all stays in the journal) or FatalDisk."""
        if self._journaled:
            self._commit()
            self.sync()

    def abort(self, write: LmdbTxn) -> None:
        """Undo everything of `write`."""
        if not write.dirty:
            self._leave_alone()
            return
        assert self._txn is not None
        self._txn.abort()
        self._open_again()

    def _leave_alone(self) -> None:
        """The transaction has nothing new: it stays open for the journal's sake, or not at all."""
        if not self._journaled and self._txn is not None:
            self._txn.abort()
            self._txn = None

    def _append(self, changes: Sequence[Change]) -> bool:
        """Into the journal; False: it is for LMDB."""
        journal = self.disk.journal
        if journal is None or self.threaded:
            return False
        body = encode_changes(changes)
        if not journal.takes(len(body)):
            return False
        try:
            journal.append(body)
        except JournalFull as error:
            assert self._txn is not None
            self._txn.abort()
            self._open_again()
            raise DiskFull(str(error)) from error
        except OSError as error:
            raise FatalDisk(str(error)) from error
        self._journaled.append(changes)
        self._journaled_changes += len(changes)
        return True

    def _commit(self) -> None:
        """Into LMDB, with what has been journaled; `sync` must follow."""
        txn = self._txn
        assert txn is not None
        try:
            if self._journaled:
                self._next_name = os.urandom(NAME_BYTES)
                txn.put(JOURNAL_KEY, self._next_name, db=self.disk.meta)
            txn.commit()
        except lmdb.Error as error:
            if not self._for_want_of_room(error):
                raise (DamagedDisk if is_damage(error) else FatalDisk)(str(error)) from error
            txn.abort()  # does nothing after a commit that failed
            self._open_again()
            raise DiskFull(str(error)) from error
        self._txn = None
        self._to_sync = True

    def _for_want_of_room(self, error: lmdb.Error) -> bool:
        if isinstance(error, lmdb.MapFullError | lmdb.TxnFullError | lmdb.DiskError):
            return True
        if error.code == errno.EIO:
            return free_bytes(self.disk.path) < SHORT_WRITE_FREE_BYTES
        return error.code in (errno.ENOSPC, errno.EDQUOT)

    def _open_again(self) -> None:
        """After an abort, and at the start: the transaction holds what the journal has, or is not open."""
        self._txn = None
        if not self._journaled:
            return
        txn = self._txn = self.disk.env.begin(write=True)
        for changes in self._journaled:
            for table, key, value in changes:
                if value is None:
                    txn.delete(key, db=self.tables.numbered[table])
                else:
                    txn.put(key, value, db=self.tables.numbered[table])

    def publish(self, write: LmdbTxn) -> None:
        """Let everybody see what `write` has committed; threaded, it is synced already."""
        if self.threaded and write.dirty:
            with self.guarded():
                self._show_synced()
        shared, cache = self._shared, self.cache
        shared.state = write.state
        shared.hint_bytes += write.hint_bytes
        shared.hints_dropped += write.hints_dropped
        for key, record in write.written.items():
            if record is None:
                cache.drop(key)
            else:
                cache.put(key, record)
        for key, held in write.held.items():
            if held is None:
                shared.held.pop(key, None)
            else:
                shared.held[key] = held

    def last_view(self) -> bytes | None:
        """The newest view that this replica has kept."""
        with self.reading() as txn:
            return txn.value(META, LAST_VIEW_KEY.encode())

    def keys(self) -> int:
        """How many keys are stored, tombstones included."""
        with self.reading() as txn:
            return txn.entries()

    def close(self) -> None:
        """Note how far the file has come, then close it. What has no room in the data file stays in the journal."""
        with suppress(DiskFull):
            self.checkpoint()
        for txn in (self._txn, self._synced):
            if txn is not None:
                txn.abort()
        self.disk.env.sync(True)
        self.disk.note(synced=True)
        self.disk.close()
