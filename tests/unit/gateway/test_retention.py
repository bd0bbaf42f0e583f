"""What is finished leaves after some days, and nothing else does."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus
from dronedispatch.fleet.documents import delivery_key, encode, stamp
from dronedispatch.gateway import retention
from dronedispatch.gateway.retention import DAY_S, Retention
from dronedispatch.gateway.settings import Settings
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.fleet import a_delivery
from dronedispatch.testing.kv import MemoryKV

DELIVERED = DeliveryStatus.DELIVERED
OTHER_ENDS = (DeliveryStatus.CANCELLED, DeliveryStatus.FAILED)


def delivery(number: int, ended_s: float | None, status: DeliveryStatus = DELIVERED) -> Delivery:
    ended_at = None if ended_s is None else stamp(ended_s)
    return a_delivery(id=f"{number:026}", status=status, created_at=stamp(0.0), ended_at=ended_at)


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


@pytest.fixture
def old_s(clock: FakeClock) -> float:
    """When something ended that may leave."""
    return clock.wall_s() - 8 * DAY_S


async def ids(kv: MemoryKV) -> list[int]:
    kept = (await kv.scan(prefix="delivery:", limit=100_000)).items
    return [int(item.key.partition(":")[2]) for item in kept]


async def test_what_ended_long_enough_ago_leaves_whatever_its_end_was_and_what_is_open_stays(
    kv: MemoryKV, clock: FakeClock, old_s: float
) -> None:
    ended = [delivery(n, old_s, to) for n, to in enumerate((DELIVERED, *OTHER_ENDS), 1)]
    await stored(kv, *ended, delivery(4, None, DeliveryStatus.PENDING), delivery(5, old_s + 2 * DAY_S))
    assert (await house(kv, clock).once()).startswith("removed 3 deliveries")
    assert await ids(kv) == [4, 5]


async def test_it_is_written_to_a_file_first_if_that_is_wanted(
    kv: MemoryKV, clock: FakeClock, old_s: float, tmp_path: Path
) -> None:
    gone = delivery(1, old_s)
    await stored(kv, gone)
    await house(kv, clock, export_dir=tmp_path / "export").once()
    (file,) = (tmp_path / "export").iterdir()
    assert [msgspec.json.decode(line, type=Delivery) for line in file.read_bytes().splitlines()] == [gone]
    assert await ids(kv) == []


async def test_what_cannot_be_exported_stays(
    kv: MemoryKV, clock: FakeClock, old_s: float, tmp_path: Path
) -> None:
    await stored(kv, delivery(1, old_s))
    (tmp_path / "export").write_text("no folder")
    with pytest.raises(OSError, match="export"):
        await house(kv, clock, export_dir=tmp_path / "export").once()
    assert await ids(kv) == [1]


async def test_zero_days_keep_everything_and_one_gateway_at_a_time_is_enough(
    kv: MemoryKV, clock: FakeClock
) -> None:
    await stored(kv, delivery(1, 0.0))
    assert await house(kv, clock, keep_days=0.0).once() == "finished deliveries stay for ever"
    await kv.acquire("gateway/retention", "another", 60_000)
    assert await house(kv, clock).once() == "another gateway is at it"
    assert await ids(kv) == [1]


async def test_an_export_that_was_cut_short_does_not_take_the_next_record_with_it(
    kv: MemoryKV, clock: FakeClock, old_s: float, tmp_path: Path
) -> None:
    await stored(kv, delivery(1, old_s))
    await house(kv, clock, export_dir=tmp_path / "export").once()
    (file,) = (tmp_path / "export").iterdir()
    file.write_bytes(file.read_bytes()[:-10])
    await stored(kv, delivery(2, old_s))
    await house(kv, clock, export_dir=tmp_path / "export").once()
    _, whole = file.read_bytes().splitlines()
    assert msgspec.json.decode(whole, type=Delivery).id == f"{2:026}"


async def test_the_name_of_an_export_is_as_safe_as_what_is_in_it(
    kv: MemoryKV, clock: FakeClock, old_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr("os.fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    await stored(kv, delivery(1, old_s))
    await house(kv, clock, export_dir=tmp_path / "export").once()
    (file,) = (tmp_path / "export").iterdir()
    assert synced == [os.stat(path).st_ino for path in (file, file.parent)]


@pytest.mark.parametrize("keep_days", [-1.0, 0.5, 1.9])
def test_what_a_key_may_still_ask_for_cannot_leave(keep_days: float) -> None:
    with pytest.raises(ValueError, match="keep_days"):
        Settings(keep_days=keep_days)


async def test_a_year_of_ids_goes_in_one_run(kv: MemoryKV, clock: FakeClock) -> None:
    now_s = clock.wall_s()
    await stored(kv, *(delivery(number, now_s - (366 - number / 10) * DAY_S) for number in range(3_660)))
    await house(kv, clock).once()
    assert len(await ids(kv)) == 70


@pytest.mark.parametrize("ended", ["", "1", "yesterday"])
async def test_an_end_that_cannot_be_read_is_no_old_one(kv: MemoryKV, clock: FakeClock, ended: str) -> None:
    await stored(kv, msgspec.structs.replace(delivery(1, 0.0), ended_at=ended))
    assert (await house(kv, clock).once()).startswith("removed 0 deliveries")


async def unreadable(kv: MemoryKV, *numbers: int) -> None:
    for number in numbers:
        await kv.put(delivery_key(f"{number:026}"), b"{}", tags=(f"status={DELIVERED}",))


async def test_a_page_of_unreadable_records_hides_no_old_ones_behind_it(
    kv: MemoryKV, clock: FakeClock, old_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SCAN_PAGE", 3)
    await unreadable(kv, 0, 1, 2)
    await stored(kv, delivery(3, old_s))
    assert (await house(kv, clock).once()).startswith("removed 1 deliveries")


async def test_a_page_without_an_old_one_is_the_end_whatever_cannot_be_read_of_it(
    kv: MemoryKV, clock: FakeClock, old_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SCAN_PAGE", 2)
    await unreadable(kv, 0)
    await stored(kv, *(delivery(number, old_s + 2 * DAY_S) for number in range(1, 4)), delivery(4, old_s))
    assert (await house(kv, clock).once()).startswith("removed 0 deliveries")
