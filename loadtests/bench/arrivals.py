"""Open arrivals: orders come when they come (Poisson), whatever the system does with those before."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec
from loadtests import city as cities
from loadtests.bench.running import Running
from ulid import ULID

from dronedispatch.fleet.city import City, default_city
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG
from dronedispatch.runtime.http.errors import HttpError

PATIENCE_S = 60.0  # how long a client repeats an order under its key before it gives up


def order(rng: Random, city: City) -> bytes:
    """The body of one POST /deliveries: any parcel that some drone carries."""
    return msgspec.json.encode(cities.order(city, rng, rng.uniform(0.2, max(PAYLOAD_MAX_KG.values()))))


async def arrive(
    rng: Random, per_s: float, seconds: float, place: Callable[[], Coroutine[Any, Any, None]]
) -> None:
    """`place` at random moments, whatever became of those before; ends when the last one has."""
    due_s = time.monotonic()
    end_s = due_s + seconds
    async with asyncio.TaskGroup() as group:
        while (due_s := due_s + rng.expovariate(per_s)) < end_s:
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            group.create_task(place())


@dataclass
class Arrivals:
    """Places orders; `accepted` holds the ids that were answered 201, `waits_s` each first answer's time.

    `answered_s`: when each 201 came (monotonic).
    """

    running: Running
    seed: int
    city: City = field(default_factory=default_city)
    patience_s: float = PATIENCE_S
    accepted: set[str] = field(default_factory=set)
    waits_s: list[float] = field(default_factory=list)
    answered_s: list[float] = field(default_factory=list)
    bad_answers: dict[str, int] = field(default_factory=dict)
    given_up: int = 0

    async def run(self, per_s: float, seconds: float) -> None:
        """For `seconds`, then until every order has its answer or was given up."""
        rng = Random(self.seed)
        await arrive(rng, per_s, seconds, lambda: self._place(order(rng, self.city), str(ULID())))

    async def _place(self, body: bytes, key: str) -> None:
        began_s = time.monotonic()
        headers = (("content-type", "application/json"), ("idempotency-key", key))
        tries = 0
        while True:
            tries += 1
            try:
                answer = await self.running.ask("POST", "/deliveries", headers=headers, body=body)
            except HttpError as exc:
                self._note(type(exc).__name__)
            else:
                if answer.status == 201:
                    self.accepted.add(msgspec.json.decode(answer.body)["id"])
                    self.answered_s.append(time.monotonic())
                    self.waits_s.append(self.answered_s[-1] - began_s)
                    return
                self._note(str(answer.status))
            await asyncio.sleep(min(2.0, 0.2 * 2**tries))
            if time.monotonic() - began_s >= self.patience_s:
                self.given_up += 1
                return

    def _note(self, what: str) -> None:
        self.bad_answers[what] = self.bad_answers.get(what, 0) + 1


def share(values: list[float], of: float) -> float:
    """The value below which the share `of` of the values lies; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(of * len(ordered)))] if ordered else float("nan")
