"""Keeps the board of live events: told by messages at once, corrected from the store every few seconds.

While nobody watches, nothing is read from the store and telemetry is dropped unread: the picture costs what it is
looked at. With the broker away the corrections alone keep it going, a poll later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog
from prometheus_client import Gauge

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import (
    DELIVERY_PREFIX,
    DRONE_PREFIX,
    TELEMETRY_PREFIX,
    delivery_key,
    drone_key,
    encode,
)
from dronedispatch.fleet.drones import Drone, Telemetry
from dronedispatch.fleet.messages import DeliveryStatusChanged
from dronedispatch.gateway.core.figures import SAMPLE_MAX, Figures, Ledger
from dronedispatch.gateway.core.ring import EventId
from dronedispatch.gateway.core.stream import DELIVERY, DETAILS, Board
from dronedispatch.gateway.lists import SCAN_PAGE, readable
from dronedispatch.kv.client import Get, Item, KVClient
from dronedispatch.runtime.clock import Clock

COUNT_PAGES_MAX = (
    20  # of delivered orders: the figure counts up to 10,000 from the store, and events from there on
)
COUNT_EVERY_S = 300.0
TELEMETRY_QUIET_S = 3.0  # without messages for so long, positions come from the store
ASKED_S = 10.0  # a request for the figures keeps them warm for so long

WATCHERS = Gauge("dd_gateway_watchers", "Open event streams")

log = structlog.get_logger()


class Feed:
    """`board` is what readers look at; `wake` wakes the correcting loop, `changed` every reader."""

    def __init__(self, kv: KVClient, clock: Clock, events_kept: int, speed: Callable[[], float]) -> None:
        self._kv = kv
        self._clock = clock
        self._speed = speed
        self.board = Board(events_kept)
        self.wake = asyncio.Event()
        self.touched = asyncio.Event()
        self.watchers = 0
        self.closing = False
        self._ledger = Ledger()
        self._changed = asyncio.Event()
        self._touched_deliveries: set[str] = set()
        self._touched_drones: set[str] = set()
        self._asked_s = -ASKED_S
        self._counted_s: float | None = None
        self._telemetry_s = -TELEMETRY_QUIET_S
        self._correcting = asyncio.Lock()

    # -- readers -----------------------------------------------------------------------------------------------

    @property
    def watched(self) -> bool:
        """Whether anybody wants to know."""
        return self.watchers > 0 or self._clock.monotonic_s() - self._asked_s < ASKED_S

    def enter(self) -> None:
        """A reader has come."""
        self.watchers += 1
        WATCHERS.set(self.watchers)
        self.wake.set()

    def leave(self) -> None:
        """A reader has gone."""
        self.watchers -= 1
        WATCHERS.set(self.watchers)

    def close(self) -> None:
        """Let every reader end its stream: the client comes back to another gateway and resumes there."""
        self.closing = True
        self._notify()

    async def news(self, timeout_s: float) -> bool:
        """Wait until the board has changed; False when it did not in time."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # -- what messages tell ------------------------------------------------------------------------------------

    def status_changed(self, event: DeliveryStatusChanged, body: bytes) -> None:
        """A message of the dispatcher; a repeated one is dropped."""
        if not self.board.ring.append(EventId(event.term, event.seq), DELIVERY, body):
            return
        self._ledger.changed(event.delivery_id, event.status, event.at)
        if self.watched:
            self._touched_deliveries.add(event.delivery_id)
            if event.drone_id is not None:
                self._touched_drones.add(event.drone_id)
            self.touched.set()
        self._notify()

    def gap(self) -> None:
        """From now on messages are heard; before, some may not have been. Readers are told, and the store is asked."""
        self.board.ring.gap()
        self.wake.set()
        self._notify()

    def telemetry(self, drones: Sequence[Telemetry]) -> None:
        """A message of drone_sim."""
        self._telemetry_s = self._clock.monotonic_s()
        self.board.fleet.telemetry(drones)
        self._notify()

    def announce(self, delivery: Delivery) -> None:
        """A delivery that this gateway itself has just written."""
        self._ledger.changed(delivery.id, delivery.status, delivery.history[-1].at)
        self._show([delivery])
        self._notify()

    def zones_changed(self, etag: str) -> None:
        """The city is another one."""
        if etag != self.board.zones_etag:
            self.board.zones_etag = etag
            self._notify()

    # -- what the store says -----------------------------------------------------------------------------------

    async def follow_up(self) -> str:
        """Read what events have named: whole deliveries and drones for the readers."""
        deliveries, self._touched_deliveries = self._touched_deliveries, set()
        drones, self._touched_drones = self._touched_drones, set()
        if not deliveries and not drones:
            return "nothing to follow up"
        keys = [delivery_key(one) for one in deliveries] + [drone_key(one) for one in drones]
        results = await self._kv.batch([Get(key) for key in keys[:1000]])
        items = [result for result in results if isinstance(result, Item)]
        self._show(readable(Delivery, [item for item in items if item.key.startswith(DELIVERY_PREFIX)]))
        self.board.fleet.some_records(
            readable(Drone, [item for item in items if item.key.startswith(DRONE_PREFIX)])
        )
        self._notify()
        return f"followed up {len(items)} records"

    async def correct(self) -> str:
        """Bring board and ledger to what the store says."""
        if not self.watched:
            self._counted_s = None
            return "nobody watches"
        async with self._correcting:
            if self._counted_s is None or self._clock.monotonic_s() - self._counted_s > COUNT_EVERY_S:
                await self._count()
            await self._correct_deliveries()
            await self._correct_fleet()
            self._show_figures()
        return f"{len(self._ledger.open)} open deliveries, watched"

    async def figures(self) -> Figures:
        """The key figures, not older than one poll."""
        warm = self.watched and self._counted_s is not None
        self._asked_s = self._clock.monotonic_s()
        if not warm:
            await self.correct()
        return self._now()

    async def _correct_deliveries(self) -> None:
        found = {item.id: item for item in readable(Delivery, await self._scan(DELIVERY_PREFIX, "open=1"))}
        news, gone = self._ledger.corrected(
            {key: delivery.status for key, delivery in found.items()}, self._clock.wall_s()
        )
        ended: list[Delivery] = []
        if gone:
            results = await self._kv.batch([Get(delivery_key(one)) for one in gone[:1000]])
            ended = readable(Delivery, [result for result in results if isinstance(result, Item)])
            for delivery in ended:
                self._ledger.changed(delivery.id, delivery.status, delivery.ended_at or delivery.created_at)
        self._show([found[one] for one in news] + ended)

    async def _correct_fleet(self) -> None:
        fleet = self.board.fleet
        fleet.records(readable(Drone, await self._scan(DRONE_PREFIX)))
        if self._clock.monotonic_s() - self._telemetry_s > TELEMETRY_QUIET_S or fleet.unplaced:
            fleet.telemetry(readable(Telemetry, await self._scan(TELEMETRY_PREFIX)))

    async def _count(self) -> None:
        delivered, after, sample = 0, None, list[Delivery]()
        for _ in range(COUNT_PAGES_MAX):
            page = await self._kv.scan(
                prefix=DELIVERY_PREFIX,
                tag=f"status={DeliveryStatus.DELIVERED}",
                after=after,
                limit=SCAN_PAGE,
                reverse=True,
            )
            delivered += len(page.items)
            if after is None:
                sample = readable(Delivery, page.items)[:SAMPLE_MAX]
            after = page.next_after
            if after is None:
                break
        opened = readable(Delivery, await self._scan(DELIVERY_PREFIX, "open=1"))
        self._ledger.counted(delivered, [*reversed(sample), *opened])
        self._counted_s = self._clock.monotonic_s()

    async def _scan(self, prefix: str, tag: str | None = None) -> list[Item]:
        items: list[Item] = []
        after = None
        while True:
            page = await self._kv.scan(prefix=prefix, tag=tag, after=after, limit=SCAN_PAGE)
            items.extend(page.items)
            after = page.next_after
            if after is None:
                return items

    def _show(self, deliveries: Iterable[Delivery]) -> None:
        shown = list(deliveries)
        if shown:
            self.board.ring.append(None, DETAILS, encode({"deliveries": shown}))

    def _now(self) -> Figures:
        return self._ledger.figures(self._clock.wall_s(), self.board.fleet.statuses(), self._speed())

    def _show_figures(self) -> None:
        self.board.show_figures(encode(self._now()))
        self._notify()
