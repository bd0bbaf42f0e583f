"""The coordinator's fast lane: GET and PUT of one key, and msgpack batches. Invalid ones fall through to Sanic."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from urllib.parse import unquote_to_bytes

import msgspec

from dronedispatch.kv import wire
from dronedispatch.kv.client import Cas, Get, Item, Op, OpResult, Put
from dronedispatch.kv.errors import KVError, Refused
from dronedispatch.kv.http import json_api
from dronedispatch.kv.http.server import problem_of
from dronedispatch.kv.validation import refusal
from dronedispatch.kv.version import Version, parse_version
from dronedispatch.runtime.fast_path import FastRequest, Lane
from dronedispatch.runtime.problems import CONTENT_TYPE, Problem
from dronedispatch.runtime.settings import Secret

_MSGPACK_HEAD = f"content-type: {wire.MSGPACK}\r\n".encode()
_VALUE_HEAD = b'etag: "%b"\r\ncontent-type: application/octet-stream\r\n'
_WRITTEN_HEAD = b'etag: "%b"\r\ncontent-type: application/json\r\n'
_PROBLEM_HEAD = f"content-type: {CONTENT_TYPE}\r\n".encode()

Begin = Callable[[Sequence[Op], Callable[[list[OpResult]], None]], None]
"""Starts the operations; the callback gets their results, in order."""


def lane(begin: Callable[[], Begin | None], token: Secret | None) -> Lane:
    """The lane; `begin()` is None while this coordinator takes no operations."""
    wanted = b"" if token is None else b"Bearer " + token.value.encode()

    def take(request: FastRequest) -> bool:
        target = request.target
        if not target.startswith(b"/kv/") or b"?" in target:
            return False
        if not wanted or not hmac.compare_digest(request.headers.get(b"authorization", b""), wanted):
            return False
        start = begin()
        if start is None:
            return False
        if request.method == b"POST":
            return _batch(request, start)
        op = _op_of(request, target[4:])
        if op is None or refusal(op) is not None:
            return False
        start((op,), lambda results: _answer_one(request, op, results[0]))
        return True

    return take


def _op_of(request: FastRequest, path: bytes) -> Op | None:
    """The GET or PUT asked for; None: something for Sanic."""
    try:
        key = (unquote_to_bytes(path) if b"%" in path else path).decode()
        if request.method == b"GET":
            return Get(key)
        if request.method != b"PUT":
            return None
        return _put_of(request, key)
    except (ValueError, Refused):
        return None


def _put_of(request: FastRequest, key: str) -> Op:
    headers = request.headers
    tags = tuple(part for raw in headers.get(b"x-tags", b"").decode().split(",") if (part := raw.strip()))
    fence = parse_version(headers[b"x-fence"].decode()) if b"x-fence" in headers else None
    write_id = (
        json_api.write_id_of(headers[b"idempotency-key"].decode()) if b"idempotency-key" in headers else None
    )
    if b"if-none-match" in headers:
        if headers[b"if-none-match"] != b"*" or b"if-match" in headers:
            raise ValueError("Sanic's side says what is wrong")
        return Cas(key, None, request.body, tags, fence, write_id)
    if b"if-match" in headers:
        expected = parse_version(headers[b"if-match"].decode().strip('"'))
        return Cas(key, expected, request.body, tags, fence, write_id)
    return Put(key, request.body, tags, fence, write_id)


def _answer_one(request: FastRequest, op: Op, result: OpResult) -> None:
    if isinstance(result, Item):
        head = _VALUE_HEAD % str(result.version).encode()
        if result.tags:
            head += b"x-tags: %b\r\n" % ", ".join(result.tags).encode()
        request.respond(200, head, result.value)
    elif isinstance(result, Version):
        version = str(result).encode()
        body = msgspec.json.encode({"key": op.key, "version": str(result)})
        request.respond(201 if result.n == 1 else 200, _WRITTEN_HEAD % version, body)
    else:
        absent = Problem(404, f"{op.key}: absent")
        problem = problem_of(result, conditional=True) if isinstance(result, KVError) else absent
        head = _PROBLEM_HEAD + b"".join(
            f"{name.lower()}: {value}\r\n".encode() for name, value in problem.headers.items()
        )
        request.respond(problem.status, head, problem.body(f"/kv/{op.key}"))


def _batch(request: FastRequest, start: Begin) -> bool:
    if request.target != b"/kv/batch" or request.headers.get(b"content-type") != wire.MSGPACK.encode():
        return False
    try:
        ops = wire.decode_ops(request.body)
    except msgspec.MsgspecError:
        return False
    if len(ops) > wire.BATCH_OPS_MAX or any(refusal(op) is not None for op in ops):
        return False

    def answer(results: list[OpResult]) -> None:
        outcomes = [wire.outcome_of(result) for result in results]
        request.respond(200, _MSGPACK_HEAD, wire.encode(outcomes))

    if ops:
        start(ops, answer)
    else:
        asyncio.get_running_loop().call_soon(answer, [])
    return True
