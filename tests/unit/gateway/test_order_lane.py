"""Orders below Sanic: a plain one never gets there, and both ways answer alike, to the word."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import msgspec
import pytest
from prometheus_client import REGISTRY
from sanic import Request

from dronedispatch.kv.client import Op
from dronedispatch.kv.errors import OutcomeUnknown, Unavailable
from dronedispatch.testing.gateway import MemoryGateway
from dronedispatch.testing.serving import serving
from support.gateway_client import ORDER
from support.waiting import deadline

BODY = msgspec.json.encode(ORDER)
OUTSIDE = msgspec.json.encode({**ORDER, "origin": {"lat": 10.0, "lon": 12.5}})
JSON = "Content-Type: application/json"
BY_SANIC = "Connection: keep-alive"  # no lane takes a request that has this line
TRANSPORT = frozenset({"alt-svc", "connection", "date"})


@dataclass
class Desk:
    """A served gateway, and what Sanic has seen of its requests."""

    gateway: MemoryGateway = field(default_factory=MemoryGateway)
    seen: list[str] = field(default_factory=list)
    port: int = 0

    async def post(self, *lines: str, body: bytes = BODY) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body); `lines` beside Host, X-Request-ID and those of the body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        every = ("Host: a", "X-Request-ID: r-1", *lines, f"Content-Length: {len(body)}")
        writer.write(("POST /deliveries HTTP/1.1\r\n" + "\r\n".join(every) + "\r\n\r\n").encode() + body)
        async with deadline():
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
            answer = await reader.readexactly(int(headers["content-length"]))
        writer.close()
        return int(head[0].split()[1]), headers, answer


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    made = Desk()

    async def note(request: Request) -> None:
        made.seen.append(request.path)

    made.gateway.app.register_middleware(note, "request", priority=9)  # before the guard, which may refuse it
    async with serving(made.gateway.app) as port:
        made.port = port
        yield made


def counted() -> float:
    return REGISTRY.get_sample_value("dd_http_requests_total", {"method": "POST", "status": "2xx"}) or 0.0


async def test_a_plain_order_is_placed_below_sanic_and_counts_like_any_other(desk: Desk) -> None:
    before = counted()
    status, headers, _ = await desk.post(JSON, "Idempotency-Key: k")
    assert status == 201
    assert headers["x-request-id"] == "r-1"
    assert desk.seen == []
    assert counted() == before + 1


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Type: application/json; charset=UTF-8",),
        ("Content-Type: text/plain",),
        (JSON, BY_SANIC),
        (JSON, "Content-Encoding: gzip"),
        (JSON, "Origin: http://elsewhere"),
        (JSON, "Sec-Fetch-Site: cross-site"),
        (JSON, "Idempotency-Key: k", "Idempotency-Key: k"),
        (JSON, "Idempotency-Key:"),
        (JSON, "Idempotency-Key: two words"),
        (JSON, "Idempotency-Key: caf\u00e9"),
        (JSON, f"Idempotency-Key: {'k' * 300}"),
    ],
)
async def test_what_is_unusual_or_to_be_refused_is_left_to_sanic(desk: Desk, lines: tuple[str, ...]) -> None:
    await desk.post(*lines)
    assert desk.seen == ["/deliveries"]


def _fails(error: Exception) -> Callable[[Op], None]:
    def fail(_op: Op) -> None:
        raise error

    return fail


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (201, BODY, None),
        (422, OUTSIDE, None),
        (503, BODY, Unavailable("away", retry_after_s=3.0)),
        (504, BODY, OutcomeUnknown("lost")),
        (500, BODY, ZeroDivisionError()),
    ],
)
async def test_both_ways_answer_alike(desk: Desk, status: int, body: bytes, error: Exception | None) -> None:
    if error is not None:
        desk.gateway.kv.before = _fails(error)
    assert await answer_of_both(desk, body) == status


async def answer_of_both(desk: Desk, body: bytes) -> int:
    """The status of an order's answers on both ways, which are alike but for what the connection adds."""
    before = len(desk.seen)
    below = await desk.post(JSON, "Idempotency-Key: k", body=body)
    assert len(desk.seen) == before
    above = await desk.post(JSON, "Idempotency-Key: k", BY_SANIC, body=body)
    assert desk.seen[before:] == ["/deliveries"]
    for _, headers, _ in (below, above):
        for name in TRANSPORT:
            headers.pop(name, None)
    assert below == above
    return below[0]


async def test_a_key_that_was_used_for_another_order_is_refused_on_both_ways_alike(desk: Desk) -> None:
    await desk.post(JSON, "Idempotency-Key: k")
    assert await answer_of_both(desk, msgspec.json.encode({**ORDER, "weight": 1.0})) == 422
