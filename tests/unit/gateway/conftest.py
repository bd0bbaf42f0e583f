"""A gateway's feed on a memory store, by a clock that the test moves."""

from __future__ import annotations

import pytest

from dronedispatch.gateway.feed import Feed
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.kv import MemoryKV


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def kv(clock: FakeClock) -> MemoryKV:
    return MemoryKV(clock)


@pytest.fixture
def feed(kv: MemoryKV, clock: FakeClock) -> Feed:
    return Feed(kv, clock, 100, lambda: 1.0)
