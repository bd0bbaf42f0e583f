"""Group commit: everything that arrived in one turn of the loop goes into one transaction and one sync.

Inline (a sync takes less than two milliseconds): the transaction runs on the loop itself, which orders reads and writes.
Threaded: on one thread of its own, while the next group gathers; what only reads is answered from what is synced.
No reply leaves before the commit that holds what it says is synced (R9). What is in the journal only is brought to the data
file when enough of it has gathered, or soon after the first of it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, TypeVar

from dronedispatch.kvstore import ending
from dronedispatch.kvstore.core.rules import changes_disk, execute
from dronedispatch.kvstore.ending import DiskWatch
from dronedispatch.kvstore.engine import Engine
from dronedispatch.kvstore.txn import DiskFull, LmdbTxn
from dronedispatch.replication.calls import (
    JOINING,
    NO_SPACE,
    AnyCall,
    AnyReply,
    Apply,
    Lock,
    Read,
    Relay,
    Scan,
)
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.tally import TallyCounter, TallyHistogram

T = TypeVar("T")
INLINE_FSYNC_S: Final = 0.002
SWITCH_INTERVAL_S: Final = 0.0005
"""With a writer thread beside a busy loop the interpreter's default of 5 ms is paid at every hand-over."""
GROUP_CALLS_MAX: Final = 4_096
CHECKPOINT_S: Final = 2.0
"""The longest that a commit stays in the journal only."""

