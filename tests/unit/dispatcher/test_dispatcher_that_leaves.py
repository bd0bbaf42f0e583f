"""A dispatcher that is stopped gives the lead away, though its campaign swallows the first cancellation."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from dronedispatch.dispatcher.app import Dispatcher
from support.towns import OpenTown
from support.virtual_time import pass_time, stubborn

pytestmark = pytest.mark.virtual_time


async def test_a_campaign_that_swallows_a_cancellation_holds_up_no_stop(open_town: OpenTown) -> None:
    town, resigned = await open_town(), asyncio.Event()

    async def resign() -> None:
        resigned.set()

    dispatcher: Any = object.__new__(Dispatcher)  # the parts that leave uses, and no process
    dispatcher.consumers, dispatcher.rounds = town.desks[0].consumers, town.desks[0].rounds
    dispatcher.lock = SimpleNamespace(resign=resign)
    dispatcher._campaign = asyncio.create_task(stubborn())
    await pass_time(0.1)
    async with asyncio.timeout(60.0):
        await dispatcher.leave()
    assert resigned.is_set()
