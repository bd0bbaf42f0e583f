from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, NoReturn

import lmdb
import pytest

from dronedispatch.kv.record import Record
from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvstore import committer as committing
from dronedispatch.kvstore import ending
from dronedispatch.kvstore import engine as engines
from dronedispatch.kvstore.committer import CommitFailed, Committer
from dronedispatch.kvstore.core.cache import AnswerCache
from dronedispatch.kvstore.disk import is_damage, open_disk
from dronedispatch.kvstore.engine import Bounds, Engine, FatalDisk
from dronedispatch.kvstore.txn import DiskFull
from dronedispatch.replication.calls import (
    JOINING,
    NO_SPACE,
    STORED,
    AnyCall,
    AnyReply,
    Applied,
    Apply,
    Found,
    Read,
    Relay,
    Replicate,
    StaleEpoch,
    WrongDisk,
)
from dronedispatch.runtime.clock import SystemClock
from support.waiting import deadline, in_time, patient_s, until


class Counting(Engine):
    """An engine that says when it commits and syncs, and can be told to fail at either."""

    def __init__(self, path: Path, *, threaded: bool = False) -> None:
        super().__init__(
            open_disk(path),
            AnswerCache(items_max=100, bytes_max=1_000_000),
            Bounds(0, 100, 10_000),
            threaded=threaded,
        )
        self.commits = 0
        self.syncs = 0
        self.before_commit: Callable[[], None] = lambda: None
        self.before_sync: Callable[[], None] = lambda: None

    def commit(self, write: object) -> None:
        dirty = getattr(write, "dirty", False)
        if dirty:
            try:
                self.before_commit()
            except DiskFull:
                self.abort(write)  # type: ignore[arg-type]
                raise
        super().commit(write)  # type: ignore[arg-type]
        self.commits += dirty

    def sync(self) -> None:
        self.before_sync()
        super().sync()
        self.syncs += 1


class Parts(NamedTuple):
    """`ended`: why the process was to end."""

    engine: Counting
    committer: Committer
    ended: list[str]


@asynccontextmanager
async def opened(folder: Path, *, threaded: bool) -> AsyncIterator[Parts]:
    ended: list[str] = []
    engine = Counting(folder / "disk", threaded=threaded)
    committer = Committer(engine, SystemClock(), end_process=ended.append)
    yield Parts(engine, committer, ended)
    engine.before_commit = engine.before_sync = lambda: None
    if not ended:
        await committer.close()
    engine.close()


@pytest.fixture(params=["inline", "threaded"])
async def parts(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Parts]:
    async with opened(tmp_path, threaded=request.param == "threaded") as made:
        yield made


@pytest.fixture
async def inline(tmp_path: Path) -> AsyncIterator[Parts]:
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    async with opened(tmp_path, threaded=False) as made:
        yield made


@pytest.fixture
async def threaded(tmp_path: Path) -> AsyncIterator[Parts]:
    async with opened(tmp_path, threaded=True) as made:
        yield made


def full() -> NoReturn:
    raise DiskFull("no room")


def broken() -> NoReturn:
    raise FatalDisk("input/output error")


def apply(engine: Engine, key: str, value: bytes = b"v", *, epoch: int = 1, disk: str | None = None) -> Apply:
    return Apply(
        "c", epoch, disk or engine.disk.disk, slot_of(key), key, None, value, key.encode().ljust(16), 1.0
    )


def read(engine: Engine, key: str, *, epoch: int = 1) -> Read:
    return Read("c", epoch, engine.disk.disk, slot_of(key), key)


async def ask(committer: Committer, *calls: AnyCall) -> list[AnyReply]:
    async with deadline():
        return await committer.submit(calls)


async def test_what_was_applied_is_read_back_from_cache_and_disk(parts: Parts) -> None:
    engine, committer, _ = parts
    (reply,) = await ask(committer, apply(engine, "k"))
    assert isinstance(reply, Applied)
    engine.cache.clear()
    assert await ask(committer, read(engine, "k")) == [Found(reply.record)]


async def test_all_requests_of_one_turn_share_one_commit(parts: Parts) -> None:
    engine, committer, _ = parts
    await ask(committer, apply(engine, "first"))
    before = engine.commits
    replies = await asyncio.gather(*(committer.submit([apply(engine, f"k{n}")]) for n in range(50)))
    assert engine.commits == before + 1
    assert all(isinstance(reply, Applied) for (reply,) in replies)


