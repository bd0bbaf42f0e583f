"""The directory of one replica: opened safely, with an identity that a copied-back file does not keep.

The identity of a replica is its disk's: a uuid made together with the data file and kept inside it. A note beside the file
says which inode it is, of which generation (inode numbers are reused at once by ext4), and how many transactions it had
committed lately. A wiped directory, a file copied back under another inode, or one overwritten in place with an older state
therefore comes up as another disk, and the replica must JOIN before it answers for any slot (kv-protocol, State).
"""

from __future__ import annotations

import fcntl
import io
import os
import struct
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import lmdb
import msgspec

MAP_BYTES = 16 * 1024**3
"""Address space reserved for the map; the file grows with its content only (never writemap)."""

OPEN_BYTES_MIN = 4 * 1024**2
"""Free space without which a new environment is not created: LMDB would die of SIGBUS."""

DATABASES = 6
DISK_KEY = b"disk"
_FS_IOC_GETVERSION = 0x80087601
_FSYNC_PROBES = 16


class DiskRefused(Exception):
    """The directory cannot hold a replica; the message says why and what to do."""


class Note(msgspec.Struct, frozen=True):
    """What `identity.json` says: `disk` belongs to this inode and generation, which had committed at least `txnid`."""

    disk: str
    inode: int
    generation: int
    txnid: int


@dataclass(frozen=True, slots=True)
class OpenDisk:
    """An open environment; `fresh`: its identity was made just now, so whatever the file holds is not to be trusted."""

    env: lmdb.Environment
    meta: lmdb._Database
    path: Path
    disk: str
    fresh: bool
    held: io.FileIO

    def close(self) -> None:
        """Close the environment and let another process have the directory."""
        self.env.close()
        self.held.close()

    def note(self, *, synced: bool = False) -> None:
        """Note beside the file how far it has come. Needs no sync: a note that is too old alarms nobody.

        Unless everything is `synced`, the last transaction may not be on the disk yet, but the one before it is
        (engine.py): then that one is noted.
        """
        data = self.path / "data.mdb"
        txnid = self.env.info()["last_txnid"] - (0 if synced else 1)
        note = Note(self.disk, data.stat().st_ino, _generation(data), max(0, txnid))
        partial = self.path / "identity.json.new"
        partial.write_bytes(msgspec.json.encode(note))
        partial.replace(self.path / "identity.json")


def free_bytes(path: Path) -> int:
    """Bytes that this process may still write on the file system of `path`."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def open_disk(path: Path) -> OpenDisk:
    """Open (or create) the environment below `path`. Raises DiskRefused; must run in the process that will use it."""
    path.mkdir(parents=True, exist_ok=True)
    data = path / "data.mdb"
    if not data.exists() and free_bytes(path) < OPEN_BYTES_MIN:
        raise DiskRefused(f"{path}: {free_bytes(path)} bytes free, a new replica needs {OPEN_BYTES_MIN}")
    held = _hold(path)
    try:
        env = lmdb.open(
            str(path), map_size=MAP_BYTES, max_dbs=DATABASES, max_readers=32, lib_version=0, metasync=False
        )
        meta = env.open_db(b"meta")
        with env.begin() as txn:
            inside = txn.get(DISK_KEY, db=meta)
        if inside is not None and _why_another(path, inside.decode(), env.info()["last_txnid"]) is None:
            return OpenDisk(env, meta, path, inside.decode(), fresh=False, held=held)
        disk = uuid.uuid4().hex
        with env.begin(write=True) as txn:
            txn.put(DISK_KEY, disk.encode(), db=meta)
    except lmdb.Error as error:
        held.close()
        raise DiskRefused(f"{path}: {error}") from error
    opened = OpenDisk(env, meta, path, disk, fresh=True, held=held)
    env.sync(True)
    opened.note(synced=True)
    return opened


def _hold(path: Path) -> io.FileIO:
    """Keep every other process off the directory: what a replica has promised is also in its memory. Raises DiskRefused."""
    held = io.FileIO(path / "held", "w")
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        held.close()
        raise DiskRefused(f"{path}: in use by another process") from error
    return held


def _why_another(path: Path, disk: str, txnid: int) -> str | None:
    """Why the data file is not the one that the note beside it was made for; None if it is."""
    data = path / "data.mdb"
    try:
        note = msgspec.json.decode((path / "identity.json").read_bytes(), type=Note)
    except FileNotFoundError:
        return "no note beside the data file"
    except msgspec.MsgspecError as error:
        return f"the note beside the data file is unreadable: {error}"
    if note.disk != disk:
        return f"the note names disk {note.disk}, the file holds {disk}"
    if (note.inode, note.generation) != (data.stat().st_ino, _generation(data)):
        return "the data file is another file"
    if txnid < note.txnid:
        return f"the data file went back from transaction {note.txnid} to {txnid}"
    return None


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

    The shortest of several: it is the disk that is asked, not how busy the machine is at this moment.
    """
    probe = path / "fsync.probe"
    taken = []
    with probe.open("wb", buffering=0) as out:
        for _ in range(_FSYNC_PROBES):
            start = time.perf_counter()
            out.write(bytes(4096))
            os.fdatasync(out.fileno())
            taken.append(time.perf_counter() - start)
    probe.unlink()
    return min(taken)
