"""A page of a scan is bounded in bytes, too: with values of 1 MiB it would fit no answer."""

from __future__ import annotations

import asyncio
from typing import cast

from dronedispatch.kv.record import VALUE_BYTES_MAX, Record
from dronedispatch.kv.slots import SLOTS, slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvfront.coordinator import Coordinator
from dronedispatch.kvfront.core.scanning import Listing
from dronedispatch.kvfront.settings import Settings
from dronedispatch.kvstore.core.rules import execute
from dronedispatch.replication import calls as c
from dronedispatch.replication.calls import SCAN_BYTES
from dronedispatch.replication.driver import Driver
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.simulation.engine import MemoryEngine

FILLING = SCAN_BYTES // VALUE_BYTES_MAX
KEYS = [f"k{number:02d}" for number in range(FILLING + 3)]


def large() -> Record:
    return Record(Version(1, 1), bytes(16), 1.0, False, None, (), bytes(VALUE_BYTES_MAX))


class Listed:
    """A driver whose replicas have listed all of it."""

    def run(self, _steps: object) -> asyncio.Future[Listing]:
        done: asyncio.Future[Listing] = asyncio.get_running_loop().create_future()
        done.set_result(Listing(tuple((key, large()) for key in KEYS), None))
        return done


def listed(*, full: bool, limit: int = 500) -> c.Scanned:
    replica = MemoryEngine("c", "d")
    replica.raise_floor(1, 1)
    for key in KEYS:
        replica.put(key, slot_of(key), large())
    scan = c.Scan("c", 1, "d", 0, tuple(range(SLOTS)), None, None, None, limit, full=full)
    reply = execute(replica, scan, 0.0)
    assert isinstance(reply, c.Scanned)
    return reply


def test_a_replica_lists_so_many_bytes_and_says_that_there_is_more() -> None:
    page = listed(full=True)
    assert ([key for key, _, _ in page.entries], page.more) == (KEYS[:FILLING], True)


def test_versions_alone_are_bounded_by_their_number_only() -> None:
    page = listed(full=False)
    assert (len(page.entries), page.more) == (len(KEYS), False)


async def test_a_coordinator_answers_so_many_bytes_however_many_replicas_have_listed() -> None:
    coordinator = Coordinator(cast(Driver, Listed()), FakeClock(), Settings(), lambda: None)
    page = await coordinator.scan()
    assert ([item.key for item in page.items], page.next_after) == (KEYS[:FILLING], KEYS[FILLING - 1])
