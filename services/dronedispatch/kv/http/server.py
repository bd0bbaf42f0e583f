"""The store's API over HTTP, for whoever has a KVClient to put behind it: kvfront, a kvstore by itself, the memory twin.

    add_routes(app, lambda: coordinator)

The version is the ETag ("epoch.n"). A failed If-Match is 412; a failed /kv/cas, a fenced write and a held lock are 409 with
their `reason`; 503 (507: disk full) with Retry-After was not applied; 504 with X-Outcome: unknown may have been.
A client that goes away cancels its handler, so every operation runs in a task of its own: half a fan-out helps nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import msgspec
import structlog
from sanic import HTTPResponse, Request, Sanic
from sanic.response import raw

from dronedispatch.kv import wire
from dronedispatch.kv.client import Cas, KVClient, Lease, Op, Pair, PairResult
from dronedispatch.kv.errors import KVError, Refused, VersionConflict
from dronedispatch.kv.http import json_api
from dronedispatch.kv.http.key_request import key_of, parse, parse_key_request, problem_of, render
from dronedispatch.kv.single_key_ops import not_begun
from dronedispatch.kv.validation import check_key, check_op, refusal
from dronedispatch.kv.version import Version
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.web import json_answer, require_token

log = structlog.get_logger()

T = TypeVar("T")
SCAN_LIMIT_MAX = 5_000
SCAN_LIMIT_DEFAULT = 500

_tasks: set[asyncio.Task[Any]] = set()


def add_routes(app: Sanic[Any, Any], kv: Callable[[], KVClient]) -> None:
    """Add the routes of the store's API to `app`; `kv` is asked for at each request."""

    @require_token("store")
    async def kv_key(request: Request, path: str) -> HTTPResponse:
        return await _guarded(_one(request, kv()))

    app.add_route(kv_key, "/kv/<path:path>", methods=["GET", "PUT", "DELETE", "POST"], name="kv_key")

    @app.get("/kv", name="kv_scan")
    @require_token("store")
    async def kv_scan(request: Request) -> HTTPResponse:
        return await _guarded(_scan(request, kv()))

    @app.post("/lock/<action:str>", name="lock")
    @require_token("store")
    async def lock(request: Request, action: str) -> HTTPResponse:
        return await _guarded(_lock(request, action, kv()))


async def shielded(work: Coroutine[Any, Any, T]) -> T:
    """`work` in its own task: the caller may be cancelled, the work is not."""
    task = asyncio.create_task(work)
    _tasks.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


def _ended(task: asyncio.Task[Any]) -> None:
    """Who asked may have gone: then an answer of the store has no reader, and an error of another kind is logged here."""
    _tasks.discard(task)
    if (
        not task.cancelled()
        and (error := task.exception()) is not None
        and not isinstance(error, KVError | Problem)
    ):
        log.error("an operation failed", error=repr(error), exc_info=error)


async def _guarded(answer: Coroutine[Any, Any, HTTPResponse]) -> HTTPResponse:
    try:
        return await shielded(answer)
    except KVError as error:
        raise problem_of(error) from error


# --- /kv/{key}, /kv/cas, /kv/batch, /kv/pair ------------------------------------------------------------------------


async def _one(request: Request, kv: KVClient) -> HTTPResponse:
    path = request.raw_url.partition(b"?")[0][len(b"/kv/") :]
    if request.method == "POST":
        match key_of(path):
            case "cas":
                return await _cas(request, kv)
            case "batch":
                return await _batch(request, kv)
            case "pair":
                return await _pairs(request, kv)
        raise Problem(
            405, "POST goes to /kv/cas, /kv/batch and /kv/pair only", headers={"Allow": "GET, PUT, DELETE"}
        )
    op = parse_key_request(request.method, path, request.headers.get, request.body or b"")
    (result,) = await kv.batch([op])
    answer = render(op, result)
    if answer.content_type is None:
        return HTTPResponse(status=answer.status, headers=answer.headers)
    return raw(answer.body, status=answer.status, headers=answer.headers, content_type=answer.content_type)


async def _cas(request: Request, kv: KVClient) -> HTTPResponse:
    wanted = json_api.decode(request.body, json_api.CasRequest)
    check_key(wanted.key)
    if "old" in wanted.given():
        expected = await _version_by_value(wanted, kv)
    else:
        expected = parse(wanted.expected or "0", "expected")
    value = wanted.octets()
    op = Cas(wanted.key, expected, value, tuple(wanted.tags), wanted.fence_version(), wanted.write_id())
    check_op(op)
    (result,) = await kv.batch([op])
    if isinstance(result, KVError):
        raise result
    return json_answer({"key": wanted.key, "version": str(result)}, headers={"ETag": f'"{result}"'})


