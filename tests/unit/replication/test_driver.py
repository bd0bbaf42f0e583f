"""The driver: an operation ends whatever becomes of what it asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, cast

import pytest

from dronedispatch.replication.driver import Driver
from dronedispatch.replication.effects import READ_VIEW
from dronedispatch.replication.links import Links
from dronedispatch.replication.view_store import ViewStore
from dronedispatch.runtime.clock import SystemClock
from support.waiting import deadline


class Views:
    """No view, and nobody who tells of one."""

    cached = None

    def on_change(self, _callback: object) -> None:
        pass


class Failing(Driver):
    """Whatever takes time fails, or never comes."""

    def __init__(self, error: BaseException | None) -> None:
        super().__init__(
            cast(ViewStore, Views()), cast(Links, None), SystemClock(), second_opinion=cast(Any, None)
        )
        self.error = error

    async def _work(self) -> None:
        if self.error is None:
            await asyncio.Event().wait()
        else:
            raise self.error

    def carry_out(self, request: Any) -> Coroutine[Any, Any, Any]:
        return self._work()


def asking() -> Generator[Any, Any, str]:
    yield READ_VIEW
    return "went on"


def catching() -> Generator[Any, Any, str]:
    try:
        yield READ_VIEW
    except OSError as error:
        return f"was told: {error}"
    return "went on"


async def test_what_a_request_raises_is_raised_in_the_operation_and_ends_it() -> None:
    async with deadline():
        with pytest.raises(OSError, match="no room"):
            await Failing(OSError("no room")).run(asking())
        assert await Failing(OSError("no room")).run(catching()) == "was told: no room"


async def test_an_operation_under_way_ends_when_the_driver_is_closed() -> None:
    driver = Failing(None)
    waiting = driver.run(asking())
    await asyncio.sleep(0)
    await driver.close()
    async with deadline():
        await asyncio.wait([waiting])
    assert isinstance(waiting.exception(), asyncio.CancelledError)
    assert driver.running == 0
