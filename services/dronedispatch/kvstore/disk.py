"""The directory of one replica: opened safely, with an identity that a copied-back file does not keep.

The identity of a replica is its disk's: a uuid made together with the data file and kept inside it. A note beside the file
says which inode it is, of which generation (inode numbers are reused at once by ext4), and how many transactions it had
committed lately. A wiped directory, a file copied back under another inode, or one overwritten in place with an older state
therefore comes up as another disk, and the replica must JOIN before it answers for any slot (State in docs/protocol.md). The
same holds for the journal, which has what is acknowledged and not in the data file yet.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import struct
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lmdb
import msgspec
import structlog

from dronedispatch.kvstore.journal import (
    NAME_BYTES,
    Change,
    Journal,
    JournalDamaged,
    JournalFull,
    open_journal,
)

MAP_BYTES = 64 * 1024**3
"""Address space reserved for the map, unless a setting says otherwise; the file grows with its content only."""

MAP_BYTES_MIN = 256 * 1024**2

OPEN_BYTES_MIN = 4 * 1024**2
"""Free space without which neither a new environment (LMDB would die of SIGBUS) nor a journal is created."""

DATABASES = 6
DATA_FILE = "data.mdb"
JOURNAL_FILE = "journal"
DISK_KEY = b"disk"
JOURNAL_KEY = b"journal"
"""The name of the journal's generation that belongs on top of the data file."""
_FS_IOC_GETVERSION = 0x80087601
_FSYNC_PROBES = 16


log = structlog.get_logger()


class DiskRefused(Exception):
    """The directory cannot hold a replica; the message says why and what to do."""


class DamagedDisk(Exception):
    """The files cannot be read as what was written: set them aside, begin a new disk, and JOIN."""


def is_damage(error: lmdb.Error) -> bool:
    """Whether `error` speaks of what the file holds, and not of room, nor of the device or the system (an errno)."""
    if isinstance(error, lmdb.MapFullError | lmdb.TxnFullError | lmdb.DiskError):
        return False
    return error.code <= 0 or error.code == errno.EINVAL


class DiskNote(msgspec.Struct, frozen=True):
    """What `identity.json` says: `disk` belongs to this inode and generation, which had committed at least `txnid`.

    `journal`: the same of the journal, which had at least `entries` in its generation `name`. None: there was none.
    """

    disk: str
    inode: int
    generation: int
    txnid: int
    journal: tuple[int, int] | None = None
    name: str = ""
    entries: int = 0


@dataclass(frozen=True, slots=True)
class OpenDisk:
    """An open environment; `fresh`: its identity was made just now, so whatever the file holds is not to be trusted.

    `journal` is None where there was no room for one. `journaled`: the entries that it had when it was opened. `was`: the
    disk that a fresh one is a complete copy of ("": of none): an operator may give it that disk's place (kvctl adopt).
    """

    env: lmdb.Environment
    meta: lmdb._Database
    path: Path
    disk: str
    fresh: bool
    held: io.FileIO
    journal: Journal | None
    journaled: list[list[Change]]
    was: str = ""

    def close(self) -> None:
        """Close the environment and let another process have the directory."""
        self.env.close()
        if self.journal is not None:
            self.journal.close()
        self.held.close()

    def progress(self) -> tuple[int, int]:
        """Changes with every commit."""
        return self.env.info()["last_txnid"], 0 if self.journal is None else self.journal.entries

    def note(self, *, synced: bool = False, durable: bool = False) -> None:
        """Note beside the file how far it has come, if there is room. Needs no sync: a note that is too old alarms nobody.

        Unless everything is `synced`, the last transaction may not be on the disk yet, but the one before it is
        (engine.py): then that one is noted. `durable`: the first note that names a journal is synced.
        """
        txnid, entries = self.progress()
        inode, generation = _file_of(self.path / DATA_FILE)
        journal = self.journal
        note = DiskNote(
            self.disk,
            inode,
            generation,
            max(0, txnid - (0 if synced else 1)),
            None if journal is None else _file_of(self.path / JOURNAL_FILE),
            "" if journal is None else journal.name.hex(),
            entries,
        )
        partial = self.path / "identity.json.new"
        try:
            with partial.open("wb") as out:
                out.write(msgspec.json.encode(note))
                if durable:
                    out.flush()
                    os.fsync(out.fileno())
        except OSError as error:
            if durable or not is_full(error):
                raise
            return  # the note of before stays
        partial.replace(self.path / "identity.json")
        if durable:
            directory = os.open(self.path, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)


