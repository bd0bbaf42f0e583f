"""A chaos run takes a copy only while each slot has all of its own."""

from __future__ import annotations

from typing import cast

import pytest
from loadtests.bench.chaos_copies import may_destroy, may_take, why_not_destroy, why_not_take
from loadtests.bench.running import Running

from dronedispatch.kv.slots import SLOTS
from dronedispatch.replication import view as views
from dronedispatch.replication.copies import Sighting
from dronedispatch.replication.view import Replica, View
from dronedispatch.runtime.discovery import Endpoint

ALL_ANSWER = {name: Sighting(f"{name}1") for name in "ABC"}


def view(*assigned: str) -> View:
    replicas = {name: Replica(f"http://{name}", f"{name}1") for name in "ABC"}
    names = [tuple(assigned[slot % len(assigned)]) for slot in range(SLOTS)]
    return views.bootstrap("c", replicas, 2, names, "x")


def test_a_copy_may_be_taken_where_every_slot_has_all_of_its_own() -> None:
    assert why_not_take(view("AB", "BC", "CA"), ALL_ANSWER) is None


@pytest.mark.parametrize("answer", [Sighting(None), Sighting("another disk")])
def test_no_copy_may_be_taken_while_one_does_not_answer(answer: Sighting) -> None:
    assert why_not_take(view("AB", "BC"), {**ALL_ANSWER, "A": answer}) == f"{SLOTS // 2} slots lack a copy"


def test_who_was_not_asked_is_not_there() -> None:
    assert why_not_take(view("AB"), {"B": Sighting("B1")}) == f"{SLOTS} slots lack a copy"


def test_no_copy_may_be_taken_while_one_is_voted_out() -> None:
    voted = views.vote_out(view("AB", "BC"), {"A": "A1"}, "y", seen=1)
    assert why_not_take(voted, ALL_ANSWER) == f"{SLOTS // 2} slots lack a copy"


def test_a_single_copy_is_never_taken() -> None:
    assert why_not_take(view("A"), ALL_ANSWER) == "a slot has one copy only"


def test_a_disk_is_destroyed_only_when_the_view_counts_on_it_for_nothing() -> None:
    whole = view("AB", "BC")
    assert why_not_destroy(whole, "A") == f"A is still in sync for {SLOTS // 2} slots"
    assert why_not_destroy(views.left(whole, "A", "y"), "A") is None


class StubRunning:
    """A system whose Consul holds `document`, and whose replicas answer with the disk that `disks` has by their port."""

    def __init__(self, document: bytes | None, disks: dict[int, str]) -> None:
        self.consul = self
        self._document = document
        self._disks = disks

    async def kv_get(self, _key: str, *, consistent: bool) -> tuple[object, bytes | None, int]:
        assert consistent
        return None, self._document, 1

    async def health(self, endpoint: Endpoint) -> dict[str, object] | None:
        disk = self._disks.get(endpoint.port)
        return None if disk is None else {"disk": disk}


def running(document: bytes | None, disks: dict[int, str]) -> Running:
    return cast(Running, StubRunning(document, disks))


def placed() -> bytes:
    replicas = {name: Replica(f"http://127.0.0.1:{port}", f"{name}1") for name, port in (("A", 1), ("B", 2))}
    return views.encode(views.bootstrap("c", replicas, 2, [("A", "B")] * SLOTS, "x"))


async def test_consul_and_every_replica_are_asked_before_a_copy_is_taken() -> None:
    assert await may_take(running(placed(), {1: "A1", 2: "B1"})) is None
    assert await may_take(running(placed(), {1: "A1"})) == f"{SLOTS} slots lack a copy"
    assert await may_take(running(None, {})) == "the view cannot be read"


async def test_consul_is_asked_before_a_disk_is_destroyed() -> None:
    assert await may_destroy(running(placed(), {}), "A") == f"A is still in sync for {SLOTS} slots"
    assert await may_destroy(running(placed(), {}), "C") is None
    assert await may_destroy(running(b"{}", {}), "A") == "the view cannot be read"
