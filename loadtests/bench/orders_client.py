"""The client of `scripts/bench orders`: open arrivals, and what became of them as one event stream tells it."""

from __future__ import annotations

import asyncio
import resource
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
from loadtests.bench.arrivals import arrive
from loadtests.city import order

from dronedispatch.fleet.city import default_city
from dronedispatch.fleet.documents import unstamp
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError

POST_TIMEOUT_S = 35.0
ENDED = frozenset({"delivered", "cancelled", "failed"})
WEIGHT_KG = (0.2, 3.0)  # every class carries it


def cpu_s() -> float:
    """CPU seconds of this process so far."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


@dataclass
class Outcome:
    """What the client saw. Times in seconds; `first_assigned_s` and `ended_s` by id: UTC, as the events say."""

    post_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    created_s: dict[str, float] = field(default_factory=dict)
    first_assigned_s: dict[str, float] = field(default_factory=dict)
    ended_s: dict[str, float] = field(default_factory=dict)
    ends: dict[str, str] = field(default_factory=dict)
    resets: int = 0
    breaks: int = 0  # of the stream
    events: int = 0
    read_again: int = 0

    def refuse(self, why: str, took_s: float) -> None:
        """An order that was not accepted."""
        self.refused[why] = self.refused.get(why, 0) + 1
        self.refused_s.append(took_s)

    def told(self, delivery_id: str, status: str, at_s: float) -> None:
        """An event, or a record that was read."""
        if status == "assigned":
            self.first_assigned_s.setdefault(delivery_id, at_s)
        if status in ENDED:
            self.ends.setdefault(delivery_id, status)
            self.ended_s.setdefault(delivery_id, at_s)

    @property
    def open_orders(self) -> list[str]:
        """Accepted, and nobody has said how it ended."""
        return [one for one in self.created_s if one not in self.ends]

    def to_assigned_s(self) -> list[float]:
        """created -> first assigned, of the accepted orders that were assigned."""
        return [
            self.first_assigned_s[one] - made_s
            for one, made_s in self.created_s.items()
            if one in self.first_assigned_s
        ]

    def to_ended_s(self) -> list[float]:
        """created -> ended."""
        return [self.ended_s[one] - made_s for one, made_s in self.created_s.items() if one in self.ended_s]


class Client:
    """Places orders at the door, and reads one event stream all the while."""

    def __init__(self, host: str, port: int, seed: int) -> None:
        self._door = host, port
        self._rng = Random(seed)
        self._city = default_city()
        self._run = secrets.token_hex(4)  # a second run with the same seed places the same orders anew
        self._http = HttpClient(resend_on_reuse_reset=False, connections_max=1024)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def run(self, rate: float, seconds: float, wait_s: float, outcome: Outcome) -> None:
        """`rate` orders a second for `seconds`, each sent once; then up to `wait_s` until all have ended."""
        reader = asyncio.create_task(self._read(outcome))
        try:
            await asyncio.sleep(0.5)  # the stream is open before the first order
            await arrive(self._rng, rate, seconds, lambda: self._place(outcome))
            end_s = time.monotonic() + wait_s
            while outcome.open_orders and time.monotonic() < end_s:  # noqa: ASYNC110 - the reader has no event for it
                await asyncio.sleep(0.2)
            await self._look_again(outcome)
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)

    async def _place(self, outcome: Outcome) -> None:
        headers = (
            ("content-type", "application/json"),
            ("idempotency-key", f"bench-{self._run}-{self._rng.getrandbits(64):x}"),
        )
        parcel = order(self._city, self._rng, self._rng.uniform(*WEIGHT_KG))
        body, began_s = msgspec.json.encode(parcel), time.monotonic()
        try:
            answer = await self._http.request(
                "POST", *self._door, "/deliveries", headers=headers, body=body, timeout_s=POST_TIMEOUT_S
            )
        except HttpError as exc:
            outcome.refuse(type(exc).__name__, time.monotonic() - began_s)
            return
        took_s = time.monotonic() - began_s
        if answer.status != 201:
            known = answer.status in (429, 503) and "retry-after" in answer.headers
            outcome.refuse(f"{answer.status}{'' if known else ' without Retry-After'}", took_s)
            return
        accepted: dict[str, Any] = msgspec.json.decode(answer.body)
        outcome.post_s.append(took_s)
        outcome.created_s[accepted["id"]] = unstamp(accepted["created_at"])

    async def _read(self, outcome: Outcome) -> None:
        """Until cancelled: the stream, opened again where it ends."""
        last: str | None = None
        while True:
            try:
                reader, writer = await asyncio.open_connection(*self._door, limit=2**22)
                resume = f"Last-Event-ID: {last}\r\n" if last else ""
                writer.write(f"GET /events?topics=delivery HTTP/1.1\r\nHost: bench\r\n{resume}\r\n".encode())
                try:
                    last = await self._take(reader, last, outcome)
                finally:
                    writer.close()
            except (OSError, asyncio.IncompleteReadError):
                outcome.breaks += 1
            await asyncio.sleep(0.2)

    async def _take(self, reader: asyncio.StreamReader, last: str | None, outcome: Outcome) -> str | None:
        topic = ""
        async for line in _lines(reader):
            name, _, value = line.partition(": ")
            if name == "event":
                topic = value
                outcome.resets += topic == "reset"
            elif name == "id":
                last = value
            elif name == "data" and topic == "delivery":
                told: dict[str, Any] = msgspec.json.decode(value)
                outcome.events += 1
                outcome.told(told["delivery_id"], told["status"], unstamp(told["at"]))
        return last

    async def _look_again(self, outcome: Outcome) -> None:
        """Read what the stream did not say (after a `reset`, or because it has not ended): 32 at a time."""
        unknown = {
            *outcome.open_orders,
            *(one for one in outcome.created_s if one not in outcome.first_assigned_s),
        }
        names = sorted(unknown)
        for start in range(0, len(names), 32):
            for found in await asyncio.gather(*map(self._one, names[start : start + 32])):
                if found is None:
                    continue
                outcome.read_again += 1
                for line in found["history"]:
                    outcome.told(found["id"], line["to"], unstamp(line["at"]))

    async def _one(self, delivery_id: str) -> dict[str, Any] | None:
        try:
            answer = await self._http.request(
                "GET", *self._door, f"/deliveries/{delivery_id}", timeout_s=10.0
            )
        except HttpError:
            return None
        found: dict[str, Any] | None = msgspec.json.decode(answer.body) if answer.status == 200 else None
        return found


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[str]:
    """The lines of a chunked body, once its head has passed; ends where the body or the connection ends."""
    head = await reader.readuntil(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ConnectionError(head.partition(b"\r\n")[0].decode("latin-1"))
    rest = b""
    try:
        while size := int(await reader.readline(), 16):
            rest += await reader.readexactly(size)
            await reader.readexactly(2)
            *whole, rest = rest.split(b"\n")
            for line in whole:
                yield line.decode()
    except (asyncio.IncompleteReadError, ValueError):
        return
