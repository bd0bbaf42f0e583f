"""A replica that leaves does not come back by a join that was under way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from types import SimpleNamespace
from typing import Any, cast

from dronedispatch.kvstore.committer import Committer
from dronedispatch.kvstore.core.local_effects import Commit, NotCommitted
from dronedispatch.kvstore.engine import Engine
from dronedispatch.kvstore.membership import Membership, ReplicaDriver
from dronedispatch.replication.links import Links
from dronedispatch.replication.view_store import ViewStore
from dronedispatch.runtime.clock import SystemClock
from dronedispatch.runtime.consul import ConsulClient
from support.waiting import in_time


class Committing:
    """A disk that takes every step."""

    def __init__(self) -> None:
        self.steps = 0

    def run(self, _step: Callable[[Any], Any]) -> Awaitable[None]:
        self.steps += 1
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


def joining() -> Generator[Any, Any, str]:
    """As every join: nothing is published but after a step that was committed."""
    try:
        while True:
            yield Commit(lambda _txn: None)
    except NotCommitted as error:
        return str(error)


async def reached() -> bool | None:
    return None


async def test_a_join_that_is_under_way_ends_when_the_replica_leaves() -> None:
    disk, consul = Committing(), ConsulClient("127.0.0.1:1")
    links = SimpleNamespace(follow=lambda *_words: None)
    driver = ReplicaDriver(
        ViewStore(consul, probe_name="r"), cast(Links, links), SystemClock(), cast(Committer, disk), reached
    )
    membership = Membership("r", "http://r:1", cast(Engine, None), cast(Committer, disk), driver)
    join = driver.run(joining())
    await membership.leave(0.0)
    assert "leaves" in await in_time(join)
    await driver.close()
    await consul.close()
