from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import lmdb
import pytest

from dronedispatch.kv.slots import SLOTS, slot_of
from dronedispatch.kvstore import disk as disks
from dronedispatch.kvstore import journal as journals
from dronedispatch.kvstore.disk import JOURNAL_FILE
from dronedispatch.kvstore.engine import CHECKPOINT_CHANGES, Engine, FatalDisk
from dronedispatch.kvstore.journal import GROUP_BYTES_MAX, SECTOR_BYTES, JournalFull
from dronedispatch.kvstore.txn import DiskFull
from support.disk_engine import Disk, listed, record, store, transaction


def in_journal(engine: Engine) -> bool:
    return engine.journaled


def contents(engine: Engine) -> dict[str, bytes]:
    with engine.reading() as reads:
        found = reads.scan(range(SLOTS), prefix="", tag=None, after=None, reverse=False)
        return {key: kept.value for key, kept in found if kept is not None}


def change(path: Path, at: int, new: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(new)


def test_what_is_only_in_the_journal_is_read_and_survives_a_kill(disk: Disk, engine: Engine) -> None:
    store(engine, a=record(b"1", tags=("open=1",)), b=record(b"1"))
    with transaction(engine) as write:
        write.put("a", slot_of("a"), record(b"2", n=2, tags=("open=2",)))
        write.remove("b", slot_of("b"))
        write.raise_floor(7, 6)
    assert in_journal(engine)
    assert contents(engine) == {"a": b"2"}
    again = disk.killed_and_opened()
    assert (again.disk.disk, again.disk.fresh) == (engine.disk.disk, False)
    assert contents(again) == {"a": b"2"}
    assert (listed(again, "open=1"), listed(again, "open=2")) == ([], ["a"])
    assert (again.state.floor, again.state.published) == (7, 6)
    assert not in_journal(again)


def test_a_checkpoint_empties_the_journal_and_its_entries_are_never_carried_out_again(
    disk: Disk, engine: Engine
) -> None:
    store(engine, k=record(b"old"))
    engine.checkpoint()
    with engine.disk.env.begin() as committed:
        assert committed.stat(engine.tables.data)["entries"] == 1
    with transaction(engine) as write:
        write.remove("k", slot_of("k"))
    engine.checkpoint()
    assert contents(disk.killed_and_opened()) == {}


def test_a_large_group_goes_to_the_data_file_with_all_before_it(disk: Disk, engine: Engine) -> None:
    store(engine, small=record(b"s"))
    store(engine, large=record(bytes(GROUP_BYTES_MAX)))
    assert not in_journal(engine)
    store(engine, after=record(b"a"))
    assert in_journal(engine)
    assert sorted(contents(disk.killed_and_opened())) == ["after", "large", "small"]


def test_a_full_journal_is_followed_by_a_commit_in_the_data_file(disk: Disk, engine: Engine) -> None:
    value = bytes(GROUP_BYTES_MAX - 1_000)
    for n in range(20):
        store(engine, **{f"k{n}": record(value)})
    assert engine.disk.env.info()["last_txnid"] > 2
    assert len(contents(disk.killed_and_opened())) == 20


def test_enough_changes_make_a_checkpoint_due(engine: Engine) -> None:
    for n in range(CHECKPOINT_CHANGES):
        assert not engine.checkpoint_due
        store(engine, k=record(n=n + 1))
    assert engine.checkpoint_due
    engine.checkpoint()
    assert not engine.checkpoint_due


def test_an_abort_keeps_what_the_journal_has(disk: Disk, engine: Engine) -> None:
    store(engine, k=record(b"1"))
    write = engine.begin()
    write.put("k", slot_of("k"), record(b"2", n=2))
    write.put("new", slot_of("new"), record(b"2"))
    engine.abort(write)
    engine.cache.clear()
    assert contents(engine) == {"k": b"1"}
    assert contents(disk.reopened()) == {"k": b"1"}


def test_an_entry_that_was_written_in_part_is_as_if_it_had_never_been(disk: Disk, engine: Engine) -> None:
    store(engine, a=record(b"1"))
    assert engine.disk.journal is not None
    last = engine.disk.journal.end
    store(engine, b=record(bytes(2_000)))
    disk.kill()
    change(disk.path / JOURNAL_FILE, last + SECTOR_BYTES, bytes(SECTOR_BYTES))
    change(disk.path / JOURNAL_FILE, last + 100, b"torn")
    again = disk.open()
    assert not again.disk.fresh
    assert contents(again) == {"a": b"1"}


@pytest.mark.parametrize("at", [0, 5, 13, 17, 22, 60, 200])
def test_an_entry_that_is_unreadable_before_a_later_one_makes_another_disk(
    disk: Disk, engine: Engine, at: int
) -> None:
    store(engine, a=record(b"1" * 300))
    store(engine, b=record(b"2"))
    disk.kill()
    path = disk.path / JOURNAL_FILE
    (old,) = path.read_bytes()[at : at + 1]
    change(path, at, bytes((old ^ 0x10,)))
    assert disk.open().disk.fresh


def copied(path: Path, _old: bytes) -> None:
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)


