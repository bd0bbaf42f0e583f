"""A call that an older release does not know is sent only where the replica has said that it does."""

from __future__ import annotations

import pytest

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.replication.calls import TOO_OLD, AnyCall, Apply, Found, Relay, encode_replies
from dronedispatch.replication.links import Links
from dronedispatch.replication.replica_connection import KNOWS_RELAY
from unit.replication import test_links
from unit.replication.test_links import StubReceiver, StubReplica, put, read, response

pytestmark = pytest.mark.virtual_time
links, replica = test_links.links, test_links.replica


def relay(key: str) -> Relay:
    record = Record(Version(1, 1), bytes(16), 0.0, False, None, (), b"")
    return Relay("c", 1, "d", 0, key, record, Apply("c", 1, "d", 1, "behind", None, b"", bytes(16), 0.0))


def knowing(calls: list[AnyCall]) -> bytes:
    """A replica that says with each answer which calls it knows."""
    return response(encode_replies([Found(None) for _ in calls]), more=f"{KNOWS_RELAY.decode()}\r\n")


async def test_no_relay_is_sent_to_a_replica_that_has_not_said_that_it_knows_them(
    replica: StubReplica, links: Links
) -> None:
    receiver, link = StubReceiver(), links.get("r")
    assert link is not None
    link.put(relay("first"), receiver, 0)
    assert (await receiver.all_of(1))[0] == TOO_OLD
    assert replica.batches == []
    link.put(relay("second"), receiver, 1)
    put(links, receiver, 1, first=2)
    assert await receiver.all_of(3) == [TOO_OLD, TOO_OLD, Found(None)]
    assert replica.batches == [[read("k2")]]


async def test_a_relay_is_sent_over_a_connection_on_which_the_replica_said_that_it_knows_them(
    replica: StubReplica, links: Links
) -> None:
    receiver, link = StubReceiver(), links.get("r")
    assert link is not None
    replica.answer = knowing
    put(links, receiver, 1)
    await receiver.all_of(1)
    link.put(relay("second"), receiver, 1)
    assert await receiver.all_of(2) == [Found(None)] * 2
    assert replica.batches[1] == [relay("second")]


async def test_what_took_the_place_of_a_replica_has_not_said_what_it_knows(
    replica: StubReplica, links: Links
) -> None:
    receiver, link = StubReceiver(), links.get("r")
    assert link is not None
    replica.answer = lambda calls: knowing(calls).replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
    put(links, receiver, 1)
    await receiver.all_of(1)
    link.put(relay("second"), receiver, 1)
    assert (await receiver.all_of(2))[1] == TOO_OLD
