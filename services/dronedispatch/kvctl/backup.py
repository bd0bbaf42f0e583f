"""kvctl backup and restore: every value of a running store in one checked file, and back into an empty one.

The file is JSON lines: a head {"backup": 1, "cluster", "epoch", "at"}, the values as `kvctl export` writes them, and a
foot {"values", "sha256"} over all lines before it. It is written beside its name and renamed when it is complete, and
nothing of it is stored before all of it has been read and checked.

Each value is one that the store had acknowledged while the backup ran; two values need not be of the same moment. Locks
are left out: they belong to processes. What a cut between two records of one order leaves, the dispatcher mends.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from dronedispatch.kv.client import Cas, Op, Put
from dronedispatch.kv.errors import KVError, VersionConflict
from dronedispatch.kv.http import json_api
from dronedispatch.kv.http_client import HttpKV
from dronedispatch.kvctl.session import CannotDo, Session
from dronedispatch.kvctl.transfer import BATCH, PAGE, Line, bar

FORMAT = 1


class Head(msgspec.Struct):
    """The first line."""

    backup: int
    cluster: str
    epoch: int
    at: str


class Foot(msgspec.Struct):
    """The last line; `sha256` is of every line before it, line ends included."""

    values: int
    sha256: str


async def backup(session: Session, parsed: argparse.Namespace) -> int:
    """Write the file; says how many values it has."""
    kv = await session.store()
    view = await session.needed_view()
    target = _free(Path(parsed.file), overwrite=parsed.overwrite)
    partial = target.with_name(target.name + ".partial")
    head = Head(FORMAT, view.cluster, view.epoch, time.strftime("%FT%TZ", time.gmtime()))
    try:
        with partial.open("wb") as out:
            partial.chmod(0o600)
            count = await _write(kv, out, head)
            out.flush()
            os.fsync(out.fileno())
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise CannotDo(f"{target}: {error.strerror}") from error
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    sys.stderr.write(f"backed up {count} values of epoch {view.epoch} to {target}\n")
    return 0


def _free(target: Path, *, overwrite: bool) -> Path:
    if target.exists() and not overwrite:
        raise CannotDo(f"{target} is there already: choose another name, or say --overwrite")
    return target


async def _write(kv: HttpKV, out: Any, head: Head) -> int:
    digest = hashlib.sha256()

    def line(document: object) -> None:
        encoded = msgspec.json.encode(document) + b"\n"
        digest.update(encoded)
        out.write(encoded)

    line(head)
    count, after = 0, None
    with bar("backing up", None) as progress:
        while True:
            page = await kv.scan(after=after, limit=PAGE)
            for item in page.items:
                line(json_api.item(item))
            count += len(page.items)
            progress.update(progress.task_ids[0], completed=count)
            after = page.next_after
            if after is None:
                break
    out.write(msgspec.json.encode(Foot(count, digest.hexdigest())) + b"\n")
    return count


def checked(path: Path) -> tuple[Head, int]:
    """The head of a whole and unchanged backup, and how many values it has. Raises CannotDo for any other file."""
    digest = hashlib.sha256()
    previous, number = b"", 0
    head: Head | None = None
    try:
        with path.open("rb") as source:
            for number, line in enumerate(source, 1):
                if number == 1:
                    head = msgspec.json.decode(line, type=Head)
                else:
                    digest.update(previous)
                previous = line
        foot = msgspec.json.decode(previous, type=Foot)
    except OSError as error:
        raise CannotDo(f"{path}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise CannotDo(f"{path} is no complete backup (line {number}): {error}") from error
    if head is None or head.backup != FORMAT:
        raise CannotDo(f"{path} is no backup of a kind that this version knows")
    if foot.values != number - 2 or foot.sha256 != digest.hexdigest():
        raise CannotDo(f"{path} was cut or changed since it was written: nothing was restored")
    return head, foot.values


def _lines(path: Path, values: int) -> Iterator[list[Put]]:
    batch: list[Put] = []
    with path.open("rb") as source:
        next(source)
        for _, line in zip(range(values), source, strict=False):
            batch.append(msgspec.json.decode(line, type=Line).put())
            if len(batch) == BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


async def restore(session: Session, parsed: argparse.Namespace) -> int:
    """Write every value of the file into a store that has none; with --missing only those that are not there."""
    path = Path(parsed.file)
    head, values = checked(path)
    kv = await session.store()
    if not parsed.missing:
        found = await kv.scan(limit=1)
        if found.items:
            raise CannotDo(
                f"the store holds {found.items[0].key} and more: restore into an empty one (scripts/up --fresh without "
                "traffic), or say --missing to add only what is not there"
            )
    written = kept = 0
    with bar("restoring", values) as progress:
        for batch in _lines(path, values):
            ops: list[Op] = [Cas(put.key, None, put.value, put.tags) for put in batch]
            for op, result in zip(ops, await kv.batch(ops), strict=True):
                if isinstance(result, VersionConflict):
                    kept += 1
                elif isinstance(result, KVError):
                    raise CannotDo(f"{op.key}: {result} (after {written} values; say --missing to go on)")
                else:
                    written += 1
            progress.update(progress.task_ids[0], advance=len(batch))
    said = f", {kept} were there already" if kept else ""
    sys.stderr.write(f"restored {written} values of {head.at} (epoch {head.epoch} of {head.cluster}){said}\n")
    return 0