def is_full(error: OSError) -> bool:
    """The file system has no room for what was to be written."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def write_if_room(path: Path, text: str) -> None:
    """A note that nothing rests on: a full disk makes it empty, and must keep no replica from starting or ending."""
    try:
        path.write_text(text)
    except OSError as error:
        if not is_full(error):
            raise


def free_bytes(path: Path) -> int:
    """Bytes that this process may still write on the file system of `path`."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def open_disk(path: Path, map_bytes: int = MAP_BYTES) -> OpenDisk:
    """Open (or create) the environment below `path`; must run in the process that will use it.

    Raises DiskRefused, or DamagedDisk (set_aside.py).
    """
    path.mkdir(parents=True, exist_ok=True)
    data = path / DATA_FILE
    if not data.exists() and free_bytes(path) < OPEN_BYTES_MIN:
        raise DiskRefused(f"{path}: {free_bytes(path)} bytes free, a new replica needs {OPEN_BYTES_MIN}")
    held = _hold(path)
    try:
        return _open(path, held, map_bytes)
    except (lmdb.Error, OSError, JournalFull) as error:
        held.close()
        if isinstance(error, lmdb.Error) and is_damage(error):
            raise DamagedDisk(str(error)) from error
        raise DiskRefused(f"{path}: {error}") from error
    except DamagedDisk:
        held.close()
        raise


def _open(path: Path, held: io.FileIO, map_bytes: int) -> OpenDisk:
    env = lmdb.open(
        str(path), map_size=map_bytes, max_dbs=DATABASES, max_readers=32, lib_version=0, metasync=False
    )
    try:
        return _identified(env, path, held)
    except BaseException:
        env.close()
        raise


def _identified(env: lmdb.Environment, path: Path, held: io.FileIO) -> OpenDisk:
    meta = env.open_db(b"meta")
    with env.begin() as txn:
        inside, name = txn.get(DISK_KEY, db=meta), txn.get(JOURNAL_KEY, db=meta)
    try:
        disk = "" if inside is None else inside.decode()
    except UnicodeDecodeError as error:
        raise DamagedDisk(f"the disk's name is unreadable: {error.reason}") from error
    was = ""
    try:
        journal, entries = _trusted_journal(path, disk, name, env.info()["last_txnid"])
        if journal is not None:
            return OpenDisk(env, meta, path, disk, False, held, journal, entries)
        fresh = False
    except _AnotherDisk as another:
        if disk:
            log.warning("this is another disk than before", reason=str(another), copy_of=another.was or None)
        disk, fresh, was = uuid.uuid4().hex, True, another.was
        tables = (meta, *(env.open_db(table) for table in (b"data", b"tags", b"hints")))
        with env.begin(write=True) as txn:
            for table, key, value in (change for entry in another.entries for change in entry):
                if value is None:
                    txn.delete(key, db=tables[table])
                else:
                    txn.put(key, value, db=tables[table])
            txn.put(DISK_KEY, disk.encode(), db=meta)
            txn.delete(JOURNAL_KEY, db=meta)
        env.sync(True)
        (path / JOURNAL_FILE).unlink(missing_ok=True)
    opened = OpenDisk(env, meta, path, disk, fresh, held, _new_journal(path), [], was)
    opened.note(synced=True, durable=True)
    if opened.journal is not None:
        with env.begin(write=True) as txn:
            txn.put(JOURNAL_KEY, opened.journal.name, db=meta)
        env.sync(True)
    return opened


