from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.kvstore.cache import AnswerCache
from dronedispatch.kvstore.changes import ChangeLog, Trimmed
from dronedispatch.kvstore.disk import fsync_s, open_disk
from dronedispatch.kvstore.engine import DiskFull, Engine
from dronedispatch.kvstore.stored import Damaged, decode, encode


def record(value: bytes = b"v", n: int = 1, tags: tuple[str, ...] = ()) -> Record:
    return Record(Version(1, n), bytes(16), 0.0, False, None, tags, value)


def slot_of(key: str) -> int:
    return sum(key.encode()) % 4


def open_engine(path: Path, *, reserve_bytes: int = 0, hint_bytes_max: int = 10_000) -> Engine:
    return Engine(
        open_disk(path),
        AnswerCache(items_max=100, bytes_max=1_000_000),
        slot_of=slot_of,
        reserve_bytes=reserve_bytes,
        changes_max=100,
        hint_bytes_max=hint_bytes_max,
    )


def store(engine: Engine, **records: Record) -> None:
    write = engine.begin()
    for key, new in records.items():
        write.put(key, new, write.record(key))
    engine.commit(write)
    engine.publish(write)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = open_engine(tmp_path / "disk")
    yield opened
    opened.close()


def test_a_committed_record_survives_reopening_with_the_same_disk_identity(tmp_path: Path) -> None:
    first = open_engine(tmp_path / "disk")
    store(first, k=record(b"hello", tags=("open=1",)))
    disk = first.disk.disk
    first.close()
    again = open_engine(tmp_path / "disk")
    assert again.get("k") == record(b"hello", tags=("open=1",))
    assert again.disk.disk == disk
    assert not again.disk.fresh
    again.close()


def test_an_aborted_transaction_leaves_neither_disk_nor_cache_changed(engine: Engine) -> None:
    store(engine, k=record(b"old"))
    write = engine.begin()
    write.put("k", record(b"new", n=2), record(b"old"))
    write.set_meta("floor", b"7")
    assert write.record("k") == record(b"new", n=2)
    engine.abort(write)
    assert engine.get("k") == record(b"old")
    with engine.reading() as reads:
        assert reads.meta("floor") is None


def test_reads_and_writes_go_through_the_cache_and_are_counted(engine: Engine) -> None:
    store(engine, k=record(b"v"))
    assert engine.get("k") == record(b"v")
    engine.cache.clear()
    assert engine.get("k") == record(b"v")
    assert engine.get("k") == record(b"v")
    counters = engine.cache.counters
    assert (counters.hits, counters.misses, counters.writes) == (2, 2, 2)


def test_a_flipped_bit_is_damage_and_never_a_value(engine: Engine) -> None:
    stored = bytearray(encode(record(b"payload")))
    stored[-3] ^= 0x10
    with pytest.raises(Damaged, match="checksum"):
        decode("k", bytes(stored))


def test_a_flipped_bit_on_disk_is_found_by_a_read_and_by_a_write_transaction(engine: Engine) -> None:
    store(engine, k=record(b"payload"))
    with engine.disk.env.begin(write=True) as txn:
        stored = bytearray(encode(record(b"payload")))
        stored[10] ^= 1
        txn.put(engine.data_key("k"), bytes(stored), db=engine.data)
    engine.cache.clear()
    with pytest.raises(Damaged):
        engine.get("k")
    write = engine.begin()
    with pytest.raises(Damaged):
        write.record("k")
    engine.abort(write)


def test_the_tag_index_follows_the_record_in_the_same_transaction(engine: Engine) -> None:
    store(engine, a=record(tags=("status=pending", "open=1")), b=record(tags=("open=1",)))
    store(engine, a=record(n=2, tags=("status=done",)))
    with engine.reading() as reads:
        assert list(reads.tagged("status=pending", "", None, reverse=False)) == []
        assert list(reads.tagged("status=done", "", None, reverse=False)) == ["a"]
        assert list(reads.tagged("open=1", "", None, reverse=False)) == ["b"]


def test_removing_a_key_removes_its_tags_and_its_answer(engine: Engine) -> None:
    store(engine, a=record(tags=("open=1",)))
    write = engine.begin()
    write.remove("a", write.record("a"))
    engine.commit(write)
    engine.publish(write)
    assert engine.get("a") is None
    with engine.reading() as reads:
        assert list(reads.tagged("open=1", "", None, reverse=False)) == []


