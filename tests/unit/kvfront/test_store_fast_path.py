"""The coordinator's way below Sanic says what Sanic's says, and leaves to Sanic what is not right."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from dronedispatch.kv import wire
from dronedispatch.kv.client import Cas, Get, Item, Op, OpResult, Pair, PairResult, Put
from dronedispatch.kv.errors import KVError, OutcomeUnknown, Unavailable, VersionConflict
from dronedispatch.kv.version import Version
from dronedispatch.kvfront.fast_path import lane
from dronedispatch.runtime.settings import Secret

ITEM = Item("k/ä", Version(2, 3), b"value", ("a=1", "b=2"))
PAIR: PairResult = (Version(1, 1), Version(2, 1))
MSGPACK = wire.MSGPACK.encode()


class Asked:
    """One request; `told` is what was answered."""

    def __init__(self, method: bytes, target: bytes, body: bytes = b"", **headers: bytes) -> None:
        self.method, self.target, self.body = method, target, body
        named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
        self.headers = {b"authorization": b"Bearer secret"} | named
        self.told: tuple[int, bytes, bytes] | None = None

    def respond(self, status: int, head: bytes, body: bytes) -> None:
        assert self.told is None
        self.told = (status, head, body)


class Begun:
    """A coordinator that ends each operation with `result`, and each pair with `PAIR`."""

    def __init__(self, result: OpResult) -> None:
        self.result = result
        self.ops: list[Op] = []

    def begin(self, ops: Sequence[Op], then: Callable[[list[OpResult]], None]) -> None:
        self.ops.extend(ops)
        then([self.result])

    def begin_pairs(self, pairs: Sequence[Pair], then: Callable[[list[PairResult]], None]) -> None:
        self.ops.extend(op for pair in pairs for op in (pair.first, pair.second))
        then([PAIR for _ in pairs])


def ask(asked: Asked, result: OpResult = None) -> list[Op] | None:
    """The operations that were begun; None: left to Sanic, and nothing was begun."""
    coordinator = Begun(result)
    taken = lane(lambda: coordinator, Secret("secret"))(asked)  # type: ignore[arg-type]
    assert taken or not coordinator.ops
    return coordinator.ops if taken else None


def test_a_get_tells_the_value_with_its_version_and_tags() -> None:
    asked = Asked(b"GET", b"/kv/k/%C3%A4")
    assert ask(asked, ITEM) == [Get("k/ä")]
    head = b'etag: "2.3"\r\nx-tags: a=1, b=2\r\ncontent-type: application/octet-stream\r\n'
    assert asked.told == (200, head, b"value")


@pytest.mark.parametrize(("count", "status"), [(1, 201), (2, 200)])
def test_a_put_tells_the_new_version(count: int, status: int) -> None:
    asked = Asked(b"PUT", b"/kv/k", b"v", x_tags=b" a=1 ,, b=2", x_fence=b"1.7 ")
    assert ask(asked, Version(2, count)) == [Put("k", b"v", ("a=1", "b=2"), Version(1, 7))]
    head = b'etag: "2.%d"\r\ncontent-type: application/json\r\n' % count
    assert asked.told == (status, head, b'{"key":"k","version":"2.%d"}' % count)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [({"if_match": b'"2.3"'}, Version(2, 3)), ({"if_none_match": b"*"}, None), ({"if_match": b'"0"'}, None)],
)
def test_a_condition_makes_a_compare_and_set(headers: dict[str, bytes], expected: Version | None) -> None:
    assert ask(Asked(b"PUT", b"/kv/k", b"v", **headers), Version(2, 4)) == [Cas("k", expected, b"v")]


def test_a_pair_tells_both_versions() -> None:
    first, second = Cas("a", None, b"1"), Cas("b", None, b"2", ("t=1",))
    asked = Asked(b"POST", b"/kv/pair", wire.encode([Pair(first, second)]), content_type=MSGPACK)
    assert ask(asked) == [first, second]
    assert asked.told is not None
    assert wire.decode_pair_results(asked.told[2]) == [PAIR]


@pytest.mark.parametrize(
    ("asked", "result", "status", "head", "member"),
    [
        (Asked(b"GET", b"/kv/k"), None, 404, b"", ("detail", "k: absent")),
        (
            Asked(b"PUT", b"/kv/k", if_match=b'"1.1"'),
            VersionConflict("k", ITEM),
            412,
            b'etag: "2.3"\r\n',
            ("version", "2.3"),
        ),
        (Asked(b"PUT", b"/kv/k"), Unavailable("away"), 503, b"retry-after: 1\r\n", ("detail", "away")),
        (Asked(b"PUT", b"/kv/k"), OutcomeUnknown("?"), 504, b"x-outcome: unknown\r\n", ("outcome", "unknown")),
    ],
    ids=["absent", "condition", "unavailable", "unknown"],
)  # fmt: skip
def test_an_error_is_a_problem_document(
    asked: Asked, result: KVError | None, status: int, head: bytes, member: tuple[str, Any]
) -> None:
    ask(asked, result)
    assert asked.told is not None
    assert asked.told[:2] == (status, head + b"content-type: application/problem+json\r\n")
    document = msgspec.json.decode(asked.told[2])
    assert (document["status"], document["instance"], document[member[0]]) == (status, "/kv/k", member[1])


@pytest.mark.parametrize(
    "asked",
    [
        Asked(b"GET", b"/kv/%ff"),
        Asked(b"GET", b"/kv/"),
        Asked(b"GET", b"/kv/k?x=1"),
        Asked(b"GET", b"/kv/k", authorization=b"Bearer other"),
        Asked(b"DELETE", b"/kv/k"),
        Asked(b"PUT", b"/kv/k", if_match=b'W/"1.1"'),
        Asked(b"PUT", b"/kv/k", if_match=b"one"),
        Asked(b"PUT", b"/kv/k", if_match=b'"1.1"', if_none_match=b"*"),
        Asked(b"PUT", b"/kv/k", if_none_match=b'"1.1"'),
        Asked(b"PUT", b"/kv/k", x_tags=b"nonsense"),
        Asked(b"PUT", b"/kv/k", x_fence=b"\xff"),
        Asked(b"PUT", b"/kv/k", idempotency_key=b"x" * 201),
        Asked(b"PUT", b"/kv/k", bytes((1 << 20) + 1)),
        Asked(b"POST", b"/kv/pair", b"", content_type=MSGPACK),
        Asked(b"POST", b"/kv/pair", wire.encode([]), content_type=MSGPACK),
        Asked(b"POST", b"/kv/pair", wire.encode([Pair(Put("a", b""), Put("", b""))]), content_type=MSGPACK),
        Asked(b"POST", b"/kv/pair", wire.encode([Pair(Put("a", b""), Put("b", b""))])),
    ],
    ids=lambda asked: f"{asked.method.decode()}-{len(asked.headers)}-{asked.target.decode()}",
)
def test_what_is_not_right_is_left_to_sanic_and_nothing_of_it_happens(asked: Asked) -> None:
    assert ask(asked) is None
    assert asked.told is None