def _new_journal(path: Path) -> Journal | None:
    """For a disk that has none yet; None: there is no room for it, and every commit goes to the data file."""
    if free_bytes(path) < OPEN_BYTES_MIN:
        return None
    try:
        return open_journal(path / JOURNAL_FILE, os.urandom(NAME_BYTES))[0]
    except JournalFull:
        return None


def _hold(path: Path) -> io.FileIO:
    """Keep every other process off the directory: what a replica has promised is also in its memory. Raises DiskRefused."""
    held = io.FileIO(path / "held", "w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise DiskRefused(f"{path}: in use by another process") from error
    return held


class _AnotherDisk(Exception):
    """The files are not those that the note beside them was made for; the message says why.

    `was`: the disk that they are a complete copy of, with the `entries` of its journal; "": of none.
    """

    def __init__(self, why: str, was: str = "", entries: Sequence[list[Change]] = ()) -> None:
        super().__init__(why)
        self.was = was
        self.entries = entries


def _trusted_journal(
    path: Path, disk: str, name: bytes | None, txnid: int
) -> tuple[Journal | None, list[list[Change]]]:
    """The journal that belongs on top of the data file, and its entries; None: it has had none yet. Raises _AnotherDisk."""
    data = path / DATA_FILE
    try:
        note = msgspec.json.decode((path / "identity.json").read_bytes(), type=DiskNote)
    except FileNotFoundError:
        raise _AnotherDisk("no note beside the data file") from None
    except msgspec.MsgspecError as error:
        raise _AnotherDisk(f"the note beside the data file is unreadable: {error}") from error
    if note.disk != disk:
        raise _AnotherDisk(f"the note names disk {note.disk}, the file holds {disk or 'none'}")
    copied = (note.inode, note.generation) != _file_of(data)
    if txnid < note.txnid:
        raise _AnotherDisk(f"the data file went back from transaction {note.txnid} to {txnid}")
    if name is None:
        if copied:
            raise _AnotherDisk("the data file is another file", disk)
        return None, []
    try:
        copied = copied or note.journal != _file_of(path / JOURNAL_FILE)
        journal, entries = open_journal(path / JOURNAL_FILE, name)
    except (FileNotFoundError, JournalDamaged) as error:
        raise _AnotherDisk(f"the journal is not what it was: {error}") from error
    if note.name == name.hex() and journal.entries < note.entries:
        journal.close()
        raise _AnotherDisk(f"the journal went back from entry {note.entries} to {journal.entries}")
    if copied:
        journal.close()
        raise _AnotherDisk(
            "the files are a copy: they are other files than those that were noted", disk, entries
        )
    return journal, entries


def _file_of(path: Path) -> tuple[int, int]:
    """What a file is known by when it is opened again: (inode, its generation)."""
    return path.stat().st_ino, _generation(path)


def _generation(path: Path) -> int:
    """The inode's generation; 0 on file systems without one (tmpfs does not reuse inode numbers)."""
    with path.open("rb") as file:
        try:
            answer = fcntl.ioctl(file, _FS_IOC_GETVERSION, bytes(8))
        except OSError:
            return 0
    return int(struct.unpack("q", answer)[0])


def fsync_s(path: Path) -> float:
    """The time of a synced 4 KiB write beside the data file: decides whether commits run on the loop.

    The shortest of several: it is the disk that is asked, not how busy the machine is at this moment. A full disk cannot be
    asked: 0.0.
    """
    probe = path / "fsync.probe"
    taken = []
    try:
        with probe.open("wb", buffering=0) as out:
            for _ in range(_FSYNC_PROBES):
                start = time.perf_counter()
                out.write(bytes(4096))
                os.fdatasync(out.fileno())
                taken.append(time.perf_counter() - start)
    except OSError as error:
        if not is_full(error):
            raise
    probe.unlink(missing_ok=True)
    return min(taken, default=0.0)
