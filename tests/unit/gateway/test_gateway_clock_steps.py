"""A wall clock that is set, or off, by an hour: nothing is forgotten early, counted twice or called what it is not."""

from __future__ import annotations

import pytest
from ulid import ULID

from dronedispatch.fleet.deliveries import DeliveryStatus, Eta
from dronedispatch.fleet.documents import stamp
from dronedispatch.gateway.core.figures import Ledger
from dronedispatch.gateway.core.history import FIGURES_PREFIX, figures_key
from dronedispatch.gateway.core.idempotency import KEEP_S, IdemRecord, is_over
from dronedispatch.gateway.feed import Feed
from dronedispatch.gateway.history import LATE_S, UNSURE_S, FiguresHistory
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import a_batch
from dronedispatch.testing.kv import MemoryKV

HOUR_S = 3600.0
MINUTE = 30_000_000
BEGIN_S = MINUTE * 60.0


class Gateway:
    """With a clock of its own; `true_s` is that of all others."""

    def __init__(self, off_s: float) -> None:
        self.clock = FakeClock(BEGIN_S - 100.0 + off_s)
        self._true = FakeClock(BEGIN_S - 100.0)
        self.kv = MemoryKV(self._true)
        self.feed = Feed(self.kv, self.clock, 100, lambda: 1.0)
        self.history = FiguresHistory(self.kv, self.clock, self.feed)
        self.feed.gap()

    @property
    def true_s(self) -> float:
        return self._true.wall_s()

    def to(self, second: float) -> None:
        """Of the minute, and the dispatcher is heard."""
        left_s = BEGIN_S + second - self.true_s
        self.clock.advance(left_s)
        self._true.advance(left_s)
        self.feed.changed(a_batch(1, 0, at=stamp(self.true_s)))

    async def minutes(self) -> list[str]:
        await self.history.once()
        return [item.key for item in (await self.kv.scan(prefix=FIGURES_PREFIX)).items]


@pytest.mark.parametrize("step_s", [HOUR_S, 25 * HOUR_S])
async def test_a_clock_that_is_ahead_records_no_minute_that_is_not_over(step_s: float) -> None:
    gateway = Gateway(0.0)
    gateway.to(30.0)
    gateway.clock.jump_wall(step_s)
    assert await gateway.minutes() in ([], [figures_key(MINUTE - 1)])
    gateway.to(60.0 + UNSURE_S)
    assert (await gateway.minutes())[-1] == figures_key(MINUTE)
    gateway.clock.jump_wall(-step_s)
    gateway.to(120.0 + UNSURE_S)
    assert (await gateway.minutes())[-1] == figures_key(MINUTE + 1)


async def test_who_began_to_hear_with_a_clock_that_was_behind_has_not_heard_the_hour_before() -> None:
    gateway = Gateway(-HOUR_S)
    gateway.to(30.0)
    gateway.feed.gap()
    gateway.clock.jump_wall(HOUR_S)
    gateway.to(60.0 + LATE_S)
    assert not gateway.feed.heard_all_of(MINUTE)
    gateway.to(120.0 + LATE_S)
    assert gateway.feed.heard_all_of(MINUTE + 1)


def test_nothing_takes_less_than_no_time() -> None:
    ledger, ahead_s = Ledger(), BEGIN_S + HOUR_S
    order = str(ULID.from_timestamp(ahead_s))
    ledger.changed(order, DeliveryStatus.ASSIGNED, stamp(BEGIN_S + 1.0))
    ledger.changed(order, DeliveryStatus.DELIVERED, stamp(BEGIN_S + 20.0))
    flow = ledger.flows.of(MINUTE)
    assert (flow.assignments, flow.delivered) == (1, 1)
    assert (flow.to_assign_s, flow.to_deliver_s) == (0.0, 0.0)


@pytest.mark.parametrize("off_s", [-HOUR_S, HOUR_S])
def test_a_key_is_kept_a_day_though_a_clock_is_off(off_s: float) -> None:
    at = stamp(BEGIN_S)
    record = IdemRecord(fingerprint="f", delivery_id="d", created_at=at, eta=Eta(at, 0.9, "b"))
    assert not is_over(record, BEGIN_S + KEEP_S - 1.0 + abs(off_s))
    assert is_over(record, BEGIN_S + KEEP_S + 3 * HOUR_S)
