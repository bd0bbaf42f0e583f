"""The one clock of all deadlines goes on, whatever one connection makes of its own."""

from __future__ import annotations

import asyncio
import math
from typing import Any, cast

import pytest

from dronedispatch.lb.connections import Connections
from dronedispatch.lb.deadlines import Deadlines
from support.waiting import until

pytestmark = pytest.mark.virtual_time


class Client:
    """A connection with a deadline that has passed."""

    def __init__(self, error: Exception | None = None) -> None:
        self.deadline_s = 0.0
        self.expiries = 0
        self._error = error

    def expired(self) -> None:
        self.deadline_s = math.inf
        self.expiries += 1
        if self._error is not None:
            raise self._error


class Clients:
    def __init__(self, *members: Client) -> None:
        self.members = members


async def test_a_deadline_that_ends_in_an_error_takes_nobody_elses_away() -> None:
    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    wrong, other = Client(KeyError("no such row")), Client()
    deadlines = Deadlines(cast(Connections, Clients(wrong, other)))
    await until(lambda: other.expiries == 1, "the other one's deadline is kept")
    deadlines.close()
    assert wrong.expiries == 1
    assert [type(context["exception"]) for context in reported] == [KeyError]
