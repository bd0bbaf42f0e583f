"""The replica's rules R1 to R8 on one transaction of the memory engine (the LMDB engine runs the same in its own tests)."""

from __future__ import annotations

import pytest

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.core import rules
from dronedispatch.kvstore.core.rules import execute
from dronedispatch.replication import calls as c
from dronedispatch.testing.simulation.engine import MemoryEngine

E, D = "cluster", "disk"
ID = b"write-id-of-16-b"


def engine(floor: int = 5) -> MemoryEngine:
    made = MemoryEngine(E, D)
    made.raise_floor(floor, floor)
    return made


def apply(
    on: MemoryEngine,
    key: str = "k",
    *,
    epoch: int = 5,
    expected: Version | None = None,
    write_id: bytes = ID,
    fence: Version | None = None,
    tombstone: bool = False,
    value: bytes = b"v",
) -> c.AnyReply:
    call = c.Apply(E, epoch, D, 0, key, expected, value, write_id, 1.0, tombstone=tombstone, fence=fence)
    return execute(on, call, 0.0)


def record(version: Version, *, tombstone: bool = False, fence: Version | None = None) -> Record:
    return Record(version, b"another-write-id", 1.0, tombstone, fence, (), b"")


def read(on: MemoryEngine, key: str = "k") -> Record | None:
    reply = execute(on, c.Read(E, on.floor, D, 0, key), 0.0)
    assert isinstance(reply, c.Found)
    return reply.record


@pytest.mark.parametrize(("cluster", "disk"), [("other", D), (E, "other")])
def test_r1_another_cluster_or_disk_is_refused_and_changes_nothing(cluster: str, disk: str) -> None:
    on = engine()
    call = c.Apply(cluster, 9, disk, 0, "k", None, b"", ID, 1.0)
    assert execute(on, call, 0.0) == c.WrongDisk(E, D)
    assert (on.floor, on.get("k")) == (5, None)


def test_r2_an_epoch_below_the_floor_is_refused_with_floor_and_published() -> None:
    on = engine()
    execute(on, c.Prepare(E, 5, D, 0, 8, (0,), "", 0, 0), 0.0)
    assert apply(on, epoch=7) == c.StaleEpoch(floor=8, published=5)
    assert on.get("k") is None


def test_r3_a_later_epoch_raises_floor_and_published_even_by_a_read() -> None:
    on = engine()
    execute(on, c.Read(E, 7, D, 0, "k"), 0.0)
    assert (on.floor, on.published) == (7, 7)


def test_r3_an_epoch_that_was_promised_becomes_published_when_it_is_used() -> None:
    on = engine()
    execute(on, c.Prepare(E, 5, D, 0, 8, (0,), "", 0, 0), 0.0)
    execute(on, c.Read(E, 8, D, 0, "k"), 0.0)
    assert (on.floor, on.published) == (8, 8)


def test_r4_a_write_gets_the_epoch_of_its_call_and_the_next_number_of_its_key() -> None:
    on = engine()
    first, second = apply(on), apply(on, epoch=6, write_id=b"second-write-id-")
    assert isinstance(first, c.Applied)
    assert isinstance(second, c.Applied)
    assert (first.record.version, second.record.version) == (Version(5, 1), Version(6, 2))


def test_r4_the_same_write_again_finds_itself_whatever_its_condition() -> None:
    on = engine()
    first = apply(on, expected=c.MUST_BE_ABSENT)
    assert apply(on, expected=c.MUST_BE_ABSENT) == first


@pytest.mark.parametrize(
    ("stored", "expected", "holds"),
    [
        (None, None, True),
        (None, c.MUST_BE_ABSENT, True),
        (None, c.MUST_EXIST, False),
        (None, Version(4, 1), False),
        (record(Version(4, 1)), c.MUST_BE_ABSENT, False),
        (record(Version(4, 1)), c.MUST_EXIST, True),
        (record(Version(4, 1)), Version(4, 1), True),
        (record(Version(4, 1)), Version(4, 2), False),
        (record(Version(4, 1), tombstone=True), c.MUST_BE_ABSENT, True),
        (record(Version(4, 1), tombstone=True), c.MUST_EXIST, False),
        (record(Version(4, 1), tombstone=True), Version(4, 1), False),
    ],
)
def test_r4_conditions(stored: Record | None, expected: Version | None, holds: bool) -> None:
    on = engine()
    if stored is not None:
        on.put("k", 0, stored)
    reply = apply(on, expected=expected)
    if holds:
        assert isinstance(reply, c.Applied)
        assert reply.record.version.n == (2 if stored is not None else 1)
    else:
        assert reply == c.Mismatch(stored, "version")
        assert on.get("k") == stored


@pytest.mark.parametrize(
    ("seen", "shown", "kept"),
    [
        (None, Version(2, 1), Version(2, 1)),
        (Version(2, 1), None, Version(2, 1)),
        (Version(2, 1), Version(2, 1), Version(2, 1)),
        (Version(2, 1), Version(3, 1), Version(3, 1)),
    ],
)
def test_r4_the_highest_fence_stays(seen: Version | None, shown: Version | None, kept: Version) -> None:
    on = engine()
    on.put("k", 0, record(Version(4, 1), fence=seen))
    reply = apply(on, fence=shown)
    assert isinstance(reply, c.Applied)
    assert reply.record.fence == kept


