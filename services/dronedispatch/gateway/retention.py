"""Finished deliveries leave the store after some days, written to a file first if that is wanted: what grows must end."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path

import structlog

from dronedispatch.fleet.deliveries import TERMINAL, Delivery
from dronedispatch.fleet.documents import Unreadable, decode, stamp, unstamp
from dronedispatch.gateway.lists import SCAN_PAGE
from dronedispatch.kv.client import Delete, Item, KVClient
from dronedispatch.kv.errors import LockHeld
from dronedispatch.runtime.clock import Clock

LOCK = "gateway/retention"
LOCK_TTL_MS = 600_000
DAY_S = 86_400.0

log = structlog.get_logger()


class Retention:
    """Run `once` now and then; of all gateways one does the work. `keep_days` 0: nothing ever leaves."""

    def __init__(
        self, kv: KVClient, clock: Clock, *, owner: str, keep_days: float, export_dir: Path | None
    ) -> None:
        self._kv = kv
        self._clock = clock
        self._owner = owner
        self._keep_days = keep_days
        self._export_dir = export_dir

    async def once(self) -> str:
        """Remove what has ended long enough ago, each only in the version that was read. Raises KVError, OSError."""
        if self._keep_days == 0:
            return "finished deliveries stay for ever"
        try:
            lease = await self._kv.acquire(LOCK, self._owner, LOCK_TTL_MS)
        except LockHeld:
            return "another gateway is at it"
        try:
            before_s = self._clock.wall_s() - self._keep_days * DAY_S
            removed = sum([await self._remove(f"status={status}", before_s) for status in sorted(TERMINAL)])
        finally:
            await self._kv.release(lease)
        return f"removed {removed} deliveries that ended before {stamp(before_s)}"

    async def _remove(self, tag: str, before_s: float) -> int:
        """The lists are in the order of their ids, so the oldest come first: a page of younger ones is the end."""
        removed, after = 0, None
        while True:
            page = await self._kv.scan(tag=tag, after=after, limit=SCAN_PAGE)
            looked_at = [(item, _ended_before(item, before_s)) for item in page.items]
            over = [item for item, is_old in looked_at if is_old]
            if over:
                if self._export_dir is not None:
                    await asyncio.to_thread(_export, self._export_dir, over)
                results = await self._kv.batch([Delete(item.key, item.version) for item in over])
                removed += sum(result is None for result in results)
            after = page.next_after
            if after is None or (not over and any(is_old is False for _, is_old in looked_at)):
                return removed


def _ended_before(item: Item, before_s: float) -> bool | None:
    """None: that cannot be read. Such a record stays, as one without an end does."""
    try:
        delivery = decode(Delivery, item.value)
        ended = delivery.ended_at or delivery.delivered_at
        return delivery.status in TERMINAL and ended is not None and unstamp(ended) < before_s
    except (Unreadable, ValueError) as error:
        log.warning("unreadable record passed over", key=item.key, error=str(error))
        return None


def _export(folder: Path, items: list[Item]) -> None:
    """Append the records, as they are stored, to the file of this month; synced before anything is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"deliveries-{datetime.now(UTC):%Y-%m}.ndjson"
    with (folder / name).open("a+b") as out:
        if out.seek(0, os.SEEK_END):
            out.seek(-1, os.SEEK_END)
            if out.read() != b"\n":  # an earlier export was cut short: a line of its own for what comes now
                out.write(b"\n")
        out.write(b"".join(item.value.replace(b"\n", b" ") + b"\n" for item in items))
        out.flush()
        os.fsync(out.fileno())
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
