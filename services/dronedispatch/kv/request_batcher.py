"""A client's way to the coordinators: what concurrent callers ask joined into one request, spread, never resent.

No timer joins them: whatever has queued while the last batches were away goes with the next. A batch that certainly was not
taken goes to another coordinator; of one that broke on the way only the reads are asked again, and its writes are
OutcomeUnknown. A coordinator that has not answered for `SLOW_S` gets nothing new while there is another one, and the
reads that it holds are asked elsewhere too: whichever answers first.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import msgspec

from dronedispatch.kv import wire
from dronedispatch.kv.client import Op, OpResult, Pair, PairResult
from dronedispatch.kv.error_mapping import detail_of, failure_of
from dronedispatch.kv.errors import KVError, OutcomeUnknown, Unavailable
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.collector import HttpResponse
from dronedispatch.runtime.http.errors import HttpError, RequestNotSent

BATCH_OPS: Final = 256
BATCH_BYTES: Final = 4 * 1024 * 1024
AWAY_MAX: Final = 2
"""Batches under way to one coordinator."""
SLOW_S: Final = 0.5
TRIES_MAX: Final = 12


Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True)
class BatchFormat(Generic[Q, R]):
    """What a batcher sends: operations `Q`, of which each gets an `R`.

    `size`: about how many bytes one takes. `decode` raises msgspec.MsgspecError for what is no answer.
    """

    target: str
    is_read: Callable[[Q], bool]
    size: Callable[[Q], int]
    decode: Callable[[bytes], Sequence[R | KVError]]


OPERATIONS: Final[BatchFormat[Op, OpResult]] = BatchFormat(
    "/kv/batch", wire.is_read, wire.op_bytes, wire.decode_results
)
PAIRS: Final[BatchFormat[Pair, PairResult]] = BatchFormat(
    "/kv/pair",
    lambda _pair: False,
    lambda pair: wire.op_bytes(pair.first) + wire.op_bytes(pair.second),
    wire.decode_pair_results,
)


class Waiting(Generic[Q, R]):
    """One operation and who waits for its result."""

    __slots__ = ("deadline_s", "done", "op", "tries")

    def __init__(self, op: Q, done: asyncio.Future[R | KVError], deadline_s: float) -> None:
        self.op = op
        self.done = done
        self.deadline_s = deadline_s
        self.tries = 0

    def settle(self, result: R | KVError) -> None:
        """The first result counts."""
        if not self.done.done():
            self.done.set_result(result)


class RequestBatcher(Generic[Q, R]):
    """See the module's promise. Use it within one running event loop; `close` it."""

    def __init__(
        self,
        endpoints: Callable[[], Sequence[Endpoint]],
        http: HttpClient,
        headers: tuple[tuple[str, str], ...],
        clock: Clock,
        form: BatchFormat[Q, R],
    ) -> None:
        self._form = form
        self._endpoints = endpoints
        self._http = http
        self._headers = headers
        self._clock = clock
        self._queue: deque[Waiting[Q, R]] = deque()
        self._away: dict[str, list[float]] = {}
        self._scheduled = False
        self._turn = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    def put(self, waiting: Waiting[Q, R]) -> None:
        """Send it with the next batch; its result is certain to come."""
        self._queue.append(waiting)
        self._wake()

    async def close(self) -> None:
        """Give up what is under way: reads as Unavailable, writes as OutcomeUnknown."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in self._queue:
            waiting.settle(Unavailable("the client was closed"))
        self._queue.clear()

    def choose(self) -> Endpoint | None:
        """The next coordinator that may get a batch: in turn, slow ones last. None: none is known, or all are busy."""
        table = self._endpoints()
        start, now_s = next(self._turn), self._clock.monotonic_s()
        slow: Endpoint | None = None
        for step in range(len(table)):
            endpoint = table[(start + step) % len(table)]
            away = self._away.get(endpoint.id, ())
            if len(away) >= AWAY_MAX:
                continue
            if not away or now_s - away[0] < SLOW_S:
                return endpoint
            slow = slow or endpoint
        return slow

    def _wake(self) -> None:
        """Send once the callers of this turn of the loop have all queued."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._scheduled = False
        while self._queue:
            endpoint = self.choose()
            if endpoint is None:
                if not self._endpoints():
                    left, self._queue = list(self._queue), deque()
                    self._start(self._again(left, "no coordinator is known"))
                return
            began_s = self._clock.monotonic_s()
            if batch := self._take(began_s):
                self._away.setdefault(endpoint.id, []).append(began_s)
                self._start(self._deliver(endpoint, batch, began_s))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _take(self, now_s: float) -> list[Waiting[Q, R]]:
        """What goes with the next batch. What nobody waits for any longer goes nowhere: it has certainly not happened."""
        batch: list[Waiting[Q, R]] = []
        size = 0
        while self._queue and len(batch) < BATCH_OPS:
            waiting = self._queue[0]
            if waiting.done.done() or waiting.deadline_s <= now_s:
                self._queue.popleft().settle(Unavailable("no coordinator could take it in time"))
                continue
            size += self._form.size(waiting.op)
            if batch and size > BATCH_BYTES:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _deliver(self, endpoint: Endpoint, batch: list[Waiting[Q, R]], began_s: float) -> None:
        """One try at one coordinator: every operation is settled, or tried again where that is safe."""
        timer = asyncio.get_running_loop().call_later(SLOW_S, self._ask_elsewhere, batch)
        left_s = max(0.01, min(waiting.deadline_s for waiting in batch) - began_s)
        unsettled: KVError = OutcomeUnknown("given up while it was under way")
        again: list[Waiting[Q, R]] = []
        reason = ""
        try:
            response = await self._http.request(
                "POST",
                endpoint.address,
                endpoint.port,
                self._form.target,
                headers=self._headers,
                body=wire.encode([waiting.op for waiting in batch]),
                timeout_s=left_s,
            )
            if response.status == 503:  # it did not take the batch at all (draining, not ready)
                again, reason = batch, detail_of(response)
            else:
                self._settle(batch, response)
        except RequestNotSent as error:
            again, reason = batch, str(error)
        except HttpError as error:
            unsettled, reason = OutcomeUnknown(str(error)), str(error)
            again = [waiting for waiting in batch if self._form.is_read(waiting.op)]
        finally:  # cancelled, too
            timer.cancel()
            self._away[endpoint.id].remove(began_s)
            if not self._away[endpoint.id]:
                del self._away[endpoint.id]  # a coordinator that moved away leaves nothing behind
            keep = set(map(id, again))
            for waiting in batch:
                if id(waiting) not in keep:
                    waiting.settle(Unavailable("given up") if self._form.is_read(waiting.op) else unsettled)
            if self._queue:
                self._wake()
        if again:
            await self._again(again, reason)

    def _ask_elsewhere(self, batch: list[Waiting[Q, R]]) -> None:
        """The coordinator is slow: its reads may as well be asked of another."""
        if len(self._endpoints()) < 2:
            return
        for waiting in batch:
            if self._form.is_read(waiting.op) and not waiting.done.done() and waiting.tries < TRIES_MAX:
                waiting.tries += 1
                self.put(waiting)

    async def _again(self, batch: list[Waiting[Q, R]], reason: str) -> None:
        """What may still be tried, after a short pause; the rest is Unavailable (it was certainly not applied)."""
        now_s = self._clock.monotonic_s()
        left = []
        for waiting in batch:
            waiting.tries += 1
            if waiting.done.done():
                continue
            if waiting.tries >= TRIES_MAX or now_s + 0.1 >= waiting.deadline_s:
                waiting.settle(Unavailable(reason))
            else:
                left.append(waiting)
        if not left:
            return
        tries = left[0].tries
        try:
            await asyncio.sleep(0.0 if tries == 1 else min(0.5, 0.01 * 2**tries))
        except asyncio.CancelledError:
            for waiting in left:
                waiting.settle(Unavailable("the client was closed"))
            raise
        self._queue.extendleft(reversed(left))
        self._wake()

    def _settle(self, batch: list[Waiting[Q, R]], response: HttpResponse) -> None:
        if response.status != 200:
            failure = failure_of(response)
            for waiting in batch:
                waiting.settle(failure)
            return
        try:
            results = self._form.decode(response.body)
        except msgspec.MsgspecError as error:
            results = [OutcomeUnknown(f"unreadable answer: {error}")] * len(batch)
        for place, waiting in enumerate(batch):
            waiting.settle(results[place] if place < len(results) else OutcomeUnknown("no answer"))