async def test_no_reply_leaves_before_its_commit_is_synced(inline: Parts) -> None:
    engine, committer, _ = inline
    seen: list[tuple[int, bool, bool]] = []
    write, reads = committer.submit([apply(engine, "a")]), committer.submit([read(engine, "a")])
    engine.before_sync = lambda: seen.append((engine.commits, write.done(), reads.done()))
    await in_time(asyncio.gather(write, reads))
    assert seen == [(1, False, False)]


async def test_a_read_waits_for_the_sync_of_what_it_saw(inline: Parts) -> None:
    engine, committer, _ = inline
    await ask(committer, apply(engine, "k"))
    syncs = engine.syncs
    written = committer.submit([apply(engine, "other")])
    seen = committer.submit([read(engine, "other")])
    assert isinstance((await in_time(seen))[0], Found)
    assert engine.syncs == syncs + 1
    assert written.done()


async def test_on_a_thread_a_read_sees_nothing_that_is_not_synced_yet(threaded: Parts) -> None:
    engine, committer, _ = threaded
    await ask(committer, apply(engine, "before"))
    syncing, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        syncing.set()
        go_on.wait(patient_s())

    engine.before_sync = hold
    written = committer.submit([apply(engine, "k")])
    try:
        await until(syncing.is_set, "it is committed and not synced")
        during = await ask(committer, read(engine, "k"), read(engine, "before"))
    finally:
        go_on.set()
    (applied,) = await in_time(written)
    assert isinstance(applied, Applied)
    assert during[0] == Found(None)
    assert isinstance(during[1], Found) and during[1].record is not None
    assert await ask(committer, read(engine, "k")) == [Found(applied.record)]


async def test_reads_alone_commit_and_sync_nothing(parts: Parts) -> None:
    engine, committer, _ = parts
    await ask(committer, apply(engine, "k"))
    before = (engine.commits, engine.syncs)
    for _ in range(3):
        await ask(committer, read(engine, "k"), read(engine, "absent"))
    assert (engine.commits, engine.syncs) == before


async def test_a_disk_that_is_full_at_the_commit_refuses_changes_and_answers_reads(parts: Parts) -> None:
    engine, committer, _ = parts
    (applied,) = await ask(committer, apply(engine, "k"))
    assert isinstance(applied, Applied)
    engine.before_commit = full
    replies = await ask(committer, apply(engine, "new"), read(engine, "k"), read(engine, "new"))
    assert replies == [NO_SPACE, Found(applied.record), Found(None)]
    engine.before_commit = lambda: None
    assert isinstance((await ask(committer, apply(engine, "new")))[0], Applied)


async def test_a_sync_of_unknown_outcome_ends_the_process_and_answers_nobody(inline: Parts) -> None:
    engine, committer, ended = inline
    engine.before_commit = broken
    waiting = committer.submit([apply(engine, "k")])
    await asyncio.wait([waiting], timeout=patient_s())
    assert ended == ["input/output error"]
    assert isinstance(waiting.exception(), CommitFailed)


