"""An event loop in a thread beside the test: for synchronous clients (a browser, a generator of requests)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from typing import TypeVar

import structlog

T = TypeVar("T")

START_S = 120.0


@contextmanager
def aside(make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """What `make()` yields, while its loop runs in a thread; at the end it is left and all its tasks are cancelled.

    Meanwhile only warnings are logged: the thread also runs between two tests, when pytest captures nothing.
    """
    logged_before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    try:
        with _thread(make) as value:
            yield value
    finally:
        structlog.configure(**logged_before)


@contextmanager
def _thread(make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    ready = threading.Event()
    box: dict[str, T] = {}
    stop: list[Callable[[], object]] = []

    async def live() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(partial(loop.call_soon_threadsafe, stopped.set))
        async with make() as value:
            box["value"] = value
            ready.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: asyncio.run(live()), name="aside", daemon=True)
    thread.start()
    assert ready.wait(START_S), f"not ready within {START_S:g} s"
    try:
        yield box["value"]
    finally:
        stop[0]()
        thread.join(START_S)
