"""The store over HTTP: a KVClient that speaks to any of the coordinators.

Operations of concurrent callers are joined into one /kv/batch per coordinator, without a timer: whatever has queued while
the last batches were away goes with the next. A batch that certainly did not arrive goes to another coordinator; of one
that broke on the way only the reads are asked again, and its writes are OutcomeUnknown. Nothing is ever resent.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from dronedispatch.kv import wire
from dronedispatch.kv.client import Cas, Delete, Get, Item, Lease, Op, OpResult, Page, Put
from dronedispatch.kv.errors import (
    KVError,
    LockHeld,
    OutcomeUnknown,
    Refused,
    Unauthorized,
    Unavailable,
)
from dronedispatch.kv.limits import check_key, refusal
from dronedispatch.kv.version import Version, parse_version
from dronedispatch.runtime.clock import Clock, SystemClock
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.http.client import HttpClient, HttpResponse
from dronedispatch.runtime.http.errors import HttpError, NotSent

T = TypeVar("T")
BATCH_OPS = 256
BATCH_BYTES = 4 * 1024 * 1024
_AWAY_MAX = 4


class _Waiting:
    """One operation and who waits for its result."""

    __slots__ = ("deadline_s", "done", "op", "tries")

    def __init__(self, op: Op, done: asyncio.Future[OpResult], deadline_s: float) -> None:
        self.op = op
        self.done = done
        self.deadline_s = deadline_s
        self.tries = 0

    def settle(self, result: OpResult) -> None:
        if not self.done.done():
            self.done.set_result(result)


class HttpKV:
    """A KVClient over the coordinators that `endpoints()` names (usually ServiceWatch("kvfront").endpoints).

    `http` must be made with resend_on_reuse_reset=False. `timeout_s` bounds every operation from the caller's side and must
    exceed the coordinator's own deadline, or its answers come too late. Use it within one running event loop; `close` it.
    """

    def __init__(
        self,
        endpoints: Callable[[], Sequence[Endpoint]],
        http: HttpClient,
        token: str,
        *,
        timeout_s: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        self._endpoints = endpoints
        self._http = http
        self._headers = (("authorization", f"Bearer {token}"), ("accept", wire.MSGPACK))
        self._batch_headers = (*self._headers, ("content-type", wire.MSGPACK))
        self._json_headers = (*self._headers, ("content-type", "application/json"))
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()
        self._queue: deque[_Waiting] = deque()
        self._away = 0
        self._scheduled = False
        self._turn = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Give up what is under way: reads as Unavailable, writes as OutcomeUnknown. Does not close `http`."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for waiting in self._queue:
            waiting.settle(Unavailable("the client was closed"))
        self._queue.clear()

    # --- single keys ---

    async def get(self, key: str) -> Item | None:
        """See KVClient."""
        found = await self._one(Get(key))
        assert found is None or isinstance(found, Item)
        return found

    async def put(
        self,
        key: str,
        value: bytes,
        *,
        tags: Sequence[str] = (),
        fence: Version | None = None,
        write_id: bytes | None = None,
    ) -> Version:
        """See KVClient."""
        return _version(await self._one(Put(key, value, tuple(tags), fence, write_id)))

    async def cas(
        self,
        key: str,
        expected: Version | None,
        value: bytes,
        *,
        tags: Sequence[str] = (),
        fence: Version | None = None,
        write_id: bytes | None = None,
    ) -> Version:
        """See KVClient."""
        return _version(await self._one(Cas(key, expected, value, tuple(tags), fence, write_id)))

    async def delete(self, key: str, expected: Version | None = None) -> None:
        """See KVClient."""
        await self._one(Delete(key, expected))

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        """See KVClient."""
        return list(await asyncio.gather(*map(self._submit, ops)))

    async def _one(self, op: Op) -> OpResult:
        result = await self._submit(op)
        if isinstance(result, KVError):
            raise result
        return result

    def _submit(self, op: Op) -> asyncio.Future[OpResult]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[OpResult] = loop.create_future()
        refused = refusal(op)
        if refused is not None:
            done.set_result(refused)
            return done
        self._queue.append(_Waiting(op, done, self._clock.monotonic_s() + self._timeout_s))
        self._wake()
        return done

    def _wake(self) -> None:
        """Send once the callers of this turn of the loop have all queued, if not too much is away already."""
        if not self._scheduled and self._away < _AWAY_MAX:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._send_queued)

    def _send_queued(self) -> None:
        self._scheduled = False
        while self._queue and self._away < _AWAY_MAX:
            batch = self._take()
            self._away += 1
            task = asyncio.create_task(self._deliver(batch))
            self._tasks.add(task)
            task.add_done_callback(self._delivered)

    def _delivered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._away -= 1
        if self._queue:
            self._wake()

    def _take(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        size = 0
        while self._queue and len(batch) < BATCH_OPS:
            size += wire.op_bytes(self._queue[0].op)
            if batch and size > BATCH_BYTES:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _deliver(self, batch: list[_Waiting]) -> None:
        """Bring `batch` to an end: every waiting caller gets a result."""
        try:
            while batch:
                batch = await self._attempt(batch)
        finally:  # cancelled by close()
            for waiting in batch:
                read = wire.is_read(waiting.op)
                waiting.settle(
                    Unavailable("given up") if read else OutcomeUnknown("given up while it was under way")
                )

    async def _attempt(self, batch: list[_Waiting]) -> list[_Waiting]:
        """One try at one coordinator; returns what may be tried again at another."""
        table = self._endpoints()
        now_s = self._clock.monotonic_s()
        if not table:
            return await self._later(batch, now_s, "no coordinator is known")
        endpoint = table[next(self._turn) % len(table)]
        left_s = max(0.01, min(waiting.deadline_s for waiting in batch) - now_s)
        try:
            response = await self._http.request(
                "POST",
                endpoint.address,
                endpoint.port,
                "/kv/batch",
                headers=self._batch_headers,
                body=wire.encode([waiting.op for waiting in batch]),
                timeout_s=left_s,
            )
        except NotSent as error:
            return await self._later(batch, now_s, str(error))
        except HttpError as error:
            for waiting in batch:
                if not wire.is_read(waiting.op):
                    waiting.settle(OutcomeUnknown(str(error)))
            return await self._later([one for one in batch if wire.is_read(one.op)], now_s, str(error))
        return await self._settle(batch, response, now_s)

    async def _settle(self, batch: list[_Waiting], response: HttpResponse, now_s: float) -> list[_Waiting]:
        if (
            response.status == 503
        ):  # the coordinator did not take the batch at all (draining, not bootstrapped)
            return await self._later(batch, now_s, _detail(response))
        if response.status != 200:
            failure = _failure(response)
            for waiting in batch:
                waiting.settle(failure)
            return []
        try:
            outcomes = wire.decode_outcomes(response.body)
        except msgspec.MsgspecError as error:
            outcomes = [wire.failed(OutcomeUnknown(f"unreadable answer: {error}"))] * len(batch)
        for waiting, outcome in itertools.zip_longest(batch, outcomes[: len(batch)]):
            waiting.settle(OutcomeUnknown("no answer") if outcome is None else wire.result_of(outcome))
        return []

    async def _later(self, batch: list[_Waiting], now_s: float, reason: str) -> list[_Waiting]:
        """What may still be tried, after a short pause; the rest is Unavailable (it was certainly not applied)."""
        again = []
        for waiting in batch:
            waiting.tries += 1
            if waiting.tries >= 8 or now_s + 0.1 >= waiting.deadline_s:
                waiting.settle(Unavailable(reason))
            else:
                again.append(waiting)
        if again:
            tries = again[0].tries
            await asyncio.sleep(0.0 if tries == 1 else 0.02 * 2**tries)
        return again

    # --- scans and locks ---

    async def scan(
        self,
        *,
        prefix: str | None = None,
        tag: str | None = None,
        after: str | None = None,
        limit: int = 500,
        reverse: bool = False,
    ) -> Page:
        """See KVClient."""
        wanted = {
            "prefix": prefix,
            "tag": tag,
            "after": after,
            "limit": limit,
            "reverse": "1" if reverse else None,
        }
        query = urlencode({name: value for name, value in wanted.items() if value is not None})
        response = await self._call("GET", f"/kv?{query}", b"", read=True)
        try:
            return msgspec.msgpack.decode(response.body, type=Page)
        except msgspec.MsgspecError as error:
            raise Unavailable(f"unreadable page: {error}") from error

    async def acquire(self, name: str, owner: str, ttl_ms: int) -> Lease:
        """See KVClient."""
        check_key(wire.LOCK_PREFIX + name)
        sent_s = self._clock.monotonic_s()
        answer = await self._lock("acquire", {"name": name, "owner": owner, "ttl_ms": ttl_ms})
        return Lease(name, owner, _token(answer), ttl_ms, sent_s)

    async def renew(self, lease: Lease) -> Lease:
        """See KVClient."""
        sent_s = self._clock.monotonic_s()
        answer = await self._lock("renew", _shown(lease))
        return Lease(lease.name, lease.owner, _token(answer), lease.ttl_ms, sent_s)

    async def release(self, lease: Lease) -> None:
        """See KVClient."""
        await self._lock("release", _shown(lease))

    async def _lock(self, action: str, document: dict[str, Any]) -> dict[str, Any]:
        response = await self._call("POST", f"/lock/{action}", msgspec.json.encode(document), read=False)
        answer: dict[str, Any] = msgspec.json.decode(response.body, type=dict[str, Any])
        return answer

    async def _call(self, method: str, target: str, body: bytes, *, read: bool) -> HttpResponse:
        """A 200 from any coordinator. Raises the KVError that the answer says."""
        deadline_s = self._clock.monotonic_s() + self._timeout_s
        said: KVError = Unavailable("no coordinator is known")
        for pause_s in _pauses():
            table = self._endpoints()
            if table:
                endpoint = table[next(self._turn) % len(table)]
                left_s = max(0.01, deadline_s - self._clock.monotonic_s())
                try:
                    response = await self._http.request(
                        method,
                        endpoint.address,
                        endpoint.port,
                        target,
                        headers=self._json_headers,
                        body=body,
                        timeout_s=left_s,
                    )
                except NotSent as error:
                    said = Unavailable(str(error))
                except HttpError as error:
                    if not read:
                        raise OutcomeUnknown(str(error)) from error
                    said = Unavailable(str(error))
                else:
                    if response.status == 200:
                        return response
                    said = _failure(response)
                    if not isinstance(said, Unavailable):
                        raise said
            if self._clock.monotonic_s() + pause_s >= deadline_s:
                break
            await asyncio.sleep(pause_s)
        raise said


def _pauses() -> Iterable[float]:
    return itertools.chain((0.0,), (0.04 * 2**n for n in range(7)))


def _shown(lease: Lease) -> dict[str, Any]:
    return {"name": lease.name, "owner": lease.owner, "ttl_ms": lease.ttl_ms, "token": str(lease.token)}


def _token(answer: dict[str, Any]) -> Version:
    token = parse_version(answer["token"])
    assert token is not None
    return token


def _version(result: OpResult) -> Version:
    assert isinstance(result, Version)
    return result


def _document(response: HttpResponse) -> dict[str, Any]:
    try:
        return msgspec.json.decode(response.body, type=dict[str, Any])
    except msgspec.MsgspecError:
        return {}


def _detail(response: HttpResponse) -> str:
    return str(_document(response).get("detail", f"status {response.status}"))


def _failure(response: HttpResponse) -> KVError:
    """The error that an answer other than 200 says."""
    document = _document(response)
    detail = str(document.get("detail", f"status {response.status}"))
    match response.status:
        case 401:
            return Unauthorized(detail)
        case 409 if document.get("reason") == "lock_held":
            return LockHeld(str(document.get("name", "")), document.get("owner"))
        case 503 | 507:
            return Unavailable(detail, status=response.status)
        case 400 | 404 | 405 | 413 | 414:
            return Refused(response.status, detail)
        case _:
            return OutcomeUnknown(f"{response.status}: {detail}")
