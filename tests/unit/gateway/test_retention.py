"""What is finished leaves after some days, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import delivery_key, encode, stamp
from dronedispatch.fleet.positions import LatLon
from dronedispatch.gateway import retention
from dronedispatch.gateway.retention import DAY_S, Retention
from dronedispatch.gateway.settings import Settings
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.kv import MemoryKV

AT = LatLon(41.9, 12.5)


def delivery(number: int, status: DeliveryStatus, ended_s: float | None) -> Delivery:
    return Delivery(
        id=f"{number:026}",
        status=status,
        origin=AT,
        destination=AT,
        weight_kg=1.0,
        created_at=stamp(0.0),
        ended_at=None if ended_s is None else stamp(ended_s),
    )


async def stored(kv: MemoryKV, *deliveries: Delivery) -> None:
    for one in deliveries:
        await kv.put(delivery_key(one.id), encode(one), tags=(f"status={one.status}",))


def house(
    kv: MemoryKV, clock: FakeClock, keep_days: float = 7.0, export_dir: Path | None = None
) -> Retention:
    return Retention(kv, clock, owner="g1", keep_days=keep_days, export_dir=export_dir)


@pytest.fixture
def clock() -> FakeClock:
    made = FakeClock()
    made.advance(1_000 * DAY_S)
    return made


async def ids(kv: MemoryKV) -> list[int]:
    return [int(item.key.partition(":")[2]) for item in (await kv.scan(prefix="delivery:")).items]


async def test_what_ended_long_enough_ago_leaves_whatever_its_end_was_and_what_is_open_stays(
    clock: FakeClock,
) -> None:
    kv, now_s = MemoryKV(), clock.wall_s()
    old_s, new_s = now_s - 8 * DAY_S, now_s - 6 * DAY_S
    await stored(
        kv,
        delivery(1, DeliveryStatus.DELIVERED, old_s),
        delivery(2, DeliveryStatus.CANCELLED, old_s),
        delivery(3, DeliveryStatus.FAILED, old_s),
        delivery(4, DeliveryStatus.PENDING, None),
        delivery(5, DeliveryStatus.DELIVERED, new_s),
    )
    assert (await house(kv, clock).once()).startswith("removed 3 deliveries")
    assert await ids(kv) == [4, 5]


async def test_it_is_written_to_a_file_first_if_that_is_wanted(clock: FakeClock, tmp_path: Path) -> None:
    kv = MemoryKV()
    gone = delivery(1, DeliveryStatus.DELIVERED, clock.wall_s() - 8 * DAY_S)
    await stored(kv, gone)
    await house(kv, clock, export_dir=tmp_path / "export").once()
    (file,) = (tmp_path / "export").iterdir()
    assert [msgspec.json.decode(line, type=Delivery) for line in file.read_bytes().splitlines()] == [gone]
    assert await ids(kv) == []


async def test_what_cannot_be_exported_stays(clock: FakeClock, tmp_path: Path) -> None:
    kv = MemoryKV()
    await stored(kv, delivery(1, DeliveryStatus.DELIVERED, clock.wall_s() - 8 * DAY_S))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match="file"):
        await house(kv, clock, export_dir=tmp_path / "file").once()
    assert await ids(kv) == [1]


async def test_zero_days_keep_everything_and_one_gateway_at_a_time_is_enough(clock: FakeClock) -> None:
    kv = MemoryKV()
    await stored(kv, delivery(1, DeliveryStatus.DELIVERED, 0.0))
    assert await house(kv, clock, keep_days=0.0).once() == "finished deliveries stay for ever"
    await kv.acquire("gateway/retention", "another", 60_000)
    assert await house(kv, clock).once() == "another gateway is at it"
    assert await ids(kv) == [1]


async def test_an_export_that_was_cut_short_does_not_take_the_next_record_with_it(
    clock: FakeClock, tmp_path: Path
) -> None:
    kv, ended_s = MemoryKV(), clock.wall_s() - 8 * DAY_S
    await stored(kv, delivery(1, DeliveryStatus.DELIVERED, ended_s))
    await house(kv, clock, export_dir=tmp_path / "export").once()
    (file,) = (tmp_path / "export").iterdir()
    file.write_bytes(file.read_bytes()[:-10])
    await stored(kv, delivery(2, DeliveryStatus.DELIVERED, ended_s))
    await house(kv, clock, export_dir=tmp_path / "export").once()
    _, whole = file.read_bytes().splitlines()
    assert msgspec.json.decode(whole, type=Delivery).id == f"{2:026}"


async def test_the_name_of_an_export_is_as_safe_as_what_is_in_it(
    clock: FakeClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    kv = MemoryKV()
    await stored(kv, delivery(1, DeliveryStatus.DELIVERED, clock.wall_s() - 8 * DAY_S))
    await house(kv, clock, export_dir=tmp_path / "export").once()
    (file,) = (tmp_path / "export").iterdir()
    assert synced == [os.stat(path).st_ino for path in (file, file.parent)]


@pytest.mark.parametrize("keep_days", [-1.0, 0.5, 1.9])
def test_what_a_key_may_still_ask_for_cannot_leave(keep_days: float) -> None:
    with pytest.raises(ValueError, match="keep_days"):
        Settings(keep_days=keep_days)


async def test_a_year_of_ids_goes_in_one_run(clock: FakeClock) -> None:
    kv, now_s = MemoryKV(), clock.wall_s()
    await stored(
        kv,
        *(
            delivery(number, DeliveryStatus.DELIVERED, now_s - (366 - number / 10) * DAY_S)
            for number in range(3_660)
        ),
    )
    await house(kv, clock).once()
    assert len(await ids_all(kv)) == 70


async def ids_all(kv: MemoryKV) -> list[str]:
    found, after = [], None
    while True:
        page = await kv.scan(prefix="delivery:", after=after)
        found += [item.key for item in page.items]
        after = page.next_after
        if after is None:
            return found


@pytest.mark.parametrize("ended", ["", "1", "yesterday"])
async def test_an_end_that_cannot_be_read_is_no_old_one(clock: FakeClock, ended: str) -> None:
    kv = MemoryKV()
    spoilt = msgspec.structs.replace(delivery(1, DeliveryStatus.DELIVERED, 0.0), ended_at=ended)
    await stored(kv, spoilt)
    assert (await house(kv, clock).once()).startswith("removed 0 deliveries")


async def test_a_page_of_unreadable_records_hides_no_old_ones_behind_it(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SCAN_PAGE", 3)
    kv, tags = MemoryKV(), (f"status={DeliveryStatus.DELIVERED}",)
    for number in range(3):
        await kv.put(delivery_key(f"{number:026}"), b"{}", tags=tags)
    await stored(kv, delivery(3, DeliveryStatus.DELIVERED, clock.wall_s() - 8 * DAY_S))
    assert (await house(kv, clock).once()).startswith("removed 1 deliveries")


async def test_a_page_without_an_old_one_is_the_end_whatever_cannot_be_read_of_it(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SCAN_PAGE", 2)
    kv, new_s = MemoryKV(), clock.wall_s() - 6 * DAY_S
    await kv.put(delivery_key(f"{0:026}"), b"{}", tags=(f"status={DeliveryStatus.DELIVERED}",))
    await stored(kv, *(delivery(number, DeliveryStatus.DELIVERED, new_s) for number in range(1, 4)))
    await stored(kv, delivery(4, DeliveryStatus.DELIVERED, clock.wall_s() - 8 * DAY_S))
    assert (await house(kv, clock).once()).startswith("removed 0 deliveries")
