"""Waiting by condition, never by time alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], what: str, deadline_s: float = 5.0) -> None:
    """Return as soon as `condition()` is true. Raises AssertionError, naming `what`, when it is not within the deadline."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + deadline_s
    while not condition():
        assert loop.time() < end_s, f"not within {deadline_s} s: {what}"
        await asyncio.sleep(0.005)
