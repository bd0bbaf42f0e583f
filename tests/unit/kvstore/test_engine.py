from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dronedispatch.kv.record import Record
from dronedispatch.kv.slots import SLOTS, slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.core.change_log import ChangeLog
from dronedispatch.kvstore.core.record_codec import decode, encode
from dronedispatch.kvstore.core.txn import ChangedKeys, DamagedRecord
from dronedispatch.kvstore.disk import fsync_s
from dronedispatch.kvstore.engine import Engine
from dronedispatch.kvstore.txn import DAMAGED_VERSION, DiskFull
from support.disk_engine import Disk, get, listed, open_engine, record, store, transaction


def overwrite(engine: Engine, key: str, stored: bytes) -> None:
    engine.checkpoint()
    with engine.disk.env.begin(write=True) as txn:
        txn.put(bytes((slot_of(key),)) + key.encode(), stored, db=engine.tables.data)
    engine.cache.clear()


def flipped(stored: bytes, place: int) -> bytes:
    changed = bytearray(stored)
    changed[place] ^= 0x10
    return bytes(changed)


def test_a_committed_record_survives_reopening_with_the_same_disk_identity(
    disk: Disk, engine: Engine
) -> None:
    store(engine, k=record(b"hello", tags=("open=1",)))
    again = disk.reopened()
    assert get(again, "k") == record(b"hello", tags=("open=1",))
    assert (again.disk.disk, again.disk.fresh) == (engine.disk.disk, False)


def test_promises_survive_reopening(disk: Disk, engine: Engine) -> None:
    with transaction(engine) as write:
        write.belong_to("c")
        write.raise_floor(7, 6)
        write.set_joining({3, 1})
    with disk.reopened().reading() as reads:
        assert (reads.cluster, reads.floor, reads.published) == ("c", 7, 6)
        assert reads.joining() == {1, 3}


def test_an_aborted_transaction_leaves_disk_cache_and_promises_as_they_were(engine: Engine) -> None:
    store(engine, k=record(b"old"))
    write = engine.begin()
    write.put("k", slot_of("k"), record(b"new", n=2))
    write.raise_floor(9, 9)
    assert write.get("k") == record(b"new", n=2)
    engine.abort(write)
    assert get(engine, "k") == record(b"old")
    assert engine.state.floor == 0


def test_reads_and_writes_go_through_the_cache_and_are_counted(engine: Engine) -> None:
    counters = engine.cache.counters
    store(engine, k=record(b"v"))
    assert (counters.hits, counters.misses, counters.writes) == (0, 1, 1)
    get(engine, "k")
    engine.cache.clear()
    get(engine, "k")
    get(engine, "k")
    assert (counters.hits, counters.misses, counters.writes) == (2, 2, 2)


@pytest.mark.parametrize("place", range(0, 40, 3))
def test_a_flipped_bit_anywhere_is_damage_and_never_a_value(place: int) -> None:
    with pytest.raises(DamagedRecord):
        decode("k", flipped(encode(record(b"payload")), place))


@pytest.mark.parametrize("stored", [b"", b"\x00\x00\x00\x00", b"abc", encode(record())[:-1]])
def test_bytes_that_are_no_record_are_damage(stored: bytes) -> None:
    with pytest.raises(DamagedRecord):
        decode("k", stored)


def test_a_damaged_record_is_found_by_reads_has_version_zero_and_can_be_replaced(engine: Engine) -> None:
    store(engine, k=record(b"payload", tags=("open=1",)))
    overwrite(engine, "k", flipped(encode(record(b"payload", tags=("open=1",))), 12))
    with engine.reading() as reads, pytest.raises(DamagedRecord):
        reads.get("k")
    with engine.reading() as reads:
        assert reads.versions(slot_of("k"), None, 10) == [("k", DAMAGED_VERSION)]
    store(engine, k=record(b"repaired", n=2))
    assert get(engine, "k") == record(b"repaired", n=2)
    assert listed(engine, "open=1") == []


def test_the_tag_index_follows_the_record_in_the_same_transaction(engine: Engine) -> None:
    store(engine, a=record(tags=("status=pending", "open=1")), b=record(tags=("open=1",)))
    store(engine, a=record(n=2, tags=("status=done",)))
    assert listed(engine, "status=pending") == []
    assert listed(engine, "status=done") == ["a"]
    assert listed(engine, "open=1") == ["b"]


