"""Keeps the board of live events: told by messages at once, corrected from the store where messages may have been missed.

Events are kept whether anybody watches or not, so that every gateway can resume every reader. What is drawn is what the
messages carry; of two records the newer version wins. The store is read when somebody begins to watch, after a gap, and now
and then; with the broker away, every poll. While nobody looks at drones, their telemetry does not come here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

import msgspec
import structlog
from prometheus_client import Gauge

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import (
    DELIVERY_PREFIX,
    DRONE_PREFIX,
    TELEMETRY_PREFIX,
    Unreadable,
    decode,
    delivery_key,
    drone_key,
    encode,
    unstamp,
)
from dronedispatch.fleet.drones import Drone, Telemetry
from dronedispatch.fleet.messages import DeliveryChanges, DeliveryStatusChanged, RecordTold
from dronedispatch.gateway.core.figures import SAMPLE_MAX, Figures, Ledger
from dronedispatch.gateway.core.history import MINUTE_S, Flow
from dronedispatch.gateway.core.ring import EventId
from dronedispatch.gateway.core.sequence import Batches, Follows
from dronedispatch.gateway.core.stream import DELIVERY, DETAILS, DRONES, FIGURES, Board
from dronedispatch.gateway.lists import SCAN_PAGE, readable, versioned
from dronedispatch.kv.client import Get, Item, KVClient
from dronedispatch.kv.version import Version, parse_version
from dronedispatch.runtime.clock import Clock

COUNT_PAGES_MAX = (
    20  # of delivered orders: the figure counts up to 10,000 from the store, and events from there on
)
COUNT_EVERY_S = 300.0
CORRECT_EVERY_S = 30.0  # while the dispatcher is heard without a gap
SHOWN_MAX = 20_000  # deliveries whose shown version is remembered
TELEMETRY_QUIET_S = 3.0  # without messages for so long, positions come from the store
FIGURES_S = 3.0  # older than that no figures are left to stand before who watches, whatever the store does
ASKED_S = 10.0  # a request for the figures keeps them warm for so long

WATCHERS = Gauge("dd_gateway_watchers", "Open event streams")

log = structlog.get_logger()


class Feed:
    """`board` is what readers look at; `wake` wakes the correcting loop, `entered` who subscribes, `changed` all readers."""

    def __init__(self, kv: KVClient, clock: Clock, events_kept: int, speed: Callable[[], float]) -> None:
        self._kv = kv
        self._clock = clock
        self._speed = speed
        self.board = Board(events_kept)
        self.wake = asyncio.Event()
        self.touched = asyncio.Event()
        self.entered = asyncio.Event()
        self.watchers = 0
        self.hearing = False
        self.closing = False
        self._wanted: Counter[str] = Counter()
        self._batches = Batches()
        self._shown: dict[str, Version] = {}  # insertion order: the oldest goes first
        self._doubts = 0  # counts what only the store can tell: gaps, and what came while nobody watched
        self._settled = -1  # how many of them the last correction has seen to
        self._corrected_s = -CORRECT_EVERY_S
        self._ledger = Ledger()
        self._changed = asyncio.Event()
        self._touched_deliveries: set[str] = set()
        self._touched_drones: set[str] = set()
        self._asked_s = -ASKED_S
        self._counted_s: float | None = None
        self._dispatcher_ahead_s = float("inf")  # its wall clock, of our monotonic one, by its last batch
        self._telemetry_s = -TELEMETRY_QUIET_S
        self._figures_s = 0.0  # when they were shown
        self._correcting = asyncio.Lock()

    # -- readers -----------------------------------------------------------------------------------------------

    @property
    def watched(self) -> bool:
        """Whether anybody wants more than the bare changes."""
        asked = self._clock.monotonic_s() - self._asked_s < ASKED_S
        return asked or any(self._wanted[topic] for topic in (DETAILS, DRONES, FIGURES))

    @property
    def wants_drones(self) -> bool:
        """Whether anybody looks at drones."""
        return self._wanted[DRONES] > 0

    def enter(self, topics: Collection[str]) -> None:
        """A reader of these topics has come."""
        self.watchers += 1
        self._wanted.update(topics)
        WATCHERS.set(self.watchers)
        self.wake.set()
        self.entered.set()

    def leave(self, topics: Collection[str]) -> None:
        """A reader of these topics has gone."""
        self.watchers -= 1
        self._wanted.subtract(topics)
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

    def changed(self, batch: DeliveryChanges) -> None:
        """A batch of the dispatcher. Raises Unreadable before anything has changed."""
        events = [(decode(DeliveryStatusChanged, body), bytes(body)) for body in batch.events]
        drones = [_drone_told(one) for one in batch.drones] if self.watched else []
        deliveries = [
            (decode(_Named, one.record).id, _version(one), bytes(one.record)) for one in batch.deliveries
        ]
        with contextlib.suppress(ValueError):  # no time: nobody else reads it
            self._dispatcher_ahead_s = unstamp(batch.at) - self._clock.monotonic_s()
        follows = self._batches.take(batch.term, batch.first, batch.last)
        self.hearing = True
        if follows is Follows.HOLE:
            self._admit_gap()
        if follows is not Follows.OLD:
            for event, body in events:
                self._event(event, body)
        news = [record for name, version, record in deliveries if self._is_newer(name, version)]
        if news:
            self.board.ring.append(None, DETAILS, b'{"deliveries":[%b]}' % b",".join(news))
        self.board.fleet.some_records(drones)
        self._doubts += len(drones) < len(batch.drones)
        if events or news or drones or follows is Follows.HOLE:
            self._notify()

    def status_changed(self, event: DeliveryStatusChanged, body: bytes) -> None:
        """A message of a dispatcher of the release before, which carries no records; a repeated one is dropped."""
        if not self._event(event, body):
            return
        if self.watched:
            self._touched_deliveries.add(event.delivery_id)
            if event.drone_id is not None:
                self._touched_drones.add(event.drone_id)
            self.touched.set()
        self._notify()

    def _event(self, event: DeliveryStatusChanged, body: bytes) -> bool:
        if not self.board.ring.append(EventId(event.term, event.seq), DELIVERY, body):
            return False
        self._ledger.changed(event.delivery_id, event.status, event.at)
        return True

    def gap(self) -> None:
        """From now on messages are heard; before, some may not have been."""
        self._batches.forget()
        self._admit_gap()
        self._notify()

    def heard_all_of(self, minute: int) -> bool:
        """Whether no change of that minute can have been missed here."""
        ago_s = self.agreed_s() - minute * MINUTE_S
        return self.hearing and self._ledger.flows.heard_for(ago_s, self._clock.monotonic_s())

    def agreed_s(self) -> float:
        """What time it is by our clock and by the dispatcher's, UTC: of two the one that is not ahead."""
        own_s = self._clock.wall_s()
        told_s = self._dispatcher_ahead_s + self._clock.monotonic_s()
        return min(own_s, told_s)

    def flow(self, minute: int) -> Flow:
        """What this gateway has heard of that minute."""
        return self._ledger.flows.of(minute)

    async def open_orders(self) -> list[DeliveryStatus]:
        """The status of each, after a look into the store; what has ended unheard is counted. Raises KVError."""
        async with self._correcting:
            await self._correct_deliveries()
            return list(self._ledger.open.values())

    def lost(self) -> None:
        """The dispatcher is not heard any more."""
        self.hearing = False
        self.gap()

    def _admit_gap(self) -> None:
        """Readers are told, and the store is asked."""
        self.board.ring.gap()
        self._doubts += 1
        self._ledger.flows.hears(self._clock.monotonic_s())
        self.wake.set()

    def telemetry(
        self, drones: Sequence[Telemetry], quiet: Sequence[str] = (), alive: Sequence[str] = ()
    ) -> None:
        """A message of drone_sim: news of `drones`, none of `alive`, and `quiet` ones that it did not fly."""
        self._telemetry_s = self._clock.monotonic_s()
        self.board.fleet.telemetry(drones)
        self.board.fleet.heard(quiet, [*alive, *(one.id for one in drones)])
        self._notify()

    def announce(self, delivery: Delivery, version: Version) -> None:
        """A delivery that this gateway itself has just written."""
        at = delivery.history[-1].at if delivery.history else delivery.created_at
        self._ledger.changed(delivery.id, delivery.status, at)
        self._show([(delivery, version)])
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
        self._show(versioned(Delivery, [item for item in items if item.key.startswith(DELIVERY_PREFIX)]))
        self.board.fleet.some_records(
            versioned(Drone, [item for item in items if item.key.startswith(DRONE_PREFIX)])
        )
        self._notify()
        return f"followed up {len(items)} records"

    async def correct(self) -> str:
        """Bring board and ledger to what the store says, where messages cannot have done so."""
        if not self.watched:
            self._counted_s = None
            self._doubts += 1
            self.board.show_figures(None)
            return "nobody watches"
        async with self._correcting:
            if self._doubtful():
                doubts = self._doubts
                if self._counted_s is None or self._clock.monotonic_s() - self._counted_s > COUNT_EVERY_S:
                    await self._count()
                await self._correct_deliveries()
                await self._correct_fleet()
                self._settled, self._corrected_s = doubts, self._clock.monotonic_s()
            self._show_figures()
        return f"{len(self._ledger.open)} open deliveries, watched"

    async def keep_figures_fresh(self) -> str:
        """Show them by what was heard while a correction waits for the store."""
        if self.board.figures is None or self._clock.monotonic_s() - self._figures_s < FIGURES_S:
            return "figures are fresh"
        self._show_figures()
        return "figures shown without a correction"

    def _doubtful(self) -> bool:
        now_s = self._clock.monotonic_s()
        quiet = self.wants_drones and now_s - self._telemetry_s > TELEMETRY_QUIET_S
        unknown = self.wants_drones and self.board.fleet.unrecorded
        return (
            self._settled != self._doubts
            or not self.hearing
            or quiet
            or unknown
            or now_s - self._corrected_s > CORRECT_EVERY_S
        )

    async def figures(self) -> Figures:
        """The key figures, not older than one poll."""
        warm = self.watched and self._counted_s is not None
        self._asked_s = self._clock.monotonic_s()
        if not warm:
            await self.correct()
        return self._now()

    async def _correct_deliveries(self) -> None:
        found = {
            one.id: (one, version)
            for one, version in versioned(Delivery, await self._scan(DELIVERY_PREFIX, "open=1"))
        }
        news, gone = self._ledger.corrected(
            {key: delivery.status for key, (delivery, _) in found.items()}, self._clock.wall_s()
        )
        ended: list[tuple[Delivery, Version]] = []
        if gone:
            gone = gone[:1000]
            results = await self._kv.batch([Get(delivery_key(one)) for one in gone])
            self._ledger.vanished(one for one, result in zip(gone, results, strict=True) if result is None)
            ended = versioned(Delivery, [result for result in results if isinstance(result, Item)])
            for delivery, _ in ended:
                self._ledger.changed(delivery.id, delivery.status, delivery.ended_at or delivery.created_at)
        self._show([found[one] for one in news] + ended)

    async def _correct_fleet(self) -> None:
        fleet = self.board.fleet
        fleet.records(versioned(Drone, await self._scan(DRONE_PREFIX)))
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

    def _is_newer(self, delivery_id: str, version: Version) -> bool:
        """Whether this is newer than what was shown, which it then is."""
        known = self._shown.pop(delivery_id, None)
        self._shown[delivery_id] = version if known is None else max(known, version)
        if len(self._shown) > SHOWN_MAX:
            del self._shown[next(iter(self._shown))]
        return known is None or version > known

    def _show(self, deliveries: Iterable[tuple[Delivery, Version]]) -> None:
        shown = [delivery for delivery, version in deliveries if self._is_newer(delivery.id, version)]
        if shown:
            self.board.ring.append(None, DETAILS, encode({"deliveries": shown}))

    def _now(self) -> Figures:
        return self._ledger.figures(self._clock.wall_s(), self.board.fleet.statuses(), self._speed())

    def _show_figures(self) -> None:
        self._figures_s = self._clock.monotonic_s()
        self.board.show_figures(encode(self._now()))
        self._notify()


class _Named(msgspec.Struct):
    """Of a delivery as a message carries it, all that has to be read."""

    id: str


def _version(told: RecordTold) -> Version:
    """Raises Unreadable."""
    try:
        version = parse_version(told.version)
    except ValueError as exc:
        raise Unreadable(str(exc)) from exc
    if version is None:
        raise Unreadable("a record that was told has no version")
    return version


def _drone_told(told: RecordTold) -> tuple[Drone, Version]:
    return decode(Drone, told.record), _version(told)
