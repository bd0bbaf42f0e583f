"""What is done by the clock: scans come when they are due, oftener while the broker is dumb, rarer on a slow store."""

from __future__ import annotations

from typing import Any

import pytest

from dronedispatch.dispatcher.loops import UNHEARD_S, Scans
from dronedispatch.dispatcher.settings import Settings
from dronedispatch.kv.client import Page
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.town import Desk, Town
from support.towns import OpenTown

SETTINGS = Settings(scan_s=2.0, fleet_scan_s=20.0)


class CountingKV(MemoryKV):
    """Counts scans; each takes `takes_s` of the town's clock."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.takes_s = 0.0
        self.scans: list[str] = []

    async def scan(self, **asked: Any) -> Page:
        self.scans.append(asked.get("prefix") or asked.get("tag") or "")
        self.clock.advance(self.takes_s)
        return await super().scan(**asked)


@pytest.fixture
async def town(open_town: OpenTown) -> Town:
    town = await open_town(desk=False, ticks=0)
    town.kv = CountingKV(town.clock)
    town.add_fleet(3)
    return town


@pytest.fixture
async def desk(town: Town) -> Desk:
    desk = town.open_desk()
    await town.ticks(2)
    return desk


def counted(town: Town) -> CountingKV:
    assert isinstance(town.kv, CountingKV)
    town.kv.scans.clear()
    return town.kv


async def pass_time(town: Town, desk: Desk, seconds: int, *, heard: bool) -> list[str]:
    kv, scans = counted(town), Scans(desk.rounds, lambda: desk.consumers.heard_s, SETTINGS, town.clock)
    for _ in range(seconds):
        town.clock.advance(1.0)
        if heard:
            desk.consumers.heard_s = town.clock.monotonic_s()
        await scans.once()
    return kv.scans


async def test_the_fleet_is_scanned_rarely_while_its_updates_come(town: Town, desk: Desk) -> None:
    scans = await pass_time(town, desk, 40, heard=True)
    assert scans.count("open=1") == 20
    assert scans.count("telemetry:") == 2


async def test_the_fleet_is_scanned_as_often_as_the_deliveries_while_nothing_is_heard(
    town: Town, desk: Desk
) -> None:
    town.clock.advance(UNHEARD_S + 0.1)
    scans = await pass_time(town, desk, 40, heard=False)
    assert scans.count("telemetry:") == scans.count("open=1") == 20


async def test_a_slow_store_is_scanned_more_rarely(town: Town, desk: Desk) -> None:
    kv = counted(town)
    kv.takes_s = 1.0
    scans = Scans(desk.rounds, lambda: desk.consumers.heard_s, SETTINGS, town.clock)
    began_s = town.clock.monotonic_s()
    while town.clock.monotonic_s() < began_s + 100:
        town.clock.advance(1.0)
        desk.consumers.heard_s = town.clock.monotonic_s()
        await scans.once()
    assert kv.scans.count("open=1") <= 6


async def test_a_standby_scans_nothing(town: Town, desk: Desk) -> None:
    desk.lead.leader = False
    await desk.rounds.once()
    assert await pass_time(town, desk, 10, heard=True) == []


async def test_a_scan_wakes_the_round(town: Town, desk: Desk) -> None:
    desk.rounds.wake.clear()
    await pass_time(town, desk, 3, heard=True)
    assert desk.rounds.wake.is_set()
