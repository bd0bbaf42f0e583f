"""The one client for all peers: kept connections, one request at a time on each, bytes made beforehand.

    python -m loadtests.bench.kv_client < plan.json

A process of its own, so that its CPU is nobody else's. It understands as much of HTTP/1.1 and of Redis' protocol as the
peers answer with, and counts an answer that is not what was asked for as an error.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
import sys
import time
from collections.abc import Callable
from typing import Any, Literal, cast

import msgspec
import uvloop

from dronedispatch.kv import wire
from dronedispatch.kv.client import Get, Put

Peer = Literal["ours", "etcd", "consul", "redis"]


class Plan(msgspec.Struct):
    """What to do: `connections` spread over `addresses` for `seconds`, keys `key0`..`key<keys-1>`, values of `value_bytes`.

    `batch`: so many operations in each request (ours only). `fill`: each key once, in order, however long it takes.
    """

    peer: Peer
    verb: Literal["put", "get"]
    addresses: list[tuple[str, int]]
    connections: int
    seconds: float
    keys: int
    value_bytes: int
    token: str = ""
    seed: int = 1
    batch: int = 0
    fill: bool = False


class Outcome(msgspec.Struct):
    """Latencies in microseconds, in no order. `operations` counts each of a batch."""

    operations: int
    errors: int
    seconds: float
    latencies_us: list[int]


def request_of(plan: Plan, key: str, value: bytes) -> bytes:
    """The bytes of one operation on `key`."""
    if plan.peer == "redis":
        words = [b"SET", key.encode(), value] if plan.verb == "put" else [b"GET", key.encode()]
        return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
    method, target, body = _http(plan, key, value)
    head = f"{method} {target} HTTP/1.1\r\nhost: it\r\n"
    if plan.token:
        head += f"authorization: Bearer {plan.token}\r\n"
    if method != "GET":
        head += f"content-length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def _http(plan: Plan, key: str, value: bytes) -> tuple[str, str, bytes]:
    if plan.peer == "etcd":
        name = base64.b64encode(key.encode()).decode()
        if plan.verb == "get":
            return "POST", "/v3/kv/range", json.dumps({"key": name}).encode()
        return (
            "POST",
            "/v3/kv/put",
            json.dumps({"key": name, "value": base64.b64encode(value).decode()}).encode(),
        )
    base = "/v1/kv/" if plan.peer == "consul" else "/kv/"
    query = "?raw" if plan.peer == "consul" and plan.verb == "get" else ""
    return ("PUT", base + key, value) if plan.verb == "put" else ("GET", base + key + query, b"")


def batch_of(plan: Plan, keys: list[str], value: bytes) -> bytes:
    """The bytes of one POST /kv/batch."""
    ops = [Put(key, value) if plan.verb == "put" else Get(key) for key in keys]
    body = wire.encode(ops)
    head = (
        f"POST /kv/batch HTTP/1.1\r\nhost: it\r\nauthorization: Bearer {plan.token}\r\n"
        f"content-type: {wire.MSGPACK}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def http_end(data: bytes) -> tuple[int, bool]:
    """(length of the first whole response in `data` or 0, whether it is a success)."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return 0, False
    fine = data[9:11] == b"20"
    lower = data[:head].lower()
    at = lower.find(b"content-length:")
    if at >= 0:
        end = lower.find(b"\r\n", at)
        total = head + 4 + int(lower[at + 15 : end if end >= 0 else head])
        return (total, fine) if len(data) >= total else (0, fine)
    end = data.find(b"\r\n0\r\n\r\n", head)
    return (end + 7, fine) if end >= 0 else (0, fine)


def redis_end(data: bytes) -> tuple[int, bool]:
    """The same for Redis' protocol."""
    line = data.find(b"\r\n")
    if line < 0:
        return 0, False
    if data[:1] != b"$":
        return line + 2, data[:1] == b"+"
    size = int(data[1:line])
    total = line + 2 + (size + 2 if size >= 0 else 0)
    return (total, size >= 0) if len(data) >= total else (0, False)


class _Connection(asyncio.Protocol):
    """Asks, waits, notes how long it took, asks again."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.began_s = 0.0
        self.data = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def ask(self) -> None:
        assert self.transport is not None
        self.began_s = time.perf_counter()
        self.transport.write(self.run.next_request())

    def data_received(self, data: bytes) -> None:
        self.data = self.data + data if self.data else data
        length, fine = self.run.end_of(self.data)
        if not length:
            return
        self.data = self.data[length:]
        if self.run.note(time.perf_counter() - self.began_s, fine=fine):
            self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        self.run.lost()


class Run:
    """All connections of one plan."""

    def __init__(self, plan: Plan) -> None:
        rng = random.Random(plan.seed)
        value = bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz0123456789", k=plan.value_bytes))
        self.plan = plan
        self.end_of: Callable[[bytes], tuple[int, bool]] = redis_end if plan.peer == "redis" else http_end
        names = [f"key{n}" for n in range(plan.keys)]
        if plan.batch:
            step = plan.batch
            self._requests = [
                batch_of(plan, names[at : at + step], value) for at in range(0, len(names), step)
            ]
        else:
            self._requests = [request_of(plan, name, value) for name in names]
        self._next = 0
        self._rng = rng
        self._latencies: list[int] = []
        self._errors = 0
        self._until_s = 0.0
        self._left = plan.connections
        self._over = asyncio.Event()

    def next_request(self) -> bytes:
        if self.plan.fill:
            self._next += 1
            return self._requests[(self._next - 1) % len(self._requests)]
        return self._requests[int(self._rng.random() * len(self._requests))]

    def note(self, seconds: float, *, fine: bool) -> bool:
        """One answer has arrived; whether to ask again."""
        self._latencies.append(int(seconds * 1e6))
        self._errors += not fine
        if self._next < len(self._requests) if self.plan.fill else time.perf_counter() < self._until_s:
            return True
        self._left -= 1
        if not self._left:
            self._over.set()
        return False

    def lost(self) -> None:
        if not self._over.is_set() and time.perf_counter() < self._until_s:
            self._errors += 1
            self._left -= 1
            if not self._left:
                self._over.set()

    async def carry_out(self) -> Outcome:
        loop = asyncio.get_running_loop()
        connections = []
        for number in range(self.plan.connections):
            host, port = self.plan.addresses[number % len(self.plan.addresses)]
            _, made = await loop.create_connection(lambda: _Connection(self), host, port)
            connections.append(made)
        began_s = time.perf_counter()
        self._until_s = began_s + self.plan.seconds
        for connection in connections:
            connection.ask()
        async with asyncio.timeout(self.plan.seconds + 120):
            await self._over.wait()
        seconds = time.perf_counter() - began_s
        for connection in connections:
            if connection.transport is not None:
                connection.transport.close()
        return Outcome(len(self._latencies) * max(1, self.plan.batch), self._errors, seconds, self._latencies)


def main() -> None:
    """Reads the plan, writes the outcome."""
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)

    async def carry_out() -> Any:
        return await Run(plan).carry_out()

    with open(
        sys.stdout.fileno(), "wb", closefd=False
    ) as out:  # stdout itself may be unbuffered: then it writes a part
        out.write(msgspec.json.encode(uvloop.run(carry_out())))


if __name__ == "__main__":
    main()
