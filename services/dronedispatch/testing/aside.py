"""An event loop in a thread beside the test: for synchronous clients (a browser, a generator of requests)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from typing import TypeVar

T = TypeVar("T")

START_S = 30.0


@contextmanager
def aside(make: Callable[[], AbstractAsyncContextManager[T]]) -> Iterator[T]:
    """What `make()` yields, while its loop runs in a thread; at the end it is left and all its tasks are cancelled."""
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