def test_removing_a_key_removes_its_tags_and_its_answer(engine: Engine) -> None:
    store(engine, a=record(tags=("open=1",)))
    with transaction(engine) as write:
        write.remove("a", slot_of("a"))
        write.remove("never there", slot_of("never there"))
    assert get(engine, "a") is None
    assert listed(engine, "open=1") == []


def test_tombstones_are_found_by_the_index_and_by_no_tag(engine: Engine) -> None:
    dead = Record(Version(1, 2), bytes(16), 0.0, True, None, (), b"")
    store(engine, a=record(tags=("open=1",)), b=record(tags=("open=1",)), c=record())
    store(engine, a=dead, c=dead)
    with engine.reading() as reads:
        assert [key for key, _ in reads.tombstones(range(SLOTS), None)] == ["a", "c"]
        assert [key for key, _ in reads.tombstones(range(SLOTS), "a")] == ["c"]
    assert listed(engine, "open=1") == ["b"]
    store(engine, a=record(n=3))
    with engine.reading() as reads:
        assert [key for key, _ in reads.tombstones(range(SLOTS), None)] == ["c"]


WALKS = [
    ("", None, False, ["a", "ea", "ee", "ei", "i"]),
    ("e", None, False, ["ea", "ee", "ei"]),
    ("e", "ea", False, ["ee", "ei"]),
    ("e", "eb", False, ["ee", "ei"]),
    ("e", "a", False, ["ea", "ee", "ei"]),
    ("e", "i", False, []),
    ("", None, True, ["i", "ei", "ee", "ea", "a"]),
    ("e", None, True, ["ei", "ee", "ea"]),
    ("e", "ei", True, ["ee", "ea"]),
    ("e", "a", True, []),
    ("z", None, True, []),
]


@pytest.mark.parametrize(("prefix", "after", "reverse", "expected"), WALKS)
def test_all_slots_and_a_tag_are_walked_by_prefix_from_a_place_in_both_directions(
    engine: Engine, prefix: str, after: str | None, reverse: bool, expected: list[str]
) -> None:
    store(engine, **{key: record(tags=("m=1",)) for key in ("a", "ea", "ee", "ei", "i")})
    assert listed(engine, None, prefix, after, reverse=reverse) == expected
    store(engine, j=record(tags=("l=1",)), k=record(tags=("n=1",)))
    assert listed(engine, "m=1", prefix, after, reverse=reverse) == expected


def test_a_scan_lists_only_the_slots_asked_for(engine: Engine) -> None:
    keys = [f"k{n}" for n in range(60)]
    store(engine, **{key: record(tags=("t=1",)) for key in keys})
    wanted = {slot_of("k1"), slot_of("k2")}
    expected = sorted(key for key in keys if slot_of(key) in wanted)
    with engine.reading() as reads:
        for tag in (None, "t=1"):
            found = reads.scan(wanted, prefix=None, tag=tag, after=None, reverse=False)
            assert [key for key, _ in found] == expected


def test_equal_contents_have_equal_digests_and_others_do_not(tmp_path: Path, engine: Engine) -> None:
    one, two = engine, open_engine(tmp_path / "2")
    store(one, a=record(b"1"), b=record(b"2"))
    store(two, b=record(b"2"), a=record(b"1"))
    slots = {slot_of("a"), slot_of("b")}

    def digests(engine: Engine) -> list[bytes]:
        with engine.reading() as reads:
            return [reads.digest(slot) for slot in slots]

    assert digests(one) == digests(two)
    store(two, a=record(b"1", n=2))
    assert digests(one) != digests(two)
    two.close()


