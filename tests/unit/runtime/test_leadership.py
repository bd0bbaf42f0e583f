"""A candidate is told of each time that Consul was away, and does not wait longer for those before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from dronedispatch.runtime.consul import ConsulClient, ConsulUnavailable
from dronedispatch.runtime.leadership import WAIT_S, ConsulLock
from dronedispatch.runtime.loops import end
from support.virtual_time import pass_time
from support.waiting import in_time

pytestmark = pytest.mark.virtual_time


class Consul:
    """Somebody else holds the lock. Its queries fail where `script` says so; when that is over, they wait for ever."""

    def __init__(self, *script: bool) -> None:
        self.script = list(script)
        self.checked: list[Mapping[str, object]] = []
        self.over = asyncio.Event()

    async def agent_services(self) -> dict[str, dict[str, Any]]:
        return {"id": {"Service": "s", "Port": 1}}

    async def deregister_check(self, _check: str) -> None: ...

    async def register_check(self, document: Mapping[str, object]) -> None:
        self.checked.append(document)

    async def session_create(self, *_words: object) -> str:
        return "mine"

    async def kv_entry(self, _key: str, *, index: int = 0, **_: object) -> tuple[int, dict[str, Any]]:
        if not self.script:
            self.over.set()
            await asyncio.get_running_loop().create_future()
        if not self.script.pop(0):
            raise ConsulUnavailable("away")
        return index + 1, {"Session": "another", "ModifyIndex": 1}


async def test_each_time_that_consul_is_away_is_told_once() -> None:
    consul = Consul(True, False, False, True, True, False, True)
    lock = ConsulLock(cast(ConsulClient, consul), "k", service="s", instance="i", address="127.0.0.1", port=1)
    with capture_logs() as said:
        campaign = asyncio.create_task(lock.run())
        await in_time(consul.over.wait())
        await end([campaign])
    assert [one["event"] for one in said] == ["lock: Consul fails, the last state stays"] * 2


async def test_the_check_of_a_leader_with_an_ipv6_address_is_a_url() -> None:
    consul = Consul()
    lock = ConsulLock(cast(ConsulClient, consul), "k", service="s", instance="i", address="::1", port=1)
    campaign = asyncio.create_task(lock.run())
    await in_time(consul.over.wait())
    await end([campaign])
    assert [one["HTTP"] for one in consul.checked] == ["http://[::1]:1/health?live=1"]


class Lone(Consul):
    """Nobody else wants the lock."""

    def __init__(self) -> None:
        super().__init__()
        self.holder: str | None = None

    async def kv_entry(self, _key: str, *, index: int = 0, **_: object) -> tuple[int, dict[str, Any]]:
        await pass_time(WAIT_S if index else 0.0)
        return index + 1, {"Session": self.holder, "ModifyIndex": 1}

    async def kv_acquire(self, _key: str, _value: bytes, session: str) -> bool:
        self.holder = session
        return True

    async def kv_release(self, _key: str, session: str) -> bool:
        assert self.holder == session
        self.holder = None
        return True


async def test_a_leader_that_cannot_work_gives_the_lock_to_others_until_it_can() -> None:
    consul, can = Lone(), asyncio.Event()
    can.set()
    lock = ConsulLock(
        cast(ConsulClient, consul), "k", service="s", instance="i", address="a", port=1, may_lead=can.is_set
    )
    campaign = asyncio.create_task(lock.run())
    await pass_time(1.0)
    assert (lock.leader, consul.holder) == (True, "mine")
    can.clear()
    await pass_time(2 * WAIT_S)
    assert (lock.leader, consul.holder) == (False, None)
    can.set()
    await pass_time(2.0)
    assert (lock.leader, consul.holder) == (True, "mine")
    await end([campaign])


async def test_who_cannot_work_does_not_begin_to_lead() -> None:
    consul, can = Lone(), asyncio.Event()
    lock = ConsulLock(
        cast(ConsulClient, consul), "k", service="s", instance="i", address="a", port=1, may_lead=can.is_set
    )
    campaign = asyncio.create_task(lock.run())
    await pass_time(2 * WAIT_S)
    assert (lock.leader, consul.holder) == (False, None)
    await end([campaign])
