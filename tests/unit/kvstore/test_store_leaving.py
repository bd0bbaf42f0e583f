"""A replica that leaves does not come back by a join that was under way, and waits for nobody for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dronedispatch.kv.slots import SLOTS
from dronedispatch.kvstore import membership
from dronedispatch.kvstore.committer import Committer
from dronedispatch.kvstore.core.local_effects import Commit, NotCommitted
from dronedispatch.kvstore.engine import Engine
from dronedispatch.kvstore.membership import Membership, ReplicaDriver
from dronedispatch.replication import view
from dronedispatch.replication.effects import ViewAt
from dronedispatch.replication.hashing import assignment
from dronedispatch.replication.links import Links
from dronedispatch.replication.view import bootstrap
from dronedispatch.replication.view_store import ViewStore
from dronedispatch.runtime.clock import SystemClock
from dronedispatch.runtime.consul import ConsulClient
from support.virtual_time import pass_time
from support.waiting import in_time


class Committing:
    """A disk that takes every step."""

    def __init__(self) -> None:
        self.steps = 0
        self.handing_over: frozenset[int] = frozenset()

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


class Frozen(ViewStore):
    """A Consul that was stopped: it takes the question, and answers nothing."""

    async def read(self) -> ViewAt | None:
        await asyncio.get_running_loop().create_future()
        return None


class Replica:
    """One of two, on a disk that takes every step."""

    def __init__(self, views: ViewStore) -> None:
        self.disk, self.views = Committing(), views
        replicas = {name: view.Replica(f"http://{name}:1", f"disk-{name}") for name in ("r", "s")}
        views.cached = bootstrap("c", replicas, 2, assignment(("r", "s"), 2), "by")
        committer, links = cast(Committer, self.disk), SimpleNamespace(follow=lambda *_words: None)
        self.driver = ReplicaDriver(views, cast(Links, links), SystemClock(), committer, reached)
        self.membership = Membership("r", "http://r:1", cast(Engine, None), committer, self.driver)


@pytest.fixture(params=[ViewStore])
async def replica(request: pytest.FixtureRequest) -> AsyncIterator[Replica]:
    consul = ConsulClient("127.0.0.1:1")
    made = Replica(request.param(consul, probe_name="r"))
    yield made
    await made.driver.close()
    await consul.close()


async def test_a_join_that_is_under_way_ends_when_the_replica_leaves(replica: Replica) -> None:
    replica.views.cached = None
    join = replica.driver.run(joining())
    assert await replica.membership.leave(0.0) == "there is no view"
    assert "leaves" in await in_time(join)


@pytest.mark.virtual_time
@pytest.mark.parametrize("replica", [Frozen], indirect=True)
async def test_a_consul_that_stands_still_holds_up_no_stop(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "LEAVE_MAX_S", 1.0)
    assert "Consul" in await in_time(replica.membership.leave(0.0))


@pytest.mark.virtual_time
async def test_each_hand_over_lasts_its_own_time_whatever_was_handed_over_before(replica: Replica) -> None:
    replica.membership.hand_over([1, 2])
    await pass_time(0.75 * membership.HAND_OVER_MAX_S)
    replica.membership.hand_over([2, 3])
    assert replica.disk.handing_over == {1, 2, 3}
    await pass_time(0.5 * membership.HAND_OVER_MAX_S)
    assert replica.disk.handing_over == {2, 3}
    await pass_time(membership.HAND_OVER_MAX_S)
    assert replica.disk.handing_over == frozenset()


@pytest.mark.virtual_time
async def test_a_hand_over_gives_nothing_back_that_a_leaving_replica_has_given_up(replica: Replica) -> None:
    replica.membership.hand_over([1])
    leaving = asyncio.create_task(replica.membership.leave(0.0))
    await pass_time(0.5 * membership.HAND_OVER_S)
    replica.membership.hand_over([1])
    assert replica.disk.handing_over == frozenset(range(SLOTS))
    await in_time(leaving)
    await pass_time(2 * membership.HAND_OVER_MAX_S)
    assert replica.disk.handing_over == frozenset(range(SLOTS))
