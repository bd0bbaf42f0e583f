"""A replica keeps each view, and settles its marks by it: later, where there was no room for it at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

from dronedispatch.kvstore.committer import Committer
from dronedispatch.kvstore.core.state import State
from dronedispatch.kvstore.engine import Engine
from dronedispatch.kvstore.membership import Membership, ReplicaDriver
from dronedispatch.kvstore.txn import DiskFull
from dronedispatch.replication.hashing import assignment
from dronedispatch.replication.view import Replica, bootstrap

REPLICA = Replica("http://r:1", "disk-r")


class Disk:
    """Takes a step when there is room."""

    def __init__(self) -> None:
        self.full = True
        self.taken = 0

    def run(self, _step: Callable[[Any], Any]) -> Awaitable[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.full:
            done.set_exception(DiskFull("no room"))
        else:
            self.taken += 1
            done.set_result(None)
        return done


async def test_a_view_that_had_no_room_is_kept_when_there_is_some() -> None:
    disk = Disk()
    view = bootstrap("c", {"r": REPLICA}, 1, assignment(("r",), 1), "by")
    views = SimpleNamespace(cached=view, on_change=lambda _callback: None)
    driver = cast(ReplicaDriver, SimpleNamespace(views=views, leaving=False))
    engine = cast(Engine, SimpleNamespace(state=State("c"), disk=SimpleNamespace(disk=REPLICA.disk)))
    membership = Membership("r", REPLICA.url, engine, cast(Committer, disk), driver)
    await membership.once()
    disk.full = False
    for _ in range(2):
        await membership.once()
    assert disk.taken == 1
