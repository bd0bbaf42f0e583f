"""A time in the store that nobody can read spoils one record, and neither what is told beside it nor every answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from ulid import ULID

from dronedispatch.fleet.deliveries import Eta
from dronedispatch.fleet.dispatch_state import DispatchState
from dronedispatch.fleet.documents import DISPATCH_STATE_KEY, IDEM_PREFIX, encode, stamp
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.gateway.core.idempotency import CLOCK_OFF_S, KEEP_S, IdemRecord
from dronedispatch.gateway.core.order import parse_order
from dronedispatch.gateway.core.stream import DELIVERY, Reader
from dronedispatch.gateway.feed import Feed
from dronedispatch.gateway.forecast import Forecast
from dronedispatch.gateway.sweep import sweep
from dronedispatch.gateway.zones import Zones
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import a_batch, a_change
from dronedispatch.testing.kv import MemoryKV
from support.gateway_client import ORDER


@pytest.mark.parametrize("spoilt", [{"delivery_id": "no ULID"}, {"at": "yesterday"}])
async def test_an_event_that_cannot_be_read_takes_none_of_its_batch_along(
    feed: Feed, spoilt: dict[str, Any]
) -> None:
    reader = Reader(feed.board, {DELIVERY}, None)
    changes = [a_change(1), a_change(2, **spoilt), a_change(3)]
    feed.changed(a_batch(1, 3, events=tuple(msgspec.Raw(encode(change)) for change in changes)))
    told = reader.next_bytes(0.0).decode()
    assert [change.delivery_id in told for change in changes] == [True, True, True]


@pytest.mark.parametrize("spoilt", [{"created_at": "yesterday"}, {"fingerprint": 7}])
async def test_a_key_whose_record_cannot_be_read_is_forgotten_by_the_age_of_its_delivery(
    kv: MemoryKV, clock: FakeClock, spoilt: dict[str, object]
) -> None:
    now, order = stamp(clock.wall_s()), str(ULID.from_timestamp(clock.wall_s()))
    record = IdemRecord(fingerprint="f", delivery_id=order, created_at=now, eta=Eta(now, 0.5, "b"))
    await kv.put(f"{IDEM_PREFIX}k", encode(msgspec.to_builtins(record) | spoilt))
    clock.advance(KEEP_S)
    assert await sweep(kv, clock) == "1 idempotency keys, 0 forgotten"
    clock.advance(CLOCK_OFF_S + 1.0)
    assert await sweep(kv, clock) == "1 idempotency keys, 1 forgotten"


async def test_a_state_of_the_dispatcher_whose_time_cannot_be_read_is_none(
    kv: MemoryKV, clock: FakeClock
) -> None:
    counts: dict[str, Any] = {"pending": 0, "assigned": 0, "in_progress": 0}
    state = DispatchState(at="yesterday", term=1, policy="p", speed_mps=10.0, **counts)
    await kv.put(DISPATCH_STATE_KEY, encode(state))
    forecast = Forecast(kv, Zones(kv), flight=FlightModel(), speed=1.0)
    await forecast.refresh()
    assert forecast.eta(parse_order(encode(ORDER)), clock.wall_s()).basis.startswith("distance alone")