COMMITS = TallyCounter("dd_kvstore_commits", "Commits of one group each", [])
CHECKPOINTS = TallyCounter(
    "dd_kvstore_checkpoints", "Commits of many groups from the journal to the data file", []
)
GROUP = TallyHistogram(
    "dd_kvstore_group_calls", "Calls of one commit", (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024)
)
COMMIT_S = TallyHistogram(
    "dd_kvstore_commit_seconds", "Transaction and sync", (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
)
CALLS = TallyCounter("dd_kvstore_calls", "Calls of coordinators and joiners by reply", ["reply"])


class CommitFailed(Exception):
    """The transaction ended in an error that is in the log: nothing of it was committed."""


Told = Callable[[list[AnyReply] | CommitFailed], None]


class _Batch:
    """The calls of one request, and who is told their replies, once."""

    __slots__ = ("calls", "replies", "size", "then")

    def __init__(self, calls: Sequence[AnyCall], then: Told) -> None:
        self.calls = calls
        self.size = len(calls)
        self.then = then
        self.replies: list[AnyReply] = []

    def tell(self, replies: list[AnyReply] | CommitFailed) -> None:
        then, self.then = self.then, _nobody
        then(replies)


def _nobody(_replies: list[AnyReply] | CommitFailed) -> None:
    """Whoever waited has been told."""


class _Job:
    """A piece of work on a transaction of its own account (joining, purging hints), and who waits for its result."""

    __slots__ = ("done", "error", "result", "work")
    size = 1

    def __init__(self, work: Callable[[LmdbTxn], Any], done: asyncio.Future[Any]) -> None:
        self.work = work
        self.done = done
        self.result: Any = None
        self.error: DiskFull | None = None


class Committer:
    """The only user of the engine's write transaction. `close` before the engine is closed.

    `handing_over`: slots in which this replica begins no write any more, because it is about to leave.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        *,
        end_process: Callable[[str], None] | None = None,
        begin_anew: Callable[[str], None] | None = None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._disk_watch = DiskWatch(
            end_process or ending.end_process, begin_anew or partial(ending.begin_anew, engine.disk.path)
        )
        self.handing_over: frozenset[int] = frozenset()
        self._waiting: list[_Batch | _Job] = []
        self._scheduled = False
        self._checkpoint_at: asyncio.TimerHandle | None = None
        self._checkpoint_soon = False
        self._began_s = 0.0
        self._thread: ThreadPoolExecutor | None = None
        self._under_way: asyncio.Task[None] | None = None
        if engine.threaded:
            sys.setswitchinterval(SWITCH_INTERVAL_S)
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="kvstore-commit")

    def submit(self, calls: Sequence[AnyCall]) -> asyncio.Future[list[AnyReply]]:
        """The replies to `calls`, in order, once they are true for ever."""
        done: asyncio.Future[list[AnyReply]] = asyncio.get_running_loop().create_future()

        def told(replies: list[AnyReply] | CommitFailed) -> None:
            if done.done():  # who asked has gone
                return
            if isinstance(replies, CommitFailed):
                done.set_exception(replies)
                done.exception()  # retrieved: who waits for it may have gone
            else:
                done.set_result(replies)

        self.begin(calls, told)
        return done

    def begin(self, calls: Sequence[AnyCall], then: Told) -> None:
        """The same, told to `then` at once: a future is heard of a turn of the loop later."""
        batch = _Batch(calls, then)
        if self._thread is not None and self._only_reads(calls):
            with self._disk_watch, self._engine.reading() as txn:
                self._execute(txn, batch)
            self._answer(batch)
            return
        self._enqueue(batch)

    def run(self, work: Callable[[LmdbTxn], T]) -> asyncio.Future[T]:
        """The result of `work` once what it did is synced. `work` awaits nothing. The future raises DiskFull."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._enqueue(_Job(work, done))
        return done

    async def close(self) -> None:
        """Commit what is waiting, then stop the thread."""
        await self.run(lambda _txn: None)
        if self._checkpoint_at is not None:
            self._checkpoint_at.cancel()
        if self._thread is not None:
            self._thread.shutdown()

    def _enqueue(self, entry: _Batch | _Job) -> None:
        self._waiting.append(entry)
        if self._scheduled or self._under_way is not None:
            return
        self._scheduled = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        group = self._take()
        if not group:
            return
        if self._thread is not None:
            self._under_way = asyncio.create_task(self._transact_on_thread(self._thread, group))
            return
        try:
            with self._disk_watch:
                self._finish(group, self._transact(group))
        except BaseException as error:
            _fail(group, error)
            raise

    def _take(self) -> list[_Batch | _Job]:
        calls = index = 0
        while index < len(self._waiting) and calls < GROUP_CALLS_MAX:
            calls += self._waiting[index].size
            index += 1
        group, self._waiting = self._waiting[:index], self._waiting[index:]
        return group

    async def _transact_on_thread(self, thread: ThreadPoolExecutor, group: list[_Batch | _Job]) -> None:
        try:
            with self._disk_watch:
                try:
                    write = await asyncio.get_running_loop().run_in_executor(thread, self._transact, group)
                finally:
                    self._under_way = None
                self._finish(group, write)
        except BaseException as error:
            _fail(group, error)
            raise

    def _finish(self, group: list[_Batch | _Job], write: LmdbTxn | None) -> None:
        """On the loop: publish what is committed, then let go the replies that are true for ever."""
        if write is None:
            self._refuse(group)
        else:
            self._engine.publish(write)
        if write is not None and write.dirty:
            if self._thread is None:  # the thread has synced already
                self._engine.sync()
            COMMITS.add()
            COMMIT_S.observe(self._clock.monotonic_s() - self._began_s)
            GROUP.observe(sum([entry.size for entry in group]))
        for entry in group:
            self._answer(entry)
        if self._engine.journaled:
            self._plan_checkpoint()
        if self._waiting and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _plan_checkpoint(self) -> None:
        """Runs after replies are sent, so only the next request can be delayed."""
        if self._checkpoint_soon:
            return
        loop = asyncio.get_running_loop()
        if self._engine.checkpoint_due:
            if self._checkpoint_at is not None:
                self._checkpoint_at.cancel()
            self._checkpoint_soon = True
            loop.call_soon(self._checkpoint)
        elif self._checkpoint_at is None:
            self._checkpoint_at = loop.call_later(CHECKPOINT_S, self._checkpoint)

    def _checkpoint(self) -> None:
        self._checkpoint_at, self._checkpoint_soon = None, False
        try:
            with self._disk_watch, self._engine.guarded():
                self._engine.checkpoint()
        except DiskFull:
            self._checkpoint_at = asyncio.get_running_loop().call_later(CHECKPOINT_S, self._checkpoint)
        else:
            CHECKPOINTS.add()

    def _transact(self, group: list[_Batch | _Job]) -> LmdbTxn | None:
        """Run and commit `group`; None: the disk was full at the commit, nothing of it happened."""
        self._began_s = self._clock.monotonic_s()
        with self._engine.guarded():
            return self._carry_out(group)

    def _carry_out(self, group: list[_Batch | _Job]) -> LmdbTxn | None:
        engine = self._engine
        write = engine.begin()
        try:
            for entry in group:
                if isinstance(entry, _Batch):
                    self._execute(write, entry)
                else:
                    _work(write, entry)
                if write.broken:
                    engine.abort(write)
                    return None
        except BaseException:
            engine.abort(write)
            raise
        try:
            engine.commit(write)
            if self._thread is not None and write.dirty:
                engine.sync()
        except DiskFull:
            return None
        return write

    def _execute(self, txn: LmdbTxn, batch: _Batch) -> None:
        now_s = self._clock.monotonic_s()
        replies: list[AnyReply] = []
        batch.replies = replies
        for call in batch.calls:
            if not txn.state.cluster and call.disk == txn.disk and not txn.read_only:
                txn.belong_to(call.cluster)  # only a view that names this disk can have told the caller of it
            if self.handing_over and self._hands_over(call):
                replies.append(JOINING)  # nothing done: the next view has another primary
                continue
            try:
                replies.append(execute(txn, call, now_s))
            except DiskFull:
                replies.append(NO_SPACE)

    def _hands_over(self, call: AnyCall) -> bool:
        """Whether `call` would begin a write that another replica is about to lead."""
        begun = call.then if type(call) is Relay else call
        return begun.slot in self.handing_over and type(begun) in (Apply, Lock)

    def _refuse(self, group: list[_Batch | _Job]) -> None:
        """The commit of `group` found no room: nothing was done, but what only reads can be answered all the same."""
        for entry in group:
            if isinstance(entry, _Job):
                entry.error = entry.error or DiskFull("the disk is full")
                continue
            with self._engine.reading() as txn:
                now_s = self._clock.monotonic_s()
                entry.replies = [
                    execute(txn, call, now_s) if self._only_reads((call,)) else NO_SPACE
                    for call in entry.calls
                ]

    def _only_reads(self, calls: Sequence[AnyCall]) -> bool:
        """Whether `calls` need no write transaction: reads at an epoch that this replica has promised already."""
        state = self._engine.state
        epoch = min(state.floor, state.published)
        return all(
            type(call) in (Read, Scan) and not changes_disk(call) and call.epoch <= epoch for call in calls
        )

    def _answer(self, entry: _Batch | _Job) -> None:
        if isinstance(entry, _Batch):
            _count(entry.replies)
            entry.tell(entry.replies)
            return
        if entry.done.done():
            return
        if entry.error is not None:
            entry.done.set_exception(entry.error)
        else:
            entry.done.set_result(entry.result)


def _work(write: LmdbTxn, job: _Job) -> None:
    try:
        job.result = job.work(write)
    except DiskFull as error:
        job.error = error


def _fail(group: list[_Batch | _Job], error: BaseException) -> None:
    """Nobody may wait for ever for what ended in an error, nor take it for the end of his own task (a cancellation)."""
    for entry in group:
        if isinstance(entry, _Batch):
            entry.tell(CommitFailed(repr(error)))
        elif not entry.done.done():
            entry.done.set_exception(CommitFailed(repr(error)))
            entry.done.exception()  # retrieved: who waits for it may have gone


def _count(replies: list[AnyReply]) -> None:
    """By kind, at once for a batch."""
    kinds: dict[type, int] = {}
    for reply in replies:
        kind = type(reply)
        kinds[kind] = kinds.get(kind, 0) + 1
    for kind, count in kinds.items():
        CALLS.add(kind.__name__.lower(), count=count)
