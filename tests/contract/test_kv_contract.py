"""What every KVClient promises, whoever stands behind it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeVar

import pytest

from dronedispatch.kv.client import Cas, Delete, Get, Item, KVClient, Lease, Put
from dronedispatch.kv.errors import Fenced, LockHeld, Refused, Unauthorized, Unavailable, VersionConflict
from dronedispatch.kv.http import server as http_server
from dronedispatch.kv.version import Version
from dronedispatch.runtime.settings import ProcessSettings, Secret
from dronedispatch.runtime.web import create_web
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.serving import serving
from support.store_client import client_of, over_http
from support.store_parts import TOKEN, Store, running_store
from support.waiting import until_true

Opened = AbstractAsyncContextManager[KVClient]
T = TypeVar("T")
NUMBERS = itertools.count(1)


@asynccontextmanager
async def memory() -> AsyncIterator[KVClient]:
    yield MemoryKV()


@asynccontextmanager
async def memory_over_http(token: str = TOKEN) -> AsyncIterator[KVClient]:
    app = create_web("kvfront", ProcessSettings(store_token=Secret(TOKEN)), ready=lambda: None)
    twin = MemoryKV()
    http_server.add_routes(app, lambda: twin)
    async with serving(app) as port, over_http(("127.0.0.1", port), token=token) as kv:
        yield kv


@pytest.fixture(scope="module")
def replicated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with running_store(tmp_path_factory.mktemp("replicated"), rf=2) as store:
        yield store


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with running_store(tmp_path_factory.mktemp("single"), rf=1, replicas=1, fronts=0) as store:
        yield store


@pytest.fixture(
    params=[
        "memory",
        "memory_over_http",
        pytest.param("kvfront", marks=pytest.mark.real),
        pytest.param("kvstore", marks=pytest.mark.real),
    ]
)
async def kv(request: pytest.FixtureRequest) -> AsyncIterator[KVClient]:
    """The memory twin, the same behind HTTP, coordinators over three replicas, one replica by itself."""
    if request.param == "kvfront":
        store: Store = request.getfixturevalue("replicated")
        opened: Opened = client_of(store, "f1", "f2")
    elif request.param == "kvstore":
        store = request.getfixturevalue("single")
        opened = client_of(store, "r1")
    else:
        opened = {"memory": memory, "memory_over_http": memory_over_http}[request.param]()
    async with opened as client:
        yield client


@pytest.fixture
def name() -> str:
    """A prefix that no other test uses: some stores outlive one test."""
    return f"t{next(NUMBERS)}"


async def value_of(kv: KVClient, key: str) -> bytes:
    found = await kv.get(key)
    assert found is not None
    assert found.key == key
    return found.value


async def test_an_absent_key_is_none(kv: KVClient, name: str) -> None:
    assert await kv.get(f"{name}/absent") is None


async def test_a_put_is_read_back_with_version_value_and_tags(kv: KVClient, name: str) -> None:
    version = await kv.put(name, b"\x00\xffvalue", tags=("status=pending", "open=1"))
    assert await kv.get(name) == Item(name, version, b"\x00\xffvalue", ("status=pending", "open=1"))


async def test_versions_of_a_key_increase(kv: KVClient, name: str) -> None:
    versions = [await kv.put(name, b"%d" % n) for n in range(3)]
    await kv.delete(name)
    versions.append(await kv.put(name, b"again"))
    assert versions == sorted(set(versions))


@pytest.mark.parametrize(
    "key", ["a/b c", "ü", "%41", "..", "a?b#c", "cas", "batch", "x" * 400, "/", "é" * 200]
)
async def test_any_text_up_to_400_bytes_is_a_key(kv: KVClient, name: str, key: str) -> None:
    await kv.put(key, name.encode())
    assert await value_of(kv, key) == name.encode()


async def test_a_value_of_one_mebibyte_is_stored(kv: KVClient, name: str) -> None:
    value = random.Random(1).randbytes(1024 * 1024)
    await kv.put(name, value)
    assert await value_of(kv, name) == value


async def test_cas_writes_only_over_the_expected_version(kv: KVClient, name: str) -> None:
    first = await kv.cas(name, None, b"one")
    with pytest.raises(VersionConflict) as conflict:
        await kv.cas(name, None, b"two")
    assert conflict.value.current == Item(name, first, b"one")
    second = await kv.cas(name, first, b"two")
    with pytest.raises(VersionConflict):
        await kv.cas(name, first, b"three")
    assert await kv.get(name) == Item(name, second, b"two")


async def test_a_cas_on_an_absent_key_with_a_version_conflicts_with_nothing(kv: KVClient, name: str) -> None:
    with pytest.raises(VersionConflict) as conflict:
        await kv.cas(name, Version(1, 7), b"x")
    assert conflict.value.current is None


async def test_a_keyed_retry_finds_its_own_write(kv: KVClient, name: str) -> None:
    write_id = name.encode().ljust(16)
    first = await kv.cas(name, None, b"one", write_id=write_id)
    assert await kv.cas(name, None, b"one", write_id=write_id) == first


async def test_a_deleted_key_is_absent_and_can_be_created_again(kv: KVClient, name: str) -> None:
    await kv.put(name, b"one")
    await kv.delete(name)
    assert await kv.get(name) is None
    await kv.cas(name, None, b"two")


async def test_deleting_an_absent_key_is_done_already(kv: KVClient, name: str) -> None:
    await kv.delete(name)
    assert await kv.get(name) is None


async def test_a_conditional_delete_wants_its_version(kv: KVClient, name: str) -> None:
    first = await kv.put(name, b"one")
    second = await kv.put(name, b"two")
    with pytest.raises(VersionConflict):
        await kv.delete(name, first)
    await kv.delete(name, second)
    assert await kv.get(name) is None


async def test_a_batch_gives_each_operation_its_own_outcome_in_order(kv: KVClient, name: str) -> None:
    version = await kv.put(f"{name}/a", b"a")
    results = await kv.batch(
        [
            Get(f"{name}/a"),
            Get(f"{name}/absent"),
            Put(f"{name}/b", b"b"),
            Cas(f"{name}/a", None, b"no"),
            Put("", b"empty key"),
            Delete(f"{name}/c"),
        ]
    )
    assert results[0] == Item(f"{name}/a", version, b"a")
    assert results[1] is None
    assert isinstance(results[2], Version)
    assert isinstance(results[3], VersionConflict)
    assert isinstance(results[4], Refused)
    assert results[5] is None


async def test_of_a_pair_the_second_is_written_once_the_first_is_stored(kv: KVClient, name: str) -> None:
    first, second = await kv.pair(
        Cas(f"{name}/a", None, b"1"), Cas(f"{name}/b", None, b"2", tags=(f"of={name}",))
    )
    assert isinstance(first, Version)
    assert isinstance(second, Version)
    assert await kv.get(f"{name}/a") == Item(f"{name}/a", first, b"1")
    assert await kv.get(f"{name}/b") == Item(f"{name}/b", second, b"2", (f"of={name}",))


async def test_of_a_pair_whose_first_conflicts_nothing_is_written(kv: KVClient, name: str) -> None:
    held = await kv.put(f"{name}/a", b"before")
    first, second = await kv.pair(Cas(f"{name}/a", None, b"1"), Put(f"{name}/b", b"2"))
    assert isinstance(first, VersionConflict)
    assert first.current == Item(f"{name}/a", held, b"before")
    assert isinstance(second, Unavailable)
    assert await kv.get(f"{name}/b") is None


async def test_of_a_pair_whose_second_conflicts_the_first_stays(kv: KVClient, name: str) -> None:
    await kv.put(f"{name}/b", b"before")
    first, second = await kv.pair(Cas(f"{name}/a", None, b"1"), Cas(f"{name}/b", None, b"2"))
    assert isinstance(first, Version)
    assert isinstance(second, VersionConflict)
    assert await kv.get(f"{name}/a") == Item(f"{name}/a", first, b"1")


async def test_of_a_pair_that_breaks_a_limit_nothing_is_written(kv: KVClient, name: str) -> None:
    with pytest.raises(Refused):
        await kv.pair(Put(f"{name}/a", b"1"), Put("x" * 401, b"2"))
    assert await kv.get(f"{name}/a") is None


async def test_a_lower_fence_is_refused_and_a_write_without_one_leaves_it(kv: KVClient, name: str) -> None:
    await kv.put(name, b"one", fence=Version(2, 5))
    await kv.put(name, b"two")
    with pytest.raises(Fenced):
        await kv.put(name, b"three", fence=Version(2, 4))
    await kv.put(name, b"four", fence=Version(2, 5))
    assert await value_of(kv, name) == b"four"


@pytest.mark.parametrize(
    ("key", "value", "tags", "status"),
    [
        ("x" * 401, b"", (), 414),
        ("", b"", (), 400),
        ("a\x00b", b"", (), 400),
        ("k", bytes(1024 * 1024 + 1), (), 413),
        ("k", b"", ("no-sign",), 400),
        ("k", b"", tuple(f"t{n}=1" for n in range(9)), 400),
        ("k", b"", ("t=" + "x" * 63,), 400),
    ],
)
async def test_what_breaks_a_limit_is_refused_with_its_status(
    kv: KVClient, key: str, value: bytes, tags: tuple[str, ...], status: int
) -> None:
    with pytest.raises(Refused) as refused:
        await kv.put(key, value, tags=tags)
    assert refused.value.status == status


@pytest.mark.parametrize("reverse", [False, True])
async def test_a_scan_walks_all_keys_of_a_prefix_in_pages(kv: KVClient, name: str, reverse: bool) -> None:
    keys = [f"{name}/{n:03d}" for n in range(25)]
    await kv.batch([Put(key, key.encode()) for key in keys])
    await kv.put(f"{name}0", b"behind the prefix")
    found: list[str] = []
    after = None
    for _ in range(4):
        page = await kv.scan(prefix=f"{name}/", after=after, limit=7, reverse=reverse)
        found += [item.key for item in page.items]
        after = page.next_after
    assert found == sorted(keys, reverse=reverse)
    assert after is None


async def test_a_scan_by_tag_finds_what_carries_it_now(kv: KVClient, name: str) -> None:
    tag = f"m={name}"
    await kv.batch([Put(f"{name}/{n}", b"", tags=(tag,)) for n in range(6)])
    await kv.put(f"{name}/1", b"", tags=("other=1",))
    await kv.delete(f"{name}/3")
    page = await kv.scan(tag=tag)
    assert [item.key for item in page.items] == [f"{name}/{n}" for n in (0, 2, 4, 5)]
    assert all(item.tags == (tag,) for item in page.items)
    assert (await kv.scan(tag=tag, prefix=f"{name}/4")).items[0].key == f"{name}/4"


async def test_an_unused_tag_is_an_empty_page(kv: KVClient, name: str) -> None:
    page = await kv.scan(tag=f"never={name}")
    assert (page.items, page.next_after) == ((), None)


async def test_a_lock_excludes_others_and_its_tokens_increase_for_ever(kv: KVClient, name: str) -> None:
    first = await kv.acquire(name, "me", 60_000)
    with pytest.raises(LockHeld) as held:
        await kv.acquire(name, "you", 60_000)
    assert held.value.owner == "me"
    renewed = await kv.renew(first)
    assert renewed.token >= first.token
    await kv.release(renewed)
    second = await kv.acquire(name, "you", 60_000)
    assert second.token > renewed.token


async def test_an_expired_lock_passes_on_and_its_old_lease_is_worth_nothing(kv: KVClient, name: str) -> None:
    old = await kv.acquire(name, "me", 50)

    async def taken() -> Lease:
        return await kv.acquire(name, "you", 60_000)

    new = await retried(taken, LockHeld)
    assert new.token > old.token
    with pytest.raises(LockHeld):
        await kv.renew(old)
    await kv.release(old)
    with pytest.raises(LockHeld):
        await kv.acquire(name, "third", 1_000)


async def test_the_owner_may_take_his_lock_again_with_a_new_token(kv: KVClient, name: str) -> None:
    first = await kv.acquire(name, "me", 60_000)
    again = await kv.acquire(name, "me", 60_000)
    assert again.token > first.token


async def test_of_many_concurrent_creates_exactly_one_succeeds(kv: KVClient, name: str) -> None:
    outcomes = await asyncio.gather(
        *(kv.cas(name, None, b"%d" % n) for n in range(20)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Version) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, VersionConflict) for outcome in outcomes) == 19


async def test_concurrent_increments_by_cas_lose_none(kv: KVClient, name: str) -> None:
    await kv.put(name, b"0")

    async def increment() -> Version:
        found = await kv.get(name)
        assert found is not None
        return await kv.cas(name, found.version, b"%d" % (int(found.value) + 1))

    await asyncio.gather(*(retried(increment, VersionConflict) for _ in range(8)))
    assert await value_of(kv, name) == b"8"


async def test_a_wrong_token_is_unauthorized() -> None:
    async with memory_over_http(token="wrong") as kv:
        with pytest.raises(Unauthorized):
            await kv.get("k")


async def retried(attempt: Callable[[], Awaitable[T]], error: type[Exception]) -> T:
    """The result of the first attempt that does not raise `error`."""
    found: list[T] = []

    async def succeeded() -> bool:
        with contextlib.suppress(error):
            found.append(await attempt())
        return bool(found)

    await until_true(succeeded, f"no {error.__name__}")
    return found[0]
