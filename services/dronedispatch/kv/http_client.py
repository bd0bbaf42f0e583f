"""The store over HTTP: a KVClient that speaks to any of the coordinators (see request_batcher.py for how)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from dronedispatch.kv import wire
from dronedispatch.kv.client import Cas, Lease, Op, OpResult, Page, Pair, PairResult, Put
from dronedispatch.kv.error_mapping import failure_of
from dronedispatch.kv.errors import (
    KVError,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from dronedispatch.kv.request_batcher import OPERATIONS, PAIRS, RequestBatcher, Waiting
from dronedispatch.kv.single_key_ops import SingleKeyOps, not_begun
from dronedispatch.kv.validation import check_key, check_op, refusal
from dronedispatch.kv.version import Version, parse_version
from dronedispatch.runtime.clock import Clock, SystemClock
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.collector import HttpResponse
from dronedispatch.runtime.http.errors import HttpError, RequestNotSent

T = TypeVar("T")
OLD_S = 30.0
"""For so long after a coordinator of an older release has refused a pair, pairs are two requests, whoever gets them."""


class HttpKV(SingleKeyOps):
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
        batch_headers = (*self._headers, ("content-type", wire.MSGPACK))
        self._json_headers = (*self._headers, ("content-type", "application/json"))
        self._timeout_s = timeout_s
        self._clock = clock or SystemClock()
        self._batcher = RequestBatcher(endpoints, http, batch_headers, self._clock, OPERATIONS)
        self._pairs = RequestBatcher(endpoints, http, batch_headers, self._clock, PAIRS)
        self._old_until_s = -OLD_S

    async def close(self) -> None:
        """Give up what is under way: reads as Unavailable, writes as OutcomeUnknown. Does not close `http`."""
        await self._batcher.close()
        await self._pairs.close()

    # --- single keys ---

    async def batch(self, ops: Sequence[Op]) -> list[OpResult]:
        """See KVClient."""
        return list(await asyncio.gather(*map(self._submit, ops)))

    def _submit(self, op: Op) -> asyncio.Future[OpResult]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[OpResult] = loop.create_future()
        refused = refusal(op)
        if refused is not None:
            done.set_result(refused)
            return done
        self._batcher.put(Waiting(op, done, self._clock.monotonic_s() + self._timeout_s))
        return done

    async def pair(self, first: Put | Cas, second: Put | Cas) -> PairResult:
        """See KVClient. One request, or two while there are coordinators that know no pairs."""
        now_s = self._clock.monotonic_s()
        if now_s < self._old_until_s:
            return await super().pair(first, second)
        check_op(first)
        check_op(second)
        done: asyncio.Future[PairResult | KVError] = asyncio.get_running_loop().create_future()
        self._pairs.put(Waiting(Pair(first, second), done, now_s + self._timeout_s))
        result = await done
        if isinstance(result, Refused) and result.status in (404, 405):  # nothing of it has happened
            self._old_until_s = self._clock.monotonic_s() + OLD_S
            return await super().pair(first, second)
        if isinstance(result, OutcomeUnknown):
            return result, result
        return not_begun(result) if isinstance(result, KVError) else result

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
            endpoint = self._batcher.choose() or next(iter(self._endpoints()), None)
            if endpoint is not None:
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
                except RequestNotSent as error:
                    said = Unavailable(str(error))
                except HttpError as error:
                    if not read:
                        raise OutcomeUnknown(str(error)) from error
                    said = Unavailable(str(error))
                else:
                    if response.status == 200:
                        return response
                    said = failure_of(response)
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
