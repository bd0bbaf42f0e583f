from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from dronedispatch.kv.record import Record
from dronedispatch.kv.slots import SLOTS, slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvstore import disk as disks
from dronedispatch.kvstore import journal as journals
from dronedispatch.kvstore.core.cache import AnswerCache
from dronedispatch.kvstore.disk import JOURNAL_FILE, open_disk
from dronedispatch.kvstore.engine import CHECKPOINT_CHANGES, Bounds, Engine, FatalDisk
from dronedispatch.kvstore.journal import GROUP_BYTES_MAX, SECTOR_BYTES, JournalFull
from dronedispatch.kvstore.txn import DiskFull


def record(value: bytes = b"v", n: int = 1, tags: tuple[str, ...] = ()) -> Record:
    return Record(Version(1, n), bytes(16), 0.0, False, None, tags, value)


def open_engine(path: Path) -> Engine:
    return Engine(open_disk(path), AnswerCache(items_max=10, bytes_max=100_000), Bounds(0, 100, 10_000))


def store(engine: Engine, **records: Record) -> None:
    write = engine.begin()
    for key, new in records.items():
        write.put(key, slot_of(key), new)
    engine.commit(write)
    engine.publish(write)
    engine.sync()


def die(engine: Engine) -> None:
    """As kill -9: what LMDB has not committed is gone."""
    if engine._txn is not None:
        engine._txn.abort()
    engine.disk.close()


def in_journal(engine: Engine) -> bool:
    return engine.journaled


def due(engine: Engine) -> bool:
    return engine.checkpoint_due


def contents(engine: Engine) -> dict[str, bytes]:
    with engine.reading() as reads:
        found = reads.scan(range(SLOTS), prefix="", tag=None, after=None, reverse=False)
        return {key: kept.value for key, kept in found if kept is not None}


def tagged(engine: Engine, tag: str) -> list[str]:
    with engine.reading() as reads:
        found = reads.scan(range(SLOTS), prefix="", tag=tag, after=None, reverse=False)
        return [key for key, _ in found]


