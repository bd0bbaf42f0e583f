"""The schedule in the loop: on time, without drift, and deaf to the wall clock."""

from __future__ import annotations

import asyncio

import pytest

from dronedispatch.drone_sim.core.schedule import Beat
from dronedispatch.drone_sim.loops import Ticker
from dronedispatch.drone_sim.zones import ZonesWatch
from dronedispatch.fleet.city import City, default_city
from dronedispatch.fleet.documents import ZONES_KEY, encode
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.kv import MemoryKV


async def beats_of(clock: FakeClock, work_s: float, count: int, step_s: float = 0.0) -> list[Beat]:
    """What a ticker of one second tells of itself when each tick takes so long, and then the wall clock is set."""
    beats: list[Beat] = []

    async def tick(beat: Beat) -> str:
        beats.append(beat)
        clock.advance(work_s)
        clock.jump_wall(step_s)
        return "ticked"

    ticker = Ticker(tick, clock, 1.0)
    for _ in range(count):
        await ticker.once()
    return beats


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A clock that sleeping moves."""
    clock = FakeClock()

    async def sleep(seconds: float) -> None:
        clock.advance(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return clock


async def test_work_that_fits_into_the_period_makes_no_tick_late(clock: FakeClock) -> None:
    beats = await beats_of(clock, work_s=0.6, count=5)
    assert [beat.late_s for beat in beats] == [0.0] * 5
    assert [beat.elapsed_s for beat in beats] == pytest.approx([1.0] * 5)


async def test_work_that_does_not_fit_skips_ticks_and_motion_covers_what_has_passed(clock: FakeClock) -> None:
    beats = await beats_of(clock, work_s=2.5, count=4)
    assert sum(beat.elapsed_s for beat in beats[1:]) == pytest.approx(7.5)
    assert [beat.skipped for beat in beats] == [0, 1, 2, 1]


async def test_a_wall_clock_that_is_set_changes_no_beat(clock: FakeClock) -> None:
    _, second = await beats_of(clock, work_s=0.1, count=2, step_s=-3600.0)
    assert second == Beat(late_s=0.0, elapsed_s=1.0, skipped=0, next_due_s=second.next_due_s)


async def test_zones_are_followed_and_a_document_that_is_no_city_changes_nothing() -> None:
    kv, cities = MemoryKV(), list[City]()
    watch = ZonesWatch(kv, cities.append)
    assert await watch.once() == "zones unchanged"
    await kv.put(ZONES_KEY, encode(default_city().open_sky().document))
    await watch.once()
    await kv.put(ZONES_KEY, b'{"type": "FeatureCollection"}')
    assert await watch.once() == "zones unreadable"
    assert [len(city.no_fly) for city in cities] == [0]
    assert await watch.once() == "zones unchanged"