async def _version_by_value(wanted: json_api.CasRequest, kv: KVClient) -> Version | None:
    """The version to expect when the client names the old value; None (`old` is null): absent. Raises VersionConflict."""
    current = await kv.get(wanted.key)
    if wanted.old is None:
        if current is not None:
            raise VersionConflict(wanted.key, current)
        return None
    if current is None or current.value != str(wanted.old).encode():
        raise VersionConflict(wanted.key, current)
    return current.version


async def _batch(request: Request, kv: KVClient) -> HTTPResponse:
    if request.headers.get("content-type", "").startswith(wire.MSGPACK):
        try:
            ops = wire.decode_ops(request.body)
        except msgspec.MsgspecError as error:
            raise Refused(400, f"not a batch: {error}") from error
        return raw(wire.encode_results(await run_batch(ops, kv)), content_type=wire.MSGPACK)
    ops = json_api.decode(request.body, json_api.BatchRequest).operations()
    results = await run_batch(ops, kv)
    return json_answer(
        {"results": [json_api.result(op, found) for op, found in zip(ops, results, strict=True)]}
    )


async def _pairs(request: Request, kv: KVClient) -> HTTPResponse:
    """Between programs only: a person writes twice."""
    try:
        pairs = wire.decode_pairs(request.body)
    except msgspec.MsgspecError as error:
        raise Refused(400, f"no pairs of writes in {wire.MSGPACK}: {error}") from error
    if len(pairs) > wire.BATCH_OPS_MAX:
        raise Refused(413, f"{len(pairs)} pairs of writes, at most {wire.BATCH_OPS_MAX}")
    results = await asyncio.gather(*(_pair(pair, kv) for pair in pairs))
    return raw(wire.encode_pair_results(results), content_type=wire.MSGPACK)


async def _pair(pair: Pair, kv: KVClient) -> PairResult:
    """What breaks a limit is refused alone, the other pairs happen."""
    try:
        return await kv.pair(pair.first, pair.second)
    except Refused as error:
        return not_begun(error)


async def run_batch(ops: list[Op], kv: KVClient) -> list[Any]:
    """Every operation's own result, in order: what breaks a limit is refused alone, the others happen."""
    if len(ops) > wire.BATCH_OPS_MAX:
        raise Refused(413, f"{len(ops)} operations in a batch, at most {wire.BATCH_OPS_MAX}")
    refused = [refusal(op) for op in ops]
    results = iter(await kv.batch([op for op, no in zip(ops, refused, strict=True) if no is None]))
    return [next(results) if no is None else no for no in refused]


# --- scans and locks ------------------------------------------------------------------------------------------------


async def _scan(request: Request, kv: KVClient) -> HTTPResponse:
    known = {"prefix", "tag", "after", "limit", "reverse"}
    if unknown := sorted(set(request.args) - known):
        raise Refused(400, f"unknown parameter {unknown[0]!r}; known: {', '.join(sorted(known))}")
    limit_text = request.args.get("limit", str(SCAN_LIMIT_DEFAULT))
    if not limit_text.isascii() or not limit_text.isdigit() or not 1 <= int(limit_text) <= SCAN_LIMIT_MAX:
        raise Refused(400, f"limit {limit_text[:20]!r} is not a number from 1 to {SCAN_LIMIT_MAX}")
    reverse = request.args.get("reverse", "0")
    if reverse not in {"0", "1"}:
        raise Refused(400, f"reverse {reverse[:20]!r} is neither 0 nor 1")
    tag = request.args.get("tag")
    if tag is not None:
        json_api.check_tag(tag)
    page = await kv.scan(
        prefix=request.args.get("prefix"),
        tag=tag,
        after=request.args.get("after"),
        limit=int(limit_text),
        reverse=reverse == "1",
    )
    if request.headers.get("accept", "").startswith(wire.MSGPACK):
        return raw(wire.encode(page), content_type=wire.MSGPACK)
    return json_answer({"items": [json_api.item(one) for one in page.items], "next_after": page.next_after})


async def _lock(request: Request, action: str, kv: KVClient) -> HTTPResponse:
    wanted = json_api.decode(request.body, json_api.LockRequest)
    wanted.check(leases=action != "release")
    if action == "acquire":
        return _lease_answer(await kv.acquire(wanted.name, wanted.owner, wanted.ttl_ms or 0))
    token = parse(wanted.token, "token")
    if token is None:
        raise Refused(400, "token: 0 is no token")
    lease = Lease(wanted.name, wanted.owner, token, wanted.ttl_ms or 0, 0.0)
    if action == "renew":
        return _lease_answer(await kv.renew(lease))
    if action == "release":
        await kv.release(lease)
        return json_answer({"name": wanted.name, "released": True})
    raise Problem(404, f"/lock/{action}: there are acquire, renew and release")


def _lease_answer(lease: Lease) -> HTTPResponse:
    return json_answer(
        {"name": lease.name, "owner": lease.owner, "token": str(lease.token), "ttl_ms": lease.ttl_ms}
    )
