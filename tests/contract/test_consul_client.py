"""The Consul adapter, discovery and leadership on a real Consul."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from scripts.local.ports import Ports

from dronedispatch.runtime.consul import (
    ConsulClient,
    ConsulUnavailable,
    ConsulUnknown,
    ServiceRegistration,
)
from dronedispatch.runtime.discovery import KeyWatch, ServiceWatch
from dronedispatch.runtime.leadership import ConsulLock
from support import waiting
from support.real_parts import Part, running_consul
from support.signals import send

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def consul(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ports, Part]]:
    with running_consul(tmp_path_factory.mktemp("consul")) as running:
        yield running


@pytest.fixture
async def client(consul: tuple[Ports, Part], monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConsulClient]:
    monkeypatch.setenv(
        "CONSUL_HTTP_ADDR", "http://not-for-us:1"
    )  # the library must not read it behind our back
    made = ConsulClient(f"http://127.0.0.1:{consul[0].consul_http}")
    yield made
    await made.close()


async def until(condition: Callable[[], object]) -> None:
    await waiting.until(condition, "Consul has told it", 15.0)


async def test_cas_writes_only_on_the_index_that_was_read(client: ConsulClient) -> None:
    assert await client.kv_put("t/cas", b"1", cas=0)
    assert not await client.kv_put("t/cas", b"2", cas=0)
    _, value, modify_index = await client.kv_get("t/cas", consistent=True)
    assert value == b"1"
    assert await client.kv_put("t/cas", b"2", cas=modify_index)
    assert not await client.kv_put("t/cas", b"3", cas=modify_index)


async def test_an_absent_key_is_no_error(client: ConsulClient) -> None:
    _, value, modify_index = await client.kv_get("t/none")
    assert (value, modify_index) == (None, 0)


async def test_a_key_watch_sees_each_change(client: ConsulClient) -> None:
    watch = KeyWatch(client, "t/watched")
    seen: list[bytes | None] = []
    watch.on_change(lambda value: seen.append(value[0]))
    watch.start()
    await until(watch.seen.is_set)
    for value in (b"a", b"b"):
        await client.kv_put("t/watched", value)
        await until(partial(lambda wanted: watch.value[0] == wanted, value))
    await watch.stop()
    assert seen == [None, b"a", b"b"]


def passing(name: str, ports: Ports, **more: Any) -> ServiceRegistration:
    """Of a service whose check Consul's own port answers."""
    told = {"id": name, "check_path": "/v1/status/leader"} | more
    return ServiceRegistration(name=name, address="127.0.0.1", port=ports.consul_http, **told)


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_service_is_found_when_its_check_passes_and_gone_when_it_leaves(
    client: ConsulClient, consul: tuple[Ports, Part]
) -> None:
    watch = ServiceWatch(client, "found")
    watch.start()
    await until(watch.seen.is_set)
    assert list(watch.endpoints) == []
    await client.register(
        passing("found", consul[0], id="found-1", meta={"disk": "d1"}, check_interval_s=0.2)
    )
    await until(lambda: len(watch.endpoints) == 1)
    assert watch.endpoints[0].meta == {"disk": "d1"}
    await client.deregister("found-1")
    await until(lambda: watch.endpoints == ())
    await watch.stop()


async def test_one_of_two_leads_and_the_other_follows_with_a_greater_term(
    client: ConsulClient, consul: tuple[Ports, Part]
) -> None:
    port = consul[0].consul_http
    locks = []
    for name in ("one", "two"):
        await client.register(passing(f"cand-{name}", consul[0]))
        lock = ConsulLock(
            client, "t/leader", service=f"cand-{name}", instance=name, address="127.0.0.1", port=port
        )
        locks.append((lock, asyncio.create_task(lock.run())))
    await until(lambda: sum(lock.leader for lock, _ in locks) == 1)
    (old, old_task), (new, new_task) = sorted(locks, key=lambda pair: not pair[0].leader)
    old_term = old.term
    await cancelled(old_task)
    await old.resign()
    await until(lambda: new.leader)
    assert new.term > old_term > 0
    await cancelled(new_task)
    await new.resign()


async def test_a_leader_that_was_killed_and_is_back_before_its_check_failed_leads_again(
    client: ConsulClient, consul: tuple[Ports, Part]
) -> None:
    port = consul[0].consul_http
    await client.register(passing("again", consul[0]))
    lives = [
        ConsulLock(client, "t/again", service="again", instance="again", address="127.0.0.1", port=port)
        for _ in range(2)
    ]
    first = asyncio.create_task(lives[0].run())
    await until(lambda: lives[0].leader)
    await cancelled(first)  # as by kill -9: nothing is given back, and the check goes on passing
    second = asyncio.create_task(lives[1].run())
    await until(lambda: lives[1].leader)
    assert lives[1].term > lives[0].term
    await cancelled(second)
    await lives[1].resign()


async def test_without_consul_a_write_certainly_did_not_happen_and_a_watch_keeps_its_answer(
    tmp_path: Path,
) -> None:
    with running_consul(tmp_path) as (ports, part):
        client = ConsulClient(f"127.0.0.1:{ports.consul_http}")
        await client.kv_put("k", b"kept")
        watch = KeyWatch(client, "k")
        watch.start()
        await until(lambda: watch.value[0] == b"kept")
        part.stop()
        await until(lambda: watch.stale_s > 0.0)  # the client has seen its connections end
        with pytest.raises(ConsulUnavailable):
            await client.kv_put("k", b"lost")
        assert watch.value[0] == b"kept"
        part.start()
        await client.kv_put("k", b"new")
        await until(lambda: watch.value[0] == b"new" and watch.stale_s == 0.0)
        await watch.stop()
        await client.close()


async def test_a_write_that_gets_no_answer_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dronedispatch.runtime.consul.CALL_TIMEOUT_S", 0.3)
    with running_consul(tmp_path) as (ports, part):
        client = ConsulClient(f"127.0.0.1:{ports.consul_http}")
        await client.kv_put("k", b"1")
        assert part.process is not None
        send(part.process.pid, signal.SIGSTOP)
        with pytest.raises(ConsulUnknown):
            await client.kv_put("k", b"2")
        part.process.send_signal(signal.SIGCONT)
        await client.close()
