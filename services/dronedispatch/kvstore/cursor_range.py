"""Walking ranges of LMDB keys in both directions, lazily, within one transaction."""

from __future__ import annotations

from collections.abc import Iterator

import lmdb


def walk(
    txn: lmdb.Transaction[bytes],
    db: lmdb._Database,
    head: bytes,
    *,
    prefix: str = "",
    after: str | None = None,
    reverse: bool = False,
) -> Iterator[tuple[str, bytes]]:
    """(key behind `head`, value) of every entry that begins with head + prefix, from `after` (exclusive) on."""
    skip = len(head)
    stem = head + prefix.encode()
    mark = None if after is None else head + after.encode()
    with txn.cursor(db=db) as cursor:
        found = _last(cursor, stem, mark) if reverse else _first(cursor, stem, mark)
        while found:
            key = cursor.key()
            if not key.startswith(stem):
                return
            yield key[skip:].decode(), cursor.value()
            found = cursor.prev() if reverse else cursor.next()


def _first(cursor: lmdb.Cursor[bytes], stem: bytes, mark: bytes | None) -> bool:
    if mark is None or mark < stem:
        return cursor.set_range(stem)
    if not cursor.set_range(mark):
        return False
    return cursor.next() if cursor.key() == mark else True


def _last(cursor: lmdb.Cursor[bytes], stem: bytes, mark: bytes | None) -> bool:
    end = stem + b"\xff" * 4  # greater than every key behind the stem: keys are UTF-8, which has no 0xFF
    if mark is not None and mark < end:
        end = mark
    return cursor.prev() if cursor.set_range(end) else cursor.last()
