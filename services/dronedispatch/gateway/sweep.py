"""Forgets Idempotency-Keys after a day."""

from __future__ import annotations

import structlog

from dronedispatch.fleet.documents import IDEM_PREFIX, Unreadable, decode
from dronedispatch.gateway.core.idempotency import IdemAge, is_over
from dronedispatch.gateway.lists import SCAN_PAGE
from dronedispatch.kv.client import Delete, Item, KVClient
from dronedispatch.runtime.clock import Clock

log = structlog.get_logger()


async def sweep(kv: KVClient, clock: Clock) -> str:
    """Delete what is over, each only in the version that was read; gateways may sweep at the same time."""
    seen = forgotten = 0
    after: str | None = None
    while True:
        page = await kv.scan(prefix=IDEM_PREFIX, after=after, limit=SCAN_PAGE)
        over = [item for item in page.items if _is_over(item, clock.wall_s())]
        if over:
            results = await kv.batch([Delete(item.key, item.version) for item in over])
            forgotten += sum(result is None for result in results)
        seen += len(page.items)
        after = page.next_after
        if after is None:
            return f"{seen} idempotency keys, {forgotten} forgotten"


def _is_over(item: Item, now_s: float) -> bool:
    try:
        return is_over(decode(IdemAge, item.value), now_s)
    except (Unreadable, ValueError) as exc:
        log.warning("unreadable record passed over", key=item.key, error=str(exc))
        return False
