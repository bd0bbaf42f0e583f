"""kvctl export and import: all values as JSON lines, with a progress bar."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import msgspec
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from dronedispatch.kv.client import Cas, Op, Put
from dronedispatch.kv.errors import KVError, VersionConflict
from dronedispatch.kv.http import json_api
from dronedispatch.kvctl.placing import registered
from dronedispatch.kvctl.session import CannotDo, Session

PAGE = 500
BATCH = 200


class Line(msgspec.Struct):
    """One value, as `export` writes it and `import` reads it; the version is for people only."""

    key: str
    value: str | None = None
    value_base64: str | None = None
    tags: list[str] = msgspec.field(default_factory=list)
    version: str = ""

    def put(self) -> Put:
        """The write that brings it back. Raises Refused."""
        valued = json_api.BatchOp(op="put", key=self.key, value=self.value, value_base64=self.value_base64)
        return Put(self.key, valued.octets(), tuple(self.tags))


@contextmanager
def bar(text: str, total: int | None) -> Iterator[Progress]:
    """A progress bar on stderr."""
    columns = (
        TextColumn(text),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        progress.add_task(text, total=total)
        yield progress


@contextmanager
def _opened(path: str, mode: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer if "r" in mode else sys.stdout.buffer
        return
    try:
        file = cast(BinaryIO, Path(path).open(mode))  # noqa: SIM115 - closed by the `with` below
    except OSError as error:
        raise CannotDo(f"{path}: {error.strerror}") from error
    with file:
        yield file


async def export(session: Session, parsed: argparse.Namespace) -> int:
    """Every value with the prefix. No snapshot: what is written meanwhile may be there or not."""
    kv = await session.store()
    states = await registered(session)
    view = await session.needed_view()
    about = sum(state.keys for state in states.values()) // max(1, view.rf)
    count = 0
    with _opened(parsed.file, "wb") as out, bar("exporting", None if parsed.prefix else about) as progress:
        after: str | None = None
        while True:
            page = await kv.scan(prefix=parsed.prefix, after=after, limit=PAGE)
            for item in page.items:
                out.write(msgspec.json.encode(json_api.item(item)) + b"\n")
            count += len(page.items)
            progress.update(progress.task_ids[0], completed=count)
            after = page.next_after
            if after is None:
                break
        progress.update(progress.task_ids[0], completed=count, total=count)
    sys.stderr.write(f"exported {count} values\n")
    return 0


async def import_lines(session: Session, parsed: argparse.Namespace) -> int:
    """Writes every line as a PUT, or with --missing only where there is nothing yet."""
    kv = await session.store()
    total = None if parsed.file == "-" else _lines_in(parsed.file)
    written = skipped = 0
    with _opened(parsed.file, "rb") as source, bar("importing", total) as progress:
        for batch in _batches(source):
            ops: list[Op] = [
                Cas(put.key, None, put.value, put.tags) if parsed.missing else put for put in batch
            ]
            for op, result in zip(ops, await kv.batch(ops), strict=True):
                if isinstance(result, VersionConflict) and parsed.missing:
                    skipped += 1
                elif isinstance(result, KVError):
                    raise CannotDo(f"{op.key}: {result} (after {written} written values)")
                else:
                    written += 1
            progress.update(progress.task_ids[0], advance=len(batch))
    sys.stderr.write(
        f"imported {written} values" + (f", {skipped} were there already\n" if parsed.missing else "\n")
    )
    return 0


def _lines_in(path: str) -> int:
    with _opened(path, "rb") as source:
        return sum(1 for line in source if line.strip())


def _batches(source: BinaryIO) -> Iterator[list[Put]]:
    batch: list[Put] = []
    for number, line in enumerate(source, 1):
        if not line.strip():
            continue
        try:
            batch.append(msgspec.json.decode(line, type=Line).put())
        except (msgspec.MsgspecError, KVError) as error:
            raise CannotDo(f"line {number}: {error}") from error
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
