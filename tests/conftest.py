"""What holds for every suite: chance comes from a seed, and a test may ask for a clock that only it moves."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import structlog

from support import generated, progress
from support.virtual_time import VirtualTimeLoop

REAL_TIME: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {"real": asyncio.new_event_loop}
VIRTUAL_TIME: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {"virtual": VirtualTimeLoop}

generated.register()
# Lines of a failed test are read as they are: by default structlog draws a box around each exception, which takes 25 ms.
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
    ]
)


def pytest_asyncio_loop_factories(
    item: pytest.Item,
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that an async test runs in; other processes know nothing of virtual time."""
    virtual = item.get_closest_marker("virtual_time") and not item.get_closest_marker("real")
    return VIRTUAL_TIME if virtual else REAL_TIME


def pytest_configure(config: pytest.Config) -> None:
    """Where scripts/test looks on, it is told how far we are; a pytest that a test starts is none of its business."""
    told = os.environ.pop(progress.VARIABLE, None)
    if told and not hasattr(config, "workerinput"):
        config.pluginmanager.register(progress.Progress(Path(told)))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: no collection of garbage, of which a test may ask for one, walks through it again."""
    gc.collect()
    gc.freeze()


def pytest_report_header(config: pytest.Config) -> str:
    """Under which chance this run stands."""
    return generated.said(config.getoption("--hypothesis-seed", default=None))
