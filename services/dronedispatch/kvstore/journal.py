"""What has been acknowledged and is not in LMDB yet: one file of fixed size, one write and one sync for a group.

LMDB writes a page for every key of a group, wherever it lies in the tree, and syncs twice. Here a group's changes go, as
they are, behind the last group's. The data file follows now and then, many groups at once (engine.py).

A generation of entries has a name, 8 random bytes that the data file keeps: entries of another name are of before the data
file's state, or of another disk. The file is written full once, so that a sync has no other page to write.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec

Change = tuple[int, bytes, bytes | None]
"""(table, key, value); None: the key is removed. Tables are numbered as in engine.py."""

CAPACITY_BYTES: Final = 2 * 1024 * 1024
GROUP_BYTES_MAX: Final = 128 * 1024
"""A larger group is better off in the data file at once: its pages cost it less than being written twice."""
NAME_BYTES: Final = 8
SECTOR_BYTES: Final = 512
"""Entries begin at multiples: what a disk may write in part holds nothing of the entry before."""

_HEAD: Final = struct.Struct(">4s8sII")
_CRC: Final = struct.Struct(">I")
_MAGIC: Final = b"DDj1"
_BODY: Final = _HEAD.size + _CRC.size
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Change]).decode


class JournalDamaged(Exception):
    """An entry that was acknowledged is unreadable: a later one of its generation is there."""


class JournalFull(Exception):
    """The file system has no room for what is written; nothing is stored."""


class Journal:
    """The open file. One entry at a time: `append`, then `sync`, and only then the next."""

    def __init__(self, path: Path, name: bytes) -> None:
        self.name = name
        self.entries = 0
        self.end = 0
        self._buffer = mmap.mmap(-1, _padded(_BODY + GROUP_BYTES_MAX))  # aligned, as direct writing wants it
        direct = _open_direct(path, self._buffer)
        self._direct = direct is not None
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC) if direct is None else direct

    def takes(self, size: int) -> bool:
        """Whether an entry of `size` bytes may be appended."""
        return size <= GROUP_BYTES_MAX and self.end + _BODY + size <= CAPACITY_BYTES

    def append(self, body: bytes) -> None:
        """Write an entry behind the last one. Raises JournalFull, or OSError: what is there now is unknown."""
        head = _HEAD.pack(_MAGIC, self.name, self.entries, len(body))
        entry = b"".join((head, _CRC.pack(zlib.crc32(body, zlib.crc32(head))), body))
        size = _padded(len(entry))
        self._buffer[: len(entry)] = entry
        try:
            with memoryview(self._buffer) as whole, whole[:size] as padded:
                written = os.pwritev(self._fd, [padded], self.end)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise JournalFull(str(error)) from error
            raise
        if written != size:
            raise JournalFull(f"{written} of {size} bytes written")
        self.entries += 1
        self.end += size

    def sync(self) -> None:
        """Every entry so far is then on the disk. Raises OSError: what is there is unknown."""
        if not self._direct:
            os.fdatasync(self._fd)

    def begin_again(self, name: bytes) -> None:
        """The data file holds all entries and says `name`: the next generation begins at the front."""
        self.name, self.entries, self.end = name, 0, 0

    def close(self) -> None:
        """Close the file; what it holds stays."""
        os.close(self._fd)


def open_journal(path: Path, name: bytes) -> tuple[Journal, list[list[Change]]]:
    """The file at `path`, made if it is not there, and the entries of the generation `name` in it, synced.

    The last entry may never have been acknowledged. Raises JournalDamaged, JournalFull (no room to make it), OSError.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if os.fstat(fd).st_size < CAPACITY_BYTES:
            _fill(fd, path)
        os.fdatasync(fd)
        content = os.pread(fd, CAPACITY_BYTES, 0)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
    journal = Journal(path, name)
    try:
        entries = []
        while (body := _body(content, journal.end, name, journal.entries)) is not None:
            entries.append(_decode(body))
            journal.entries += 1
            journal.end += _padded(_BODY + len(body))
        _look_beyond(content, journal)
    except BaseException:
        journal.close()
        raise
    return journal, entries


def _look_beyond(content: bytes, journal: Journal) -> None:
    for later in range(journal.end + SECTOR_BYTES, len(content) - _BODY, SECTOR_BYTES):
        magic, name, number, _ = _HEAD.unpack_from(content, later)
        if magic == _MAGIC and name == journal.name and number > journal.entries:
            raise JournalDamaged(
                f"entry {journal.entries} of the journal is unreadable, entry {number} is there"
            )


def encode_changes(changes: Sequence[Change]) -> bytes:
    """The body of one entry."""
    return _encode(changes)


def _body(content: bytes, at: int, name: bytes, number: int) -> bytes | None:
    if at + _BODY > len(content):
        return None
    head = content[at : at + _HEAD.size]
    magic, found, found_number, size = _HEAD.unpack(head)
    if magic != _MAGIC or found != name or found_number != number:
        return None
    body = content[at + _BODY : at + _BODY + size]
    (crc,) = _CRC.unpack_from(content, at + _HEAD.size)
    return body if len(body) == size and zlib.crc32(body, zlib.crc32(head)) == crc else None


def _open_direct(path: Path, buffer: mmap.mmap) -> int | None:
    """None: the file system, or its disk's sectors, are not made for it."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_DIRECT | os.O_DSYNC)
    except OSError:
        return None
    try:
        with memoryview(buffer) as whole, whole[:SECTOR_BYTES] as sector:
            os.preadv(fd, [sector], SECTOR_BYTES)
    except OSError:
        os.close(fd)
        return None
    return fd


def _padded(size: int) -> int:
    return -(-size // SECTOR_BYTES) * SECTOR_BYTES


def _fill(fd: int, path: Path) -> None:
    try:
        at = os.fstat(fd).st_size
        while at < CAPACITY_BYTES:
            at += os.pwrite(fd, bytes(CAPACITY_BYTES - at), at)
        os.fsync(fd)
    except OSError as error:
        path.unlink()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise JournalFull(str(error)) from error
        raise
