"""The wire: what is sent is what arrives, and anything else is refused."""

from __future__ import annotations

import pytest

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.replication import calls as c

STAMP = ("cluster", 7, "disk", 3)
RECORD = Record(Version(7, 2), bytes(16), 1.5, False, Version(1, 1), ("a=b",), b"\x00value")
CALLS: list[c.AnyCall] = [
    c.Apply(*STAMP, "k", c.MUST_EXIST, b"v", bytes(16), 1.0, tags=("a=b",), fence=Version(1, 9)),
    c.Apply(*STAMP, "k", None, b"", bytes(16), 1.0, tombstone=True),
    c.Lock(*STAMP, "lock/x", "acquire", "me", None, 1000, bytes(16), 1.0),
    c.Replicate(*STAMP, "k", RECORD),
    c.Read(*STAMP, "schlüssel"),
    c.Prepare(*STAMP, 8, (1, 2), "log", 4, 10, ("k",)),
    c.Purge(*STAMP, "k", Version(1, 2)),
    c.Scan(*STAMP, (3, 4), "p", None, None, 10, reverse=True, full=True),
    c.Locate(*STAMP, (3,)),
    c.Compare(*STAMP, "k", 10),
    c.Fetch(*STAMP, ("k", "l")),
    c.Follow(*STAMP, (3,), "log", 0, 10),
    c.Hint(*STAMP, "B", "k", RECORD),
    c.PullHints(*STAMP, "B", None, 10),
    c.DropHints(*STAMP, "B"),
    c.Relay(*STAMP, "k", RECORD, c.Apply(*STAMP, "l", None, b"", bytes(16), 1.0)),
]
REPLIES: list[c.AnyReply] = [
    c.Applied(RECORD),
    c.Mismatch(None, "version"),
    c.STORED,
    c.STORED_NEWER,
    c.Found(None),
    c.Changed((("k", None), ("l", RECORD)), 4, more=True, trimmed=False),
    c.Promised(c.Changed((), 0, more=False, trimmed=False), (None, Version(1, 1))),
    c.Purged(done=True),
    c.Scanned((("k", Version(1, 1), None),), more=False),
    c.Located("log", 4, (b"d",)),
    c.Compared((("k", Version(1, 1)),), more=False),
    c.Fetched((("k", RECORD),), more=False),
    c.WrongDisk("cluster", "other"),
    c.StaleEpoch(9, 8),
    c.JOINING,
    c.NO_SPACE,
    c.DAMAGED,
    c.Relayed(c.Applied(RECORD)),
    c.Relayed(c.Mismatch(None, "version")),
]


def test_a_batch_of_calls_comes_back_as_it_was() -> None:
    assert c.decode_calls(c.encode_calls(CALLS)) == CALLS


def test_a_batch_of_replies_comes_back_as_it_was() -> None:
    assert c.decode_replies(c.encode_replies(REPLIES)) == REPLIES


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x93\x01\x02\x03", c.encode_replies(REPLIES)])
def test_what_is_no_batch_of_calls_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        c.decode_calls(body)


def test_a_call_costs_less_than_a_hundred_bytes_beyond_its_value() -> None:
    assert len(c.encode_calls([c.Apply(*STAMP, "k", None, bytes(300), bytes(16), 1.0)])) < 400