def test_a_full_disk_is_refused_before_anything_is_written_but_promises_are_kept(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk", reserve_bytes=1 << 60)
    with transaction(engine) as write:
        with pytest.raises(DiskFull):
            write.put("k", slot_of("k"), record())
        assert not write.broken
        write.raise_floor(3, 3)
    assert engine.state.floor == 3
    assert get(engine, "k") is None
    engine.close()


def test_hints_keep_the_newest_record_of_a_target_within_their_bound(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk", hint_bytes_max=600)
    with transaction(engine) as write:
        write.keep_hint("B", "k", record(b"new", n=2))
        write.keep_hint("B", "k", record(b"old", n=1))
        write.keep_hint("C", "k", record(b"other"))
        write.keep_hint("B", "big", record(bytes(600)))
    assert engine.hints_dropped == 1
    with engine.reading() as reads:
        assert reads.hints("B", None, 10) == [("k", record(b"new", n=2))]
        assert reads.old_hints(1.0, 10) == [("B", "k"), ("C", "k")]
    kept = engine.hint_bytes
    engine.close()
    again = open_engine(tmp_path / "disk", hint_bytes_max=600)
    assert again.hint_bytes == kept > 0
    with transaction(again) as write:
        write.drop_hints("B")
        write.drop_hint("C", "k")
    assert again.hint_bytes == 0
    again.close()


def test_a_hint_dropped_by_a_transaction_that_is_undone_is_not_counted(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk", hint_bytes_max=1)
    write = engine.begin()
    write.put("k", slot_of("k"), record())
    write.keep_hint("B", "k", record())
    engine.abort(write)
    assert engine.hints_dropped == 0
    with transaction(engine) as write:
        write.put("k", slot_of("k"), record())
        write.keep_hint("B", "k", record())
    assert engine.hints_dropped == 1
    engine.close()


def test_a_lease_is_counted_from_when_its_version_was_first_held_here(engine: Engine) -> None:
    with transaction(engine) as write:
        assert write.held_since("lock/a", Version(1, 1), 10.0) == 10.0
    write = engine.begin()
    assert write.held_since("lock/a", Version(1, 1), 17.0) == 10.0
    assert write.held_since("lock/a", Version(1, 2), 17.0) == 17.0
    engine.abort(write)
    write = engine.begin()
    assert write.held_since("lock/a", Version(1, 1), 20.0) == 10.0
    engine.abort(write)


def test_a_file_copied_back_from_an_older_state_is_another_disk(
    tmp_path: Path, disk: Disk, engine: Engine
) -> None:
    store(engine, k=record(b"old"))
    disk.close()
    shutil.copytree(disk.path, tmp_path / "backup")
    store(disk.open(), k=record(b"new", n=2))
    disk.close()
    shutil.rmtree(disk.path)
    shutil.copytree(tmp_path / "backup", disk.path)
    restored = disk.open()
    assert restored.disk.fresh
    assert restored.disk.disk != engine.disk.disk


def test_a_data_file_overwritten_in_place_by_an_older_state_is_another_disk(
    disk: Disk, engine: Engine
) -> None:
    store(engine, k=record(b"old"))
    disk.close()
    old = (disk.path / "data.mdb").read_bytes()
    store(disk.open(), k=record(b"new", n=2))
    disk.close()
    with (disk.path / "data.mdb").open("r+b") as data:
        data.write(old)
    assert disk.open().disk.fresh


def test_a_data_file_without_its_note_is_another_disk(disk: Disk) -> None:
    disk.close()
    (disk.path / "identity.json").unlink()
    assert disk.open().disk.fresh


def test_the_change_log_tells_what_changed_and_says_when_it_no_longer_knows() -> None:
    log = ChangeLog("run", keys_max=3)
    for key in ("a", "b", "a", "c"):
        log.note(key)
    assert log.since(1, 10, lambda _key: True) == ChangedKeys(("b", "a", "c"), 4, more=False)
    assert log.since(1, 2, lambda _key: True) == ChangedKeys(("b", "a"), 3, more=True)
    assert log.since(1, 10, lambda key: key != "a") == ChangedKeys(("b", "c"), 4, more=False)
    log.note("d")
    assert len(log) == 3
    assert log.since(1, 10, lambda _key: True) is None
    assert log.since(2, 10, lambda _key: True) == ChangedKeys(("a", "c", "d"), 5, more=False)


def test_fsync_is_measured_and_positive(tmp_path: Path) -> None:
    assert 0 < fsync_s(tmp_path) < 5
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_keeps_no_replica_from_stopping_nor_what_it_has_acknowledged(
    disk: Disk, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(engine, k=record(b"acknowledged"))

    def full() -> None:
        raise DiskFull("no room")

    monkeypatch.setattr(engine, "checkpoint", full)
    again = disk.reopened()
    assert get(again, "k") == record(b"acknowledged")
    assert again.disk.disk == engine.disk.disk