def test_r4_a_lower_fence_is_refused_even_over_a_tombstone() -> None:
    on = engine()
    dead = record(Version(4, 1), tombstone=True, fence=Version(3, 1))
    on.put("k", 0, dead)
    assert apply(on, fence=Version(2, 9)) == c.Mismatch(dead, "fenced")


def test_r5_stores_what_is_newer_and_says_when_it_was_not() -> None:
    on = engine()

    def replicate(version: Version) -> c.AnyReply:
        return execute(on, c.Replicate(E, 5, D, 0, "k", record(version)), 0.0)

    assert replicate(Version(4, 2)) == c.STORED
    assert replicate(Version(4, 2)) == c.STORED
    assert replicate(Version(4, 1)) == c.STORED_NEWER
    assert replicate(Version(5, 1)) == c.STORED
    assert read(on) == record(Version(5, 1))


def test_r7_a_promise_is_kept_and_is_never_lowered() -> None:
    on = engine()
    execute(on, c.Prepare(E, 5, D, 0, 9, (0,), "", 0, 0), 0.0)
    assert on.floor == 9
    assert isinstance(execute(on, c.Prepare(E, 5, D, 0, 7, (0,), "", 0, 0), 0.0), c.StaleEpoch)
    assert on.floor == 9


def test_r7_tells_a_joiner_what_has_changed_since_and_where_the_log_stands() -> None:
    on = engine()
    log, lsn = on.log_position()
    apply(on, "key28")
    reply = execute(on, c.Prepare(E, 5, D, 0, 6, (0,), log, lsn, 10), 0.0)
    assert isinstance(reply, c.Promised)
    assert [key for key, _ in reply.changed.entries] == ["key28"]
    assert reply.changed.lsn == 1


def test_r7_offers_no_tombstone_that_keeps_a_fence_for_purging() -> None:
    on = engine()
    on.put("a", 0, record(Version(4, 1), tombstone=True))
    on.put("b", 0, record(Version(4, 1), tombstone=True, fence=Version(1, 1)))
    on.put("c", 0, record(Version(4, 1)))
    reply = execute(on, c.Prepare(E, 5, D, 0, 6, (0,), "", 0, 0, ("a", "b", "c", "d")), 0.0)
    assert isinstance(reply, c.Promised)
    assert reply.versions == (Version(4, 1), None, None, None)


@pytest.mark.parametrize(
    ("stored", "done"),
    [
        (None, False),
        (record(Version(4, 1)), False),
        (record(Version(4, 2), tombstone=True), False),
        (record(Version(4, 1), tombstone=True), True),
    ],
)
def test_r8_removes_exactly_that_tombstone(stored: Record | None, done: bool) -> None:
    on = engine()
    if stored is not None:
        on.put("k", 0, stored)
    assert execute(on, c.Purge(E, 5, D, 0, "k", Version(4, 1)), 0.0) == c.Purged(done)
    assert on.get("k") == (None if done else stored)


def relay(record: Record, *, epoch: int = 5, disk: str = D, expected: Version | None = None) -> c.Relay:
    """`record` of "k" in slot 0, and behind it "l" in slot 1."""
    return c.Relay(E, 5, D, 0, "k", record, c.Apply(E, epoch, disk, 1, "l", expected, b"", ID, 1.0))


def test_a_relay_stores_the_record_and_applies_behind_it() -> None:
    on = engine()
    told = execute(on, relay(record(Version(5, 1))), 0.0)
    assert told == c.Relayed(c.Applied(read(on, "l")))  # type: ignore[arg-type]
    assert read(on) == record(Version(5, 1))


def test_a_relay_whose_condition_fails_stores_the_record_all_the_same() -> None:
    on = engine()
    told = execute(on, relay(record(Version(5, 1)), expected=c.MUST_EXIST), 0.0)
    assert told == c.Relayed(c.Mismatch(None, "version"))
    assert read(on) == record(Version(5, 1))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (relay(record(Version(5, 1)), epoch=4), c.StaleEpoch(5, 5)),
        (relay(record(Version(5, 1)), disk="other"), c.WrongDisk(E, D)),
    ],
)
def test_a_relay_of_which_one_half_is_refused_does_neither(call: c.Relay, told: c.AnyReply) -> None:
    on = engine()
    assert execute(on, call, 0.0) == told
    assert (read(on), read(on, "l")) == (None, None)


@pytest.mark.parametrize("filled", [0, 1])
def test_a_relay_waits_for_both_slots_to_be_filled(filled: int) -> None:
    on = engine()
    on.set_joining({filled})
    assert execute(on, relay(record(Version(5, 1))), 0.0) == c.JOINING
    assert (on.get("k"), on.get("l")) == (None, None)


