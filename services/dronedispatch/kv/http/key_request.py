"""/kv/{key} over HTTP: the operation that a request asks for, and the answer to its result. Pure.

Both ways to the store come here, Sanic's (server.py) and the one below it (kvfront/fast_path.py): they cannot differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import msgspec

from dronedispatch.kv.client import Cas, Delete, Get, Item, Op, OpResult, Put
from dronedispatch.kv.errors import (
    Fenced,
    KVError,
    LockHeld,
    OutcomeUnknown,
    Refused,
    Unauthorized,
    Unavailable,
    VersionConflict,
)
from dronedispatch.kv.http import json_api
from dronedispatch.kv.validation import check_key, check_op
from dronedispatch.kv.version import Version, parse_version
from dronedispatch.runtime.problems import Problem

Header = Callable[[str], str | None]
"""The value of a request's header, by its name in lower case; None: it was not sent."""


class KeyAnswer(NamedTuple):
    """What to send. `content_type` None: there is no body."""

    status: int
    headers: dict[str, str]
    content_type: str | None
    body: bytes


def parse_key_request(method: str, path: bytes, header: Header, body: bytes) -> Op:
    """The operation of a GET, PUT or DELETE of `path`, the raw part behind /kv/.

    Raises Refused, or Problem 412 for a condition that can never be true.
    """
    key = key_of(path)
    if method == "GET":
        return Get(key)
    conditional, expected = _condition(header)
    fence = header("x-fence")
    fence_version = None if fence is None else parse(fence.strip(), "x-fence")
    if method == "DELETE":
        if conditional and expected is None:
            raise Refused(400, "a DELETE on the condition that the key is absent does nothing")
        return Delete(key, expected, fence_version)
    tags = tuple(tag for part in (header("x-tags") or "").split(",") if (tag := part.strip()))
    text = header("idempotency-key")
    write_id = None if text is None else json_api.write_id_of(text)
    op: Op
    if conditional:
        op = Cas(key, expected, body, tags, fence_version, write_id)
    else:
        op = Put(key, body, tags, fence_version, write_id)
    check_op(op)
    return op


def render(op: Op, result: OpResult) -> KeyAnswer:
    """The answer to `result` of an operation of parse_key_request. Raises Problem when it is an error, or absence."""
    if isinstance(result, KVError):
        raise problem_of(result, conditional=_is_conditional(op))
    if isinstance(result, Item):
        headers = _etag(result)
        if result.tags:
            headers["X-Tags"] = ", ".join(result.tags)
        return KeyAnswer(200, headers, "application/octet-stream", result.value)
    if isinstance(result, Version):
        version = str(result)
        body = msgspec.json.encode({"key": op.key, "version": version})
        return KeyAnswer(201 if result.n == 1 else 200, {"ETag": f'"{version}"'}, "application/json", body)
    if isinstance(op, Get):
        raise Problem(404, f"{op.key}: absent")
    return KeyAnswer(204, {}, None, b"")


def _is_conditional(op: Op) -> bool:
    return isinstance(op, Cas) or (isinstance(op, Delete) and op.expected is not None)


def parse(text: str, name: str) -> Version | None:
    """The version in `text`; None: absent. Raises Refused 400, which names the header or field."""
    try:
        return parse_version(text)
    except ValueError as error:
        raise Refused(400, f"{name}: {error}") from error


def key_of(path: bytes) -> str:
    """The key in the raw path behind /kv/. Raises Refused 400 or 414."""
    try:
        key = (unquote_to_bytes(path) if b"%" in path else path).decode()
    except UnicodeDecodeError as error:
        raise Refused(400, f"the key is not UTF-8: {error.reason}") from error
    check_key(key)
    return key


def _condition(header: Header) -> tuple[bool, Version | None]:
    """(whether there is a condition, the version it wants) from If-Match and If-None-Match: *."""
    match, none_match = header("if-match"), header("if-none-match")
    if none_match is not None:
        if none_match.strip() != "*":
            raise Refused(400, "If-None-Match can only be *: the key must not exist")
        if match is not None:
            raise Refused(400, "If-Match and If-None-Match: * cannot both be true")
        return True, None
    if match is None:
        return False, None
    match = match.strip()
    if match.startswith(
        "W/"
    ):  # RFC 9110, 13.1.1: the comparison is strong, and a weak tag is never equal to anything
        raise Problem(
            412, f"If-Match: {match[:40]} is a weak tag, which matches no version", reason="version"
        )
    return True, parse(match.strip('"'), "If-Match")


def problem_of(error: KVError, *, conditional: bool = False) -> Problem:
    """The problem document for `error`; `conditional`: the client used If-Match, so a conflict is 412."""
    match error:
        case VersionConflict(current=current):
            if conditional:
                return Problem(
                    412, str(error), headers=_etag(current), reason="version", version=_version(current)
                )
            fields: dict[str, Any] = {} if current is None else dict(json_api.value_fields(current.value))
            return Problem(409, str(error), reason="cas_mismatch", version=_version(current), **fields)
        case Fenced():
            return Problem(409, str(error), reason="fenced", highest=str(error.highest))
        case LockHeld():
            return Problem(409, str(error), reason="lock_held", name=error.name, owner=error.owner)
        case Refused():
            return Problem(error.status, error.detail)
        case Unauthorized():
            return Problem(503, f"between the store's own processes: {error}", headers={"Retry-After": "1"})
        case Unavailable():
            seconds = max(1, round(error.retry_after_s))
            return Problem(error.status, str(error), headers={"Retry-After": str(seconds)})
        case OutcomeUnknown():
            return Problem(504, str(error), headers={"X-Outcome": "unknown"}, outcome="unknown")
        case _:
            raise error


def _version(item: Item | None) -> str:
    return "0" if item is None else str(item.version)


def _etag(item: Item | None) -> dict[str, str]:
    return {} if item is None else {"ETag": f'"{item.version}"'}
