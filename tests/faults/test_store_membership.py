"""Replicas come, go, fill up and forget, under traffic: no operation fails, and nothing is lost."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from dronedispatch.kv.client import Put
from dronedispatch.kv.errors import KVError
from support.store_client import client_of
from support.store_faults import full_disk, unmount, wait_whole
from support.store_parts import Store, running_store
from support.store_workload import Workload
from support.waiting import wait_until

PATIENT = {"KVFRONT_CALL_TIMEOUT_S": "2.5", "KVFRONT_DEADLINE_S": "4.5"}
"""A machine that is busy with other tests must not look like a replica that is silent."""

pytestmark = [pytest.mark.real, pytest.mark.netns]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with running_store(
        tmp_path / "store", rf=2, replicas=3, fronts=2, namespaces=True, settings=PATIENT
    ) as running:
        yield running


@asynccontextmanager
async def traffic(store: Store) -> AsyncIterator[Workload]:
    """Clients at work for the length of the block; afterwards the history must be linearizable."""
    workload = Workload(lambda: [store.address(name) for name in ("f1", "f2")], clients=6, seed=9)
    workload.start()
    await workload.goes_on(50)
    yield workload
    await workload.goes_on(50)
    await workload.finish()
    assert workload.why_not() is None
    assert workload.operations > 100


def keys_of(store: Store, name: str) -> int:
    keys = store.state(name).get("keys", 0)
    assert isinstance(keys, int)
    return keys


async def test_a_fourth_replica_joins_takes_slots_and_leaves_again_without_a_failed_operation(
    store: Store,
) -> None:
    async with client_of(store, "f1", "f2") as kv:
        results = await kv.batch([Put(f"stay{n}", b"x" * 300) for n in range(2_000)])
        assert not [result for result in results if isinstance(result, KVError)]
        async with traffic(store) as workload:
            await asyncio.to_thread(store.add("kvstore", "r4").start)
            await asyncio.to_thread(
                wait_until, lambda: "r4" in store.registered("kvstore"), "r4 passes in Consul"
            )
            said = await asyncio.to_thread(store.kvctl, "rebalance")
            assert "over r1, r2, r3, r4" in said
            assert "settled" in said
            assert keys_of(store, "r4") > 500
            assert "all replicas agree" in await asyncio.to_thread(store.kvctl, "verify")
            assert "may be stopped" in await asyncio.to_thread(store.kvctl, "drain", "r4")
            await asyncio.to_thread(
                wait_until, lambda: keys_of(store, "r4") == 0, "r4 has forgotten its keys"
            )
            await asyncio.to_thread(store.parts["r4"].stop, signal.SIGTERM)
        assert workload.outcomes["refused"] == 0, workload.outcomes
        assert workload.outcomes["unknown"] == 0, workload.outcomes
        found = [await kv.get(f"stay{n}") for n in range(0, 2_000, 97)]
        assert all(item is not None and item.value == b"x" * 300 for item in found)


async def test_a_replica_that_lost_its_disk_is_refilled(store: Store) -> None:
    async with client_of(store, "f1", "f2") as kv:
        await kv.batch([Put(f"stay{n}", b"x" * 300) for n in range(3_000)])
        held = keys_of(store, "r2")
        async with traffic(store):
            await asyncio.to_thread(store.parts["r2"].stop, signal.SIGKILL)
            store.wipe("r2")
            await asyncio.to_thread(store.parts["r2"].start)
            await asyncio.to_thread(wait_whole, store)
        assert keys_of(store, "r2") >= held
        assert "all replicas agree" in store.kvctl("verify")


async def test_a_graceful_restart_of_every_replica_in_turn_fails_no_operation(store: Store) -> None:
    async with traffic(store) as workload:
        for name in ("r1", "r2", "r3"):
            await asyncio.to_thread(store.parts[name].stop, signal.SIGTERM)
            await asyncio.to_thread(store.parts[name].start)
            await asyncio.to_thread(wait_whole, store)
    assert workload.outcomes["refused"] == 0, workload.outcomes
    assert workload.outcomes["unknown"] == 0, workload.outcomes


async def test_a_write_cut_by_sigterm_is_there_or_was_never_acknowledged(store: Store) -> None:
    async with traffic(store):
        await asyncio.to_thread(store.parts["f1"].stop, signal.SIGTERM)
        await asyncio.to_thread(store.parts["f1"].start)


async def test_hints_wait_for_an_absent_replica_and_are_gone_when_it_is_back(store: Store) -> None:
    async with client_of(store, "f1", "f2") as kv:
        await asyncio.to_thread(store.parts["r3"].stop, signal.SIGKILL)
        await kv.batch([Put(f"h{n}", b"hinted") for n in range(300)])
        await asyncio.to_thread(wait_until, lambda: "r3" in store.absent(), "r3 is voted out")
        await kv.batch([Put(f"h{n}", b"hinted again") for n in range(300)])
        kept = [store.state(name)["hint_bytes"] for name in ("r1", "r2")]
        assert sum(size for size in kept if isinstance(size, int)) > 10_000
        await asyncio.to_thread(store.parts["r3"].start)
        await asyncio.to_thread(wait_whole, store)
        await asyncio.to_thread(
            wait_until,
            lambda: all(store.state(name)["hint_bytes"] == 0 for name in ("r1", "r2")),
            "the hints are dropped",
        )


def fill(store: Store, name: str) -> Path:
    """A file beside its data that takes every byte of the file system."""
    filler = store.data[name] / "somebody-else's"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(65_536)):
            pass
    assert os.statvfs(store.data[name]).f_bavail == 0
    return filler


def says_full(store: Store) -> bool:
    return b"disk_full" in (store.get("f1", "/health") or b"")


async def test_a_full_disk_leaves_the_set_and_comes_back_with_room(tmp_path: Path) -> None:
    settings = {"KVSTORE_DISK_RESERVE_BYTES": str(4 * 1024 * 1024)}
    with running_store(
        tmp_path / "store", rf=2, replicas=2, fronts=1, namespaces=True, settings=settings
    ) as store:
        r1 = store.parts["r1"]
        await asyncio.to_thread(r1.stop, signal.SIGTERM)
        store.wipe("r1")
        full_disk(store, "r1", "24m")
        try:
            await asyncio.to_thread(r1.start)
            await asyncio.to_thread(wait_whole, store)
            async with client_of(store, "f1") as kv:
                filler = await asyncio.to_thread(fill, store, "r1")
                results = [await kv.put(f"big{n}", bytes(100_000)) for n in range(40)]
                assert len(results) == 40
                assert "r1" in store.absent()
                await asyncio.to_thread(wait_until, lambda: says_full(store), "health tells the full disk")
                assert r1.process is not None
                assert r1.process.poll() is None
                pid = r1.process.pid
                filler.unlink()
                await asyncio.to_thread(wait_whole, store)
                await asyncio.to_thread(
                    wait_until, lambda: not says_full(store), "health tells that it is over"
                )
                assert r1.process.poll() is None
                assert r1.process.pid == pid
                filler = await asyncio.to_thread(fill, store, "r1")
                await kv.put("one more", bytes(100_000))
                await asyncio.to_thread(r1.stop, signal.SIGKILL)
                await asyncio.to_thread(r1.start)  # on a disk without a byte of room
                await asyncio.to_thread(wait_until, lambda: says_full(store), "health tells it again")
                filler.unlink()
                await asyncio.to_thread(wait_whole, store)
                await kv.put("and one more", b"v")
            assert "Traceback" not in (store.folder / "r1.log").read_text()
        finally:
            r1.stop(signal.SIGKILL)
            unmount(store, "r1")


async def test_with_the_last_disk_full_a_write_is_507_and_reads_go_on(tmp_path: Path) -> None:
    settings = {"KVSTORE_DISK_RESERVE_BYTES": str(1 << 50)}
    with running_store(tmp_path / "store", rf=1, replicas=1, fronts=1, settings=settings) as store:
        async with client_of(store, "f1") as kv:
            with pytest.raises(KVError) as refused:
                await kv.put("k", b"v")
            assert getattr(refused.value, "status", None) == 507
            assert await kv.get("k") is None


async def test_a_flipped_bit_is_repaired_from_the_other_copy(tmp_path: Path) -> None:
    settings = {"KVSTORE_CACHE_ITEMS_MAX": "1"}
    with running_store(tmp_path / "store", rf=2, replicas=2, fronts=1, settings=settings) as store:
        marker = b"find-me-on-disk-" + b"y" * 200
        async with client_of(store, "f1") as kv:
            await kv.put("k", marker)
            data = store.data["r1"] / "data.mdb"
            await asyncio.to_thread(
                wait_until, lambda: marker in data.read_bytes(), "it has left the journal"
            )
            await asyncio.to_thread(store.parts["r1"].stop, signal.SIGKILL)
            content = data.read_bytes()
            damaged = content.replace(marker, marker.replace(b"yyyy", b"yyyz", 1))
            with data.open("r+b") as file:
                file.write(damaged)
            await asyncio.to_thread(store.parts["r1"].start)
            await asyncio.to_thread(wait_whole, store)
            found = await kv.get("k")
            assert found is not None
            assert found.value == marker
            await asyncio.to_thread(
                wait_until, lambda: marker in data.read_bytes(), "the record is repaired on disk"
            )
            await asyncio.to_thread(wait_whole, store)
            assert "all replicas agree" in await asyncio.to_thread(store.kvctl, "verify")


async def test_every_read_and_write_batched_ones_too_goes_through_the_cache_and_is_counted(
    tmp_path: Path,
) -> None:
    with running_store(tmp_path / "store", rf=1, replicas=1, fronts=1) as store:

        def counted() -> dict[str, int]:
            cache = store.state("r1")["cache"]
            assert isinstance(cache, dict)
            return cache

        async with client_of(store, "f1") as kv:
            await kv.batch([Put(f"k{n}", b"v") for n in range(50)])
            after_puts = counted()
            assert after_puts["writes"] >= 50
            for n in range(50):
                assert await kv.get(f"k{n}") is not None
            after_gets = counted()
            assert after_gets["hits"] - after_puts["hits"] == 50
            assert after_gets["misses"] == after_puts["misses"]
            await kv.get("never there")
            assert counted()["misses"] == after_gets["misses"] + 1