@pytest.mark.parametrize("code", [errno.EROFS, errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE])
def test_what_the_device_says_is_no_damage_of_the_file(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    error = lmdb.Error("the system's words")
    monkeypatch.setattr(error, "code", code, raising=False)
    assert not is_damage(error)


def test_a_process_whose_damaged_disk_takes_no_mark_ends_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(os, "execv", lambda *_words: pytest.fail("it would start again on the damaged file"))
    ending.begin_anew(tmp_path / "a folder that is gone", "a page leads nowhere")
    assert ended == [70]


async def test_whatever_finds_the_disk_broken_after_the_commit_ends_the_process_and_leaves_nobody_waiting(
    inline: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, committer, ended = inline
    await ask(committer, apply(engine, "k"))
    engine.before_commit = full
    monkeypatch.setattr(engine, "reading", broken)
    waiting = committer.submit([apply(engine, "new"), read(engine, "k")])
    await asyncio.wait([waiting], timeout=patient_s())
    assert ended == ["input/output error"]
    assert isinstance(waiting.exception(), CommitFailed)
    monkeypatch.undo()


async def test_calls_for_another_disk_cluster_or_an_older_epoch_do_nothing(parts: Parts) -> None:
    engine, committer, _ = parts
    replies = await ask(
        committer,
        apply(engine, "a", epoch=5),
        apply(engine, "b", epoch=4),
        apply(engine, "c", epoch=5, disk="another"),
        Read("d", 5, engine.disk.disk, slot_of("a"), "a"),
    )
    assert isinstance(replies[0], Applied)
    assert isinstance(replies[1], StaleEpoch)
    assert isinstance(replies[2], WrongDisk)
    assert isinstance(replies[3], WrongDisk)


async def test_a_fresh_disk_belongs_to_the_first_cluster_that_knows_it(parts: Parts) -> None:
    engine, committer, _ = parts
    assert isinstance((await ask(committer, apply(engine, "a", disk="another")))[0], WrongDisk)
    assert engine.state.cluster == ""
    await ask(committer, apply(engine, "a"))
    assert engine.state.cluster == "c"


async def test_a_replica_that_hands_over_begins_no_write_but_takes_those_of_others(parts: Parts) -> None:
    engine, committer, _ = parts
    committer.handing_over = frozenset({slot_of("k")})
    record = Record(Version(1, 1), bytes(16), 0.0, False, None, (), b"v")
    replicate = Replicate("c", 1, engine.disk.disk, slot_of("k"), "k", record)
    assert await ask(committer, apply(engine, "k"), replicate, read(engine, "k")) == [
        JOINING,
        STORED,
        Found(record),
    ]


async def test_a_slot_that_is_handed_over_takes_no_write_behind_another_either(parts: Parts) -> None:
    engine, committer, _ = parts
    disk = engine.disk.disk
    record = Record(Version(1, 1), bytes(16), 0.0, False, None, (), b"v")
    relay = Relay("c", 1, disk, slot_of("k"), "k", record, apply(engine, "l"))
    committer.handing_over = frozenset({slot_of("l")})
    assert await ask(committer, relay, read(engine, "k"), read(engine, "l")) == [
        JOINING,
        Found(None),
        Found(None),
    ]


async def test_a_job_sees_its_own_transaction_and_its_result_is_durable(parts: Parts) -> None:
    engine, committer, _ = parts
    await committer.run(lambda txn: txn.raise_floor(9, 8))
    assert (engine.state.floor, engine.state.published) == (9, 8)


async def test_nobody_waits_for_ever_for_a_programming_error(parts: Parts) -> None:
    _, committer, _ = parts
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)

    def mistake(_txn: object) -> None:
        raise ZeroDivisionError

    job = committer.run(mistake)
    await asyncio.wait([job], timeout=patient_s())
    with pytest.raises(
        CommitFailed, match="ZeroDivisionError"
    ):  # not a cancellation: that would end who waits
        job.result()


async def test_what_is_in_the_journal_is_brought_to_the_data_file_soon_without_another_write(
    inline: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, committer, _ = inline
    monkeypatch.setattr(committing, "CHECKPOINT_S", 0.01)
    await ask(committer, apply(engine, "k"))
    await until(lambda: not engine.journaled, "it is in the data file")


async def test_a_checkpoint_that_is_due_does_not_wait_and_comes_after_the_replies(
    inline: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, committer, _ = inline
    monkeypatch.setattr(engines, "CHECKPOINT_CHANGES", 1)
    monkeypatch.setattr(committing, "CHECKPOINT_S", 60.0)
    waiting = committer.submit([apply(engine, "k")])
    told: list[bool] = []
    waiting.add_done_callback(lambda _done: told.append(engine.journaled))
    await in_time(waiting)
    await asyncio.sleep(0)
    assert told == [True]
    assert not engine.journaled


async def test_a_checkpoint_that_finds_no_room_is_tried_again_and_one_that_fails_ends_the_process(
    inline: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, committer, ended = inline
    monkeypatch.setattr(committing, "CHECKPOINT_S", 0.0)
    failures: list[Exception] = [FatalDisk("broken"), DiskFull("no room")]

    def fail() -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr(engine, "checkpoint", fail)
    await ask(committer, apply(engine, "k"))
    await until(lambda: ended, "the process is ended")
    assert (ended, failures) == (["broken"], [])
    monkeypatch.undo()


async def test_who_asked_is_told_in_the_turn_that_has_synced_it(inline: Parts) -> None:
    engine, committer, _ = inline
    told: list[object] = []
    seen = asyncio.get_running_loop().create_future()
    committer.begin([apply(engine, "k")], told.append)
    asyncio.get_running_loop().call_soon(lambda: seen.set_result(len(told)))  # right behind the commit
    assert await seen == 1


async def test_who_asked_is_told_once_of_a_commit_that_ended_in_an_error(inline: Parts) -> None:
    engine, committer, _ = inline
    told: list[tuple[str, type]] = []

    def mistaken(replies: object) -> None:
        told.append(("mistaken", type(replies)))
        if isinstance(replies, list):
            raise ZeroDivisionError

    committer.begin([apply(engine, "k")], mistaken)
    committer.begin([apply(engine, "l")], lambda replies: told.append(("behind", type(replies))))
    await until(lambda: len(told) >= 2, "both are told")
    assert told == [("mistaken", list), ("behind", CommitFailed)]
