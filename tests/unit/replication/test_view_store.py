"""What a process says of the view in Consul follows what is there, whichever way it looks."""

from __future__ import annotations

from typing import Any, cast

import pytest

from dronedispatch.replication import view as views
from dronedispatch.replication.hashing import assignment
from dronedispatch.replication.view import Replica
from dronedispatch.replication.view_store import ViewStore
from dronedispatch.runtime.consul import ConsulClient
from support.waiting import until

VIEW = views.encode(views.bootstrap("c", {"A": Replica("http://A", "A1")}, 1, assignment(("A",), 1), "me"))


class Consul:
    """One key; a watch is told its next value when `put` has been called."""

    def __init__(self, document: bytes | None) -> None:
        self.document = document
        self.index = 1

    async def kv_get(self, _key: str, *, index: int = 0, consistent: bool) -> tuple[int, bytes | None, int]:
        assert consistent is (index == 0)
        await until(lambda: self.index > index, "another value")
        return self.index, self.document, self.index

    def put(self, document: bytes | None) -> None:
        self.document = document
        self.index += 1


def store_of(consul: Consul) -> ViewStore:
    return ViewStore(cast(ConsulClient, cast(Any, consul)), probe_name="p")


@pytest.mark.parametrize("then", [None, VIEW], ids=["deleted", "mended"])
async def test_garbage_is_told_of_until_it_is_gone(then: bytes | None) -> None:
    consul = Consul(b"garbage")
    store = store_of(consul)
    assert await store.read() is None
    assert store.unreadable is not None
    consul.put(then)
    assert await store.read() is not None
    assert store.unreadable is None


async def test_a_watch_hears_that_garbage_was_deleted() -> None:
    consul = Consul(VIEW)
    store = store_of(consul)
    store.start()
    await until(lambda: store.cached is not None, "a view is there")
    consul.put(b"garbage")
    await until(lambda: store.unreadable is not None, "it is told")
    assert not store.missing
    consul.put(None)
    await until(lambda: store.missing, "it is gone")
    assert store.unreadable is None
    await store.stop()
