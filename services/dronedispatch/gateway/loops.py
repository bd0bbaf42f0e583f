"""The gateway's loops."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from dronedispatch.gateway.feed import Feed
from dronedispatch.gateway.forecast import Forecast
from dronedispatch.gateway.history import FiguresHistory
from dronedispatch.gateway.retention import Retention
from dronedispatch.gateway.settings import Settings
from dronedispatch.gateway.sweep import sweep
from dronedispatch.gateway.zones import Zones
from dronedispatch.kv.client import KVClient
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.loops import Loop

FOLLOW_UP_MS = 100
FRESH_S = 1.0
HISTORY_S = 8.0


def loops(
    settings: Settings,
    kv: KVClient,
    clock: Clock,
    zones: Zones,
    forecast: Forecast,
    feed: Feed,
    history: FiguresHistory,
) -> list[Loop]:
    """All of them, not yet running."""

    async def zones_once() -> str:
        said = await zones.refresh()
        feed.zones_changed(zones.etag)
        return said

    async def follow_up_once() -> str:
        await feed.touched.wait()
        await asyncio.sleep(FOLLOW_UP_MS / 1000)  # what comes close together is read in one batch
        feed.touched.clear()
        return await feed.follow_up()

    retention = Retention(
        kv,
        clock,
        owner=settings.process.instance or f"gateway {os.getpid()}",
        keep_days=settings.keep_days,
        export_dir=None if settings.export_dir is None else Path(settings.export_dir),
    )
    return [
        Loop("zones", zones_once, settings.zones_poll_s),
        Loop("forecast", forecast.refresh, settings.forecast_poll_s),
        Loop("picture", feed.correct, settings.picture_poll_s, wake=feed.wake),
        Loop("figures", feed.keep_figures_fresh, FRESH_S),
        Loop("follow_up", follow_up_once, 0.01),
        Loop("sweep", lambda: sweep(kv, clock), settings.sweep_s, jitter=1.0),
        Loop("history", history.once, HISTORY_S, jitter=1.0),
        Loop("retention", retention.once, settings.sweep_s, jitter=1.0),
    ]
