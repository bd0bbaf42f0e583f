"""A candidate is told of each time that Consul was away, and does not wait longer for those before."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from dronedispatch.runtime.consul import ConsulClient, ConsulUnavailable
from dronedispatch.runtime.leadership import ConsulLock
from dronedispatch.runtime.loops import end
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