def change(path: Path, at: int, new: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(new)


def test_what_is_only_in_the_journal_is_read_and_survives_a_kill(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk")
    store(engine, a=record(b"1", tags=("open=1",)), b=record(b"1"))
    write = engine.begin()
    write.put("a", slot_of("a"), record(b"2", n=2, tags=("open=2",)))
    write.remove("b", slot_of("b"))
    write.raise_floor(7, 6)
    engine.commit(write)
    engine.publish(write)
    engine.sync()
    assert in_journal(engine)
    assert contents(engine) == {"a": b"2"}
    disk = engine.disk.disk
    die(engine)
    again = open_engine(tmp_path / "disk")
    assert (again.disk.disk, again.disk.fresh) == (disk, False)
    assert contents(again) == {"a": b"2"}
    assert (tagged(again, "open=1"), tagged(again, "open=2")) == ([], ["a"])
    assert (again.state.floor, again.state.published) == (7, 6)
    assert not in_journal(again)
    again.close()


def test_a_checkpoint_empties_the_journal_and_its_entries_are_never_carried_out_again(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk")
    store(engine, k=record(b"old"))
    engine.checkpoint()
    with engine.disk.env.begin() as committed:
        assert committed.stat(engine.tables.data)["entries"] == 1
    write = engine.begin()
    write.remove("k", slot_of("k"))
    engine.commit(write)
    engine.publish(write)
    engine.sync()
    engine.checkpoint()
    die(engine)
    again = open_engine(tmp_path / "disk")
    assert contents(again) == {}
    again.close()


def test_a_large_group_goes_to_the_data_file_with_all_before_it(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk")
    store(engine, small=record(b"s"))
    store(engine, large=record(bytes(GROUP_BYTES_MAX)))
    assert not in_journal(engine)
    store(engine, after=record(b"a"))
    assert in_journal(engine)
    die(engine)
    again = open_engine(tmp_path / "disk")
    assert sorted(contents(again)) == ["after", "large", "small"]
    again.close()


def test_a_full_journal_is_followed_by_a_commit_in_the_data_file(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk")
    value = bytes(GROUP_BYTES_MAX - 1_000)
    for n in range(20):
        store(engine, **{f"k{n}": record(value)})
    assert engine.disk.env.info()["last_txnid"] > 2
    die(engine)
    again = open_engine(tmp_path / "disk")
    assert len(contents(again)) == 20
    again.close()


def test_enough_changes_make_a_checkpoint_due(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk")
    for n in range(CHECKPOINT_CHANGES):
        assert not due(engine)
        store(engine, k=record(n=n + 1))
    assert due(engine)
    engine.checkpoint()
    assert not due(engine)
    engine.close()


def test_an_abort_keeps_what_the_journal_has(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk")
    store(engine, k=record(b"1"))
    write = engine.begin()
    write.put("k", slot_of("k"), record(b"2", n=2))
    write.put("new", slot_of("new"), record(b"2"))
    engine.abort(write)
    engine.cache.clear()
    assert contents(engine) == {"k": b"1"}
    engine.close()
    again = open_engine(tmp_path / "disk")
    assert contents(again) == {"k": b"1"}
    again.close()


def test_an_entry_that_was_written_in_part_is_as_if_it_had_never_been(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk")
    store(engine, a=record(b"1"))
    assert engine.disk.journal is not None
    last = engine.disk.journal.end
    store(engine, b=record(bytes(2_000)))
    die(engine)
    change(tmp_path / "disk" / JOURNAL_FILE, last + SECTOR_BYTES, bytes(SECTOR_BYTES))
    change(tmp_path / "disk" / JOURNAL_FILE, last + 100, b"torn")
    again = open_engine(tmp_path / "disk")
    assert not again.disk.fresh
    assert contents(again) == {"a": b"1"}
    again.close()


@pytest.mark.parametrize("at", [0, 5, 13, 17, 22, 60, 200])
def test_an_entry_that_is_unreadable_before_a_later_one_makes_another_disk(tmp_path: Path, at: int) -> None:
    engine = open_engine(tmp_path / "disk")
    store(engine, a=record(b"1" * 300))
    store(engine, b=record(b"2"))
    die(engine)
    path = tmp_path / "disk" / JOURNAL_FILE
    (old,) = path.read_bytes()[at : at + 1]
    change(path, at, bytes((old ^ 0x10,)))
    again = open_engine(tmp_path / "disk")
    assert again.disk.fresh
    again.close()


def copied(path: Path, _old: bytes) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def overwritten(path: Path, old: bytes) -> None:
    change(path, 0, old)


@pytest.mark.parametrize("spoil", [copied, overwritten, lambda path, _old: path.unlink()])
def test_another_journal_than_the_noted_one_makes_another_disk(
    tmp_path: Path, spoil: Callable[[Path, bytes], None]
) -> None:
    path = tmp_path / "disk" / JOURNAL_FILE
    engine = open_engine(tmp_path / "disk")
    old = path.read_bytes()
    store(engine, k=record(b"new"))
    engine.disk.note()
    die(engine)
    spoil(path, old)
    again = open_engine(tmp_path / "disk")
    assert again.disk.fresh
    again.close()


def test_a_disk_of_before_there_was_a_journal_is_still_the_same(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk")
    store(engine, k=record(b"kept"))
    engine.checkpoint()
    with engine.disk.env.begin(write=True) as txn:
        txn.delete(disks.JOURNAL_KEY, db=engine.disk.meta)
    disk = engine.disk.disk
    die(engine)
    os.unlink(tmp_path / "disk" / JOURNAL_FILE)
    again = open_engine(tmp_path / "disk")
    assert (again.disk.disk, again.disk.fresh) == (disk, False)
    store(again, k=record(b"newer", n=2))
    assert in_journal(again)
    again.close()


def test_where_there_is_no_room_for_a_journal_every_commit_goes_to_the_data_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_engine(tmp_path / "disk").close()
    with monkeypatch.context() as patched:
        patched.setattr(journals, "CAPACITY_BYTES", 1 << 62)

        def no_room(*_arguments: object) -> None:
            raise JournalFull("no room")

        patched.setattr(journals, "_fill", no_room)
        engine = open_engine(tmp_path / "other")
    assert engine.disk.journal is None
    store(engine, k=record(b"v"))
    assert not in_journal(engine)
    engine.close()
    again = open_engine(tmp_path / "other")
    assert contents(again) == {"k": b"v"}
    assert again.disk.journal is not None
    again.close()


class Failing:
    """An LMDB transaction whose commit finds no room."""

    def __init__(self, engine: Engine, error: BaseException) -> None:
        assert engine._txn is not None
        self._txn, self._error = engine._txn, error

    def __getattr__(self, name: str) -> object:
        return getattr(self._txn, name)

    def commit(self) -> None:
        raise self._error


def test_a_checkpoint_that_finds_no_room_loses_nothing_and_may_be_tried_again(tmp_path: Path) -> None:
    engine = open_engine(tmp_path / "disk")
    store(engine, k=record(b"1"))
    engine._txn = Failing(engine, lmdb.MapFullError("full"))  # type: ignore[assignment]
    with pytest.raises(DiskFull):
        engine.checkpoint()
    assert in_journal(engine)
    store(engine, j=record(b"2"))
    assert contents(engine) == {"k": b"1", "j": b"2"}
    engine.checkpoint()
    assert not in_journal(engine)
    assert contents(engine) == {"k": b"1", "j": b"2"}
    engine.close()


def test_a_journal_without_room_refuses_the_group_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(tmp_path / "disk")
    store(engine, k=record(b"1"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", lambda _fd, data, _at: len(data[0]) - 1)
        with pytest.raises(DiskFull):
            store(engine, k=record(b"2", n=2))
    engine.cache.clear()
    assert contents(engine) == {"k": b"1"}
    store(engine, k=record(b"3", n=2))
    die(engine)
    again = open_engine(tmp_path / "disk")
    assert contents(again) == {"k": b"3"}
    again.close()


@pytest.mark.parametrize("direct", [True, False])
def test_a_sync_of_the_journal_of_unknown_outcome_is_fatal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    if not direct:
        monkeypatch.setattr(journals, "_open_direct", lambda _path, _buffer: None)
    engine = open_engine(tmp_path / "disk")

    def broken(*_arguments: object) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(os, "pwritev" if direct else "fdatasync", broken)
    with pytest.raises(FatalDisk):
        store(engine, k=record())
    die(engine)


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_any_order_of_groups_aborts_checkpoints_and_kills_keeps_what_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, direct: bool
) -> None:
    if not direct:
        monkeypatch.setattr(journals, "_open_direct", lambda _path, _buffer: None)
    rng = random.Random(seed)
    engine, model = open_engine(tmp_path / "disk"), dict[str, bytes]()
    disk = engine.disk.disk
    for step in range(80):
        match rng.choices(["group", "abort", "checkpoint", "kill", "close"], [20, 2, 2, 2, 1])[0]:
            case "checkpoint":
                engine.checkpoint()
            case "kill":
                die(engine)
                engine = open_engine(tmp_path / "disk")
            case "close":
                engine.close()
                engine = open_engine(tmp_path / "disk")
            case kind:
                write, then = engine.begin(), dict(model)
                for _ in range(rng.randint(1, 6)):
                    key, value = f"k{rng.randrange(12)}", rng.randbytes(rng.choice((3, 900, 70_000)))
                    if rng.random() < 0.3:
                        write.remove(key, slot_of(key))
                        then.pop(key, None)
                    else:
                        write.put(key, slot_of(key), record(value, n=step + 1, tags=(f"t={value[0] % 3}",)))
                        then[key] = value
                if kind == "abort":
                    engine.abort(write)
                else:
                    engine.commit(write)
                    engine.publish(write)
                    engine.sync()
                    model = then
        assert contents(engine) == model
    for tag in range(3):
        assert tagged(engine, f"t={tag}") == sorted(k for k, value in model.items() if value[0] % 3 == tag)
    assert engine.disk.disk == disk
    engine.close()