@pytest.mark.parametrize(
    ("prefix", "after", "reverse", "expected"),
    [
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
    ],
)
def test_a_tag_is_walked_by_prefix_from_a_place_in_both_directions(
    engine: Engine, prefix: str, after: str | None, reverse: bool, expected: list[str]
) -> None:
    store(engine, **{key: record(tags=("m=1",)) for key in ("a", "ea", "ee", "ei", "i")})
    store(engine, j=record(tags=("l=1",)), k=record(tags=("n=1",)))
    with engine.reading() as reads:
        assert list(reads.tagged("m=1", prefix, after, reverse=reverse)) == expected


@pytest.mark.parametrize("reverse", [False, True])
def test_a_slot_is_walked_without_its_neighbours(engine: Engine, reverse: bool) -> None:
    keys = [f"k{n}" for n in range(40)]
    store(engine, **{key: record() for key in keys})
    with engine.reading() as reads:
        walked = [[key for key, _ in reads.slot_keys(slot, "k", None, reverse=reverse)] for slot in range(4)]
    assert walked == [
        sorted((key for key in keys if slot_of(key) == slot), reverse=reverse) for slot in range(4)
    ]


def test_a_full_disk_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk", reserve_bytes=1 << 60)
    write = engine.begin()
    with pytest.raises(DiskFull):
        write.put("k", record(), None)
    write.set_meta("floor", b"3")
    engine.commit(write)
    with engine.reading() as reads:
        assert reads.meta("floor") == b"3"
    assert engine.get("k") is None
    engine.close()


def test_hints_keep_the_newest_record_of_a_target_within_their_bound(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk", hint_bytes_max=600)
    write = engine.begin()
    assert write.put_hint("B", "k", record(b"new", n=2))
    assert write.put_hint("B", "k", record(b"old", n=1))
    assert write.put_hint("C", "k", record(b"other"))
    assert not write.put_hint("B", "big", record(bytes(600)))
    engine.commit(write)
    engine.publish(write)
    with engine.reading() as reads:
        assert [(key, decode(key, stored)) for key, stored in reads.hints("B", None)] == [
            ("k", record(b"new", n=2))
        ]
    kept = engine.hint_bytes
    engine.close()
    again = open_engine(tmp_path / "disk", hint_bytes_max=600)
    assert again.hint_bytes == kept > 0
    write = again.begin()
    write.drop_hint("B", "k")
    write.drop_hint("C", "k")
    again.commit(write)
    again.publish(write)
    assert again.hint_bytes == 0
    again.close()


def test_a_file_copied_back_from_an_older_state_is_another_disk(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk")
    store(engine, k=record(b"old"))
    engine.close()
    shutil.copytree(tmp_path / "disk", tmp_path / "backup")
    engine = open_engine(tmp_path / "disk")
    disk = engine.disk.disk
    store(engine, k=record(b"new", n=2))
    engine.close()
    shutil.rmtree(tmp_path / "disk")
    shutil.copytree(tmp_path / "backup", tmp_path / "disk")
    restored = open_engine(tmp_path / "disk")
    assert restored.disk.fresh
    assert restored.disk.disk != disk
    restored.close()


def test_a_data_file_overwritten_in_place_by_an_older_state_is_another_disk(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk")
    store(engine, k=record(b"old"))
    engine.close()
    old = (tmp_path / "disk" / "data.mdb").read_bytes()
    engine = open_engine(tmp_path / "disk")
    store(engine, k=record(b"new", n=2))
    engine.close()
    with (tmp_path / "disk" / "data.mdb").open("r+b") as data:
        data.write(old)
    restored = open_engine(tmp_path / "disk")
    assert restored.disk.fresh
    restored.close()


def test_a_data_file_without_its_note_is_another_disk(tmp_path: Path) -> None:
    open_engine(tmp_path / "disk").close()
    os.unlink(tmp_path / "disk" / "identity.json")
    engine = open_engine(tmp_path / "disk")
    assert engine.disk.fresh
    engine.close()


def test_the_change_log_tells_what_changed_and_says_when_it_no_longer_knows() -> None:
    log = ChangeLog(keys_max=3)
    for key in ("a", "b", "a", "c"):
        log.note(key)
    assert log.since(1) == ["c", "a", "b"]
    assert log.since(3) == ["c"]
    log.note("d")
    assert len(log) == 3
    with pytest.raises(Trimmed):
        log.since(1)
    assert log.since(2) == ["d", "c", "a"]


def test_fsync_is_measured_and_positive(tmp_path: Path) -> None:
    assert 0 < fsync_s(tmp_path) < 5
    assert list(tmp_path.iterdir()) == []