def test_a_relay_that_finds_a_damaged_record_applies_nothing_behind_it() -> None:
    on = engine()
    apply(on)
    on.damage("k")
    assert execute(on, relay(record(Version(5, 2))), 0.0) == c.DAMAGED
    assert read(on, "l") is None


@pytest.mark.parametrize(
    "call",
    [
        c.Read(E, 5, D, 0, "k"),
        c.Replicate(E, 5, D, 0, "k", record(Version(4, 1))),
        c.Apply(E, 5, D, 0, "k", None, b"", ID, 1.0),
        c.Prepare(E, 5, D, 0, 6, (1, 0), "", 0, 0),
        c.Scan(E, 5, D, 1, (1, 0), None, None, None, 10),
        c.Locate(E, 5, D, 1, (1, 0)),
        c.Compare(E, 5, D, 0, None, 10),
    ],
)
def test_a_slot_that_is_being_filled_answers_joining_and_nothing_is_done(call: c.AnyCall) -> None:
    on = engine()
    on.set_joining({0})
    assert execute(on, call, 0.0) == c.JOINING
    assert (on.floor, on.get("k")) == (5, None)


def test_a_joiner_may_read_at_an_epoch_that_the_member_has_left_behind() -> None:
    assert isinstance(execute(engine(), c.Follow(E, 1, D, 0, (0,), "log", 0, 10), 0.0), c.Changed)


def test_a_scan_lists_values_in_order_within_its_limit_and_says_that_there_is_more() -> None:
    on = engine()
    for key in ("key28", "key38", "key56"):
        apply(on, key, write_id=key.encode().ljust(16))
    scan = c.Scan(E, 5, D, 0, tuple(range(64)), "key", None, None, 2, full=True)
    reply = execute(on, scan, 0.0)
    assert isinstance(reply, c.Scanned)
    assert ([key for key, _, _ in reply.entries], reply.more) == (["key28", "key38"], True)


def test_hints_keep_the_newest_of_a_key_and_are_dropped_at_once() -> None:
    on = engine()
    for version in (Version(4, 1), Version(4, 3), Version(4, 2)):
        execute(on, c.Hint(E, 5, D, 0, "B", "k", record(version)), 0.0)
    pull = c.PullHints(E, 1, D, 0, "B", None, 10)
    assert execute(on, pull, 0.0) == c.Fetched((("k", record(Version(4, 3))),), more=False)
    execute(on, c.DropHints(E, 5, D, 0, "B"), 0.0)
    assert execute(on, pull, 0.0) == c.Fetched((), more=False)


LARGE = [("key28", b"a" * 1000), ("key38", b"b" * 1000), ("key56", b"c" * 5000), ("key57", b"d")]
SLOTS_OF_ALL = tuple(range(64))


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> MemoryEngine:
    """Two records fill a page, and one is larger than a page."""
    monkeypatch.setattr(rules, "PAGE_BYTES", 2500)
    on = engine()
    for key, value in LARGE:
        apply(on, key, value=value, write_id=key.encode().ljust(16))
        on.keep_hint("B", key, Record(Version(4, 1), ID, 1.0, False, None, (), value))
    return on


def keys_of(reply: c.AnyReply) -> tuple[list[str], bool]:
    assert isinstance(reply, c.Fetched | c.Changed)
    return [key for key, _ in reply.entries], reply.more


def test_fetched_records_end_at_the_bytes_that_a_joiner_takes(large: MemoryEngine) -> None:
    keys = tuple(key for key, _ in LARGE)
    pages = []
    while keys:
        page, more = keys_of(execute(large, c.Fetch(E, 5, D, 0, keys, 2500), 0.0))
        pages.append(page)
        assert more is (len(page) < len(keys))
        keys = keys[len(page) :]
    assert pages == [["key28", "key38"], ["key56"], ["key57"]]


def test_a_joiner_of_the_release_before_which_asks_once_is_given_all(large: MemoryEngine) -> None:
    keys = tuple(key for key, _ in LARGE)
    assert keys_of(execute(large, c.Fetch(E, 5, D, 0, keys), 0.0)) == ([*keys], False)


def test_what_has_changed_is_told_in_pages_of_bounded_bytes(large: MemoryEngine) -> None:
    log, _ = large.log_position()
    pages, since, more = [], 0, True
    while more:
        changed = execute(large, c.Follow(E, 5, D, 0, SLOTS_OF_ALL, log, since, 10), 0.0)
        assert isinstance(changed, c.Changed)
        pages.append([key for key, _ in changed.entries])
        since, more = changed.lsn, changed.more
    assert pages == [["key28", "key38"], ["key56"], ["key57"]]


def test_hints_are_told_in_pages_of_bounded_bytes(large: MemoryEngine) -> None:
    first = execute(large, c.PullHints(E, 5, D, 0, "B", None, 10), 0.0)
    assert keys_of(first) == (["key28", "key38"], True)
    assert keys_of(execute(large, c.PullHints(E, 5, D, 0, "B", "key38", 10), 0.0)) == (["key56"], True)
    assert keys_of(execute(large, c.PullHints(E, 5, D, 0, "B", "key56", 10), 0.0)) == (["key57"], False)
