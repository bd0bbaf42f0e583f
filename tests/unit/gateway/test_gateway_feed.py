"""Who begins to watch a gateway is shown figures as they are now, never those of whoever watched it before."""

from __future__ import annotations

from dronedispatch.gateway.core.stream import FIGURES, Reader
from dronedispatch.gateway.feed import ASKED_S, Feed
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.kv import MemoryKV


def shown(reader: Reader) -> bool:
    return f"event: {FIGURES}" in reader.next_bytes(0.0).decode()


async def test_a_new_reader_is_shown_no_figures_from_before_nobody_watched() -> None:
    clock = FakeClock()
    feed = Feed(MemoryKV(clock), clock, 100, lambda: 1.0)
    feed.enter([FIGURES])
    await feed.correct()
    first = Reader(feed.board, {FIGURES}, None)
    assert shown(first)
    feed.leave([FIGURES])
    clock.advance(ASKED_S)
    await feed.correct()

    second = Reader(feed.board, {FIGURES}, None)
    feed.enter([FIGURES])
    assert not shown(second)
    await feed.correct()
    assert shown(second)
