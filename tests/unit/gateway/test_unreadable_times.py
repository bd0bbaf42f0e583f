"""A time in the store that nobody can read spoils one record, and neither what is told beside it nor every answer."""

from __future__ import annotations

import msgspec
import pytest
from ulid import ULID

from dronedispatch.fleet.deliveries import DeliveryStatus, Eta
from dronedispatch.fleet.dispatch_state import DispatchState
from dronedispatch.fleet.documents import DISPATCH_STATE_KEY, IDEM_PREFIX, encode, stamp
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.messages import DeliveryChanges, DeliveryStatusChanged
from dronedispatch.gateway.core.idempotency import CLOCK_OFF_S, KEEP_S, IdemRecord
from dronedispatch.gateway.core.order import parse_order
from dronedispatch.gateway.core.stream import DELIVERY, Reader
from dronedispatch.gateway.feed import Feed
from dronedispatch.gateway.forecast import Forecast
from dronedispatch.gateway.sweep import sweep
from dronedispatch.gateway.zones import Zones
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.kv import MemoryKV
from support.gateway_client import ORDER
from support.ids import new_id


def event(seq: int, delivery_id: str, at: str) -> msgspec.Raw:
    told = DeliveryStatusChanged(
        id=f"m{seq}",
        at=at,
        request_id="r",
        delivery_id=delivery_id,
        status=DeliveryStatus.PENDING,
        drone_id=None,
        cause="ordered",
        term=1,
        seq=seq,
    )
    return msgspec.Raw(encode(told))


@pytest.mark.parametrize(("spoilt_id", "spoilt_at"), [("no ULID", None), (None, "yesterday")])
async def test_an_event_that_cannot_be_read_takes_none_of_its_batch_along(
    spoilt_id: str | None, spoilt_at: str | None
) -> None:
    clock = FakeClock()
    feed = Feed(MemoryKV(clock), clock, 100, lambda: 1.0)
    reader, now = Reader(feed.board, {DELIVERY}, None), stamp(clock.wall_s())
    ids = [new_id(), spoilt_id or new_id(), new_id()]
    batch = DeliveryChanges(
        id="m",
        at=now,
        request_id="r",
        term=1,
        first=1,
        last=3,
        events=(
            event(1, ids[0], now),
            event(2, ids[1], spoilt_at or now),
            event(3, ids[2], now),
        ),
    )
    feed.changed(batch)
    told = reader.next_bytes(0.0).decode()
    assert [one in told for one in ids] == [True, True, True]


@pytest.mark.parametrize("spoilt", ["created_at", "fingerprint"])
async def test_a_key_whose_record_cannot_be_read_is_forgotten_by_the_age_of_its_delivery(spoilt: str) -> None:
    clock = FakeClock()
    kv = MemoryKV(clock)
    record = msgspec.to_builtins(
        IdemRecord(
            fingerprint="f",
            delivery_id=str(ULID.from_timestamp(clock.wall_s())),
            created_at=stamp(clock.wall_s()),
            eta=Eta(stamp(clock.wall_s()), 0.5, "b"),
        )
    )
    await kv.put(f"{IDEM_PREFIX}k", encode(record | {spoilt: "yesterday" if spoilt == "created_at" else 7}))
    clock.advance(KEEP_S)
    assert await sweep(kv, clock) == "1 idempotency keys, 0 forgotten"
    clock.advance(CLOCK_OFF_S + 1.0)
    assert await sweep(kv, clock) == "1 idempotency keys, 1 forgotten"


async def test_a_state_of_the_dispatcher_whose_time_cannot_be_read_is_none() -> None:
    clock = FakeClock()
    kv = MemoryKV(clock)
    state = DispatchState(
        at="yesterday",
        term=1,
        policy="p",
        speed_mps=10.0,
        pending=0,
        assigned=0,
        in_progress=0,
    )
    await kv.put(DISPATCH_STATE_KEY, encode(state))
    forecast = Forecast(kv, Zones(kv), flight=FlightModel(), speed=1.0)
    await forecast.refresh()
    order = parse_order(encode(ORDER))
    assert forecast.eta(order, clock.wall_s()).basis.startswith("distance alone")