def overwritten(path: Path, old: bytes) -> None:
    change(path, 0, old)


@pytest.mark.parametrize("spoil", [copied, overwritten, lambda path, _old: path.unlink()])
def test_another_journal_than_the_noted_one_makes_another_disk(
    disk: Disk, engine: Engine, spoil: Callable[[Path, bytes], None]
) -> None:
    path = disk.path / JOURNAL_FILE
    old = path.read_bytes()
    store(engine, k=record(b"new"))
    engine.disk.note()
    disk.kill()
    spoil(path, old)
    assert disk.open().disk.fresh


def test_a_disk_of_before_there_was_a_journal_is_still_the_same(disk: Disk, engine: Engine) -> None:
    store(engine, k=record(b"kept"))
    engine.checkpoint()
    with engine.disk.env.begin(write=True) as txn:
        txn.delete(disks.JOURNAL_KEY, db=engine.disk.meta)
    disk.kill()
    os.unlink(disk.path / JOURNAL_FILE)
    again = disk.open()
    assert (again.disk.disk, again.disk.fresh) == (engine.disk.disk, False)
    store(again, k=record(b"newer", n=2))
    assert in_journal(again)


def test_where_there_is_no_room_for_a_journal_every_commit_goes_to_the_data_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(journals, "CAPACITY_BYTES", 1 << 62)

        def no_room(*_arguments: object) -> None:
            raise JournalFull("no room")

        patched.setattr(journals, "_fill", no_room)
        disk = Disk(tmp_path / "disk")
    engine = disk.engine
    assert engine is not None
    assert engine.disk.journal is None
    store(engine, k=record(b"v"))
    assert not in_journal(engine)
    again = disk.reopened()
    assert contents(again) == {"k": b"v"}
    assert again.disk.journal is not None
    disk.close()


class Failing:
    """An LMDB transaction whose commit finds no room."""

    def __init__(self, engine: Engine, error: BaseException) -> None:
        assert engine._txn is not None
        self._txn, self._error = engine._txn, error

    def __getattr__(self, name: str) -> object:
        return getattr(self._txn, name)

    def commit(self) -> None:
        raise self._error


def test_a_checkpoint_that_finds_no_room_loses_nothing_and_may_be_tried_again(
    disk: Disk, engine: Engine
) -> None:
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


def test_a_journal_without_room_refuses_the_group_alone(
    disk: Disk, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(engine, k=record(b"1"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "pwritev", lambda _fd, data, _at: len(data[0]) - 1)
        with pytest.raises(DiskFull):
            store(engine, k=record(b"2", n=2))
    engine.cache.clear()
    assert contents(engine) == {"k": b"1"}
    store(engine, k=record(b"3", n=2))
    assert contents(disk.killed_and_opened()) == {"k": b"3"}


@pytest.mark.parametrize("direct", [True, False])
def test_a_sync_of_the_journal_of_unknown_outcome_is_fatal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direct: bool
) -> None:
    if not direct:
        monkeypatch.setattr(journals, "_open_direct", lambda _path, _buffer: None)
    disk = Disk(tmp_path / "disk")
    assert disk.engine is not None

    def broken(*_arguments: object) -> None:
        raise OSError(5, "input/output error")

    monkeypatch.setattr(os, "pwritev" if direct else "fdatasync", broken)
    with pytest.raises(FatalDisk):
        store(disk.engine, k=record())
    disk.kill()


@pytest.mark.parametrize("direct", [True, False])
@pytest.mark.parametrize("seed", range(10))
def test_any_order_of_groups_aborts_checkpoints_and_kills_keeps_what_was_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, direct: bool
) -> None:
    if not direct:
        monkeypatch.setattr(journals, "_open_direct", lambda _path, _buffer: None)
    rng = random.Random(seed)
    disk, model = Disk(tmp_path / "disk"), dict[str, bytes]()
    engine = disk.reopened()
    identity = engine.disk.disk
    for step in range(80):
        match rng.choices(["group", "abort", "checkpoint", "kill", "close"], [20, 2, 2, 2, 1])[0]:
            case "checkpoint":
                engine.checkpoint()
            case "kill":
                engine = disk.killed_and_opened()
            case "close":
                engine = disk.reopened()
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
        assert listed(engine, f"t={tag}") == sorted(k for k, value in model.items() if value[0] % 3 == tag)
    assert engine.disk.disk == identity
    disk.close()
