"""The coordinator's fast lane: GET and PUT of one key, msgpack batches and pairs. Invalid ones fall through to Sanic."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from dronedispatch.kv import wire
from dronedispatch.kv.client import Op, OpResult, Pair, PairResult
from dronedispatch.kv.errors import Refused
from dronedispatch.kv.http.key_request import parse_key_request, render
from dronedispatch.kv.validation import refusal
from dronedispatch.runtime.fast_path import FastRequest, Lane
from dronedispatch.runtime.problems import CONTENT_TYPE, Problem
from dronedispatch.runtime.settings import Secret

_MSGPACK_HEAD = f"content-type: {wire.MSGPACK}\r\n".encode()
_METHODS = frozenset({b"GET", b"PUT"})


class Starts(Protocol):
    """What the lane wants of a coordinator."""

    def begin(self, ops: Sequence[Op], then: Callable[[list[OpResult]], None]) -> None:
        """Start the operations; `then` gets their results, in order."""

    def begin_pairs(self, pairs: Sequence[Pair], then: Callable[[list[PairResult]], None]) -> None:
        """Start pairs of writes."""


def lane(coordinator: Callable[[], Starts | None], token: Secret | None) -> Lane:
    """The lane; `coordinator()` is None while it takes no operations."""
    wanted = b"" if token is None else b"Bearer " + token.value.encode()

    def take(request: FastRequest) -> bool:
        target = request.target
        if not target.startswith(b"/kv/") or b"?" in target:
            return False
        if not wanted or not hmac.compare_digest(request.headers.get(b"authorization", b""), wanted):
            return False
        start = coordinator()
        if start is None:
            return False
        if request.method == b"POST":
            if request.headers.get(b"content-type") != wire.MSGPACK.encode():
                return False
            return _pairs(request, start) if target == b"/kv/pair" else _batch(request, start)
        op = _op_of(request, target[4:])
        if op is None:
            return False
        start.begin((op,), lambda results: _answer_one(request, op, results[0]))
        return True

    return take


def _op_of(request: FastRequest, path: bytes) -> Op | None:
    """The GET or PUT asked for; None: something for Sanic, an error above all."""
    if request.method not in _METHODS:
        return None
    headers = request.headers

    def header(name: str) -> str | None:
        value = headers.get(name.encode())
        return None if value is None else value.decode()

    try:
        return parse_key_request(request.method.decode(), path, header, request.body)
    except (Refused, Problem, UnicodeDecodeError):
        return None


def _answer_one(request: FastRequest, op: Op, result: OpResult) -> None:
    try:
        status, headers, kind, body = render(op, result)
    except Problem as problem:
        status, headers, kind = problem.status, problem.headers, CONTENT_TYPE
        body = problem.body(f"/kv/{op.key}")
    head = "".join([f"{name.lower()}: {value}\r\n" for name, value in headers.items()])
    request.respond(status, f"{head}content-type: {kind}\r\n".encode(), body)


def _batch(request: FastRequest, start: Starts) -> bool:
    if request.target != b"/kv/batch":
        return False
    try:
        ops = wire.decode_ops(request.body)
    except msgspec.MsgspecError:
        return False
    if len(ops) > wire.BATCH_OPS_MAX or any(refusal(op) is not None for op in ops):
        return False

    def answer(results: list[OpResult]) -> None:
        request.respond(200, _MSGPACK_HEAD, wire.encode_results(results))

    if ops:
        start.begin(ops, answer)
    else:
        asyncio.get_running_loop().call_soon(answer, [])
    return True


def _pairs(request: FastRequest, start: Starts) -> bool:
    try:
        pairs = wire.decode_pairs(request.body)
    except msgspec.MsgspecError:
        return False
    ops = [op for pair in pairs for op in (pair.first, pair.second)]
    if not 0 < len(ops) <= wire.BATCH_OPS_MAX or any(refusal(op) is not None for op in ops):
        return False

    def answer(results: list[PairResult]) -> None:
        request.respond(200, _MSGPACK_HEAD, wire.encode_pair_results(results))

    start.begin_pairs(pairs, answer)
    return True
