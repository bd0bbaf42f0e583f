"""Open arrivals: orders come when they come (Poisson), whatever the system does with those before."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from random import Random

import msgspec
from ulid import ULID

from dronedispatch.fleet.city import City, default_city
from dronedispatch.fleet.drones import PAYLOAD_MAX_KG
from dronedispatch.fleet.positions import LatLon, Point
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError

ANSWER_TIMEOUT_S = 15.0
PATIENCE_S = 60.0  # how long a client repeats an order under its key before it gives up


def spot(rng: Random, city: City) -> LatLon:
    """A uniform place of the city where a parcel can be fetched or brought."""
    rim = city.boundary.corners
    while True:
        point = Point(
            rng.uniform(min(p.x_m for p in rim), max(p.x_m for p in rim)),
            rng.uniform(min(p.y_m for p in rim), max(p.y_m for p in rim)),
        )
        pos = city.plane.to_latlon(point)
        if city.why_not_here(pos) is None:
            return pos


def order(rng: Random, city: City) -> bytes:
    """The body of one POST /deliveries: any parcel that some drone carries."""
    body = {
        "origin": spot(rng, city),
        "destination": spot(rng, city),
        "weight": round(rng.uniform(0.2, max(PAYLOAD_MAX_KG.values())), 2),
    }
    return msgspec.json.encode(body)


@dataclass
class Arrivals:
    """Places orders; `accepted` holds the ids that were answered 201, `waits_s` each first answer's time.

    `answered_s`: when each 201 came (monotonic).
    """

    client: HttpClient
    host: str
    port: int
    seed: int
    accepted: set[str] = field(default_factory=set)
    waits_s: list[float] = field(default_factory=list)
    answered_s: list[float] = field(default_factory=list)
    bad_answers: dict[str, int] = field(default_factory=dict)
    given_up: int = 0

    async def run(self, per_s: float, seconds: float) -> None:
        """For `seconds`, then until every order has its answer or was given up."""
        rng, city = Random(self.seed), default_city()
        end_s = time.monotonic() + seconds
        due_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while True:
                due_s += rng.expovariate(per_s)
                if due_s >= end_s:
                    return
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                group.create_task(self._place(order(rng, city), str(ULID())))

    async def _place(self, body: bytes, key: str) -> None:
        began_s = time.monotonic()
        headers = (("content-type", "application/json"), ("idempotency-key", key))
        tries = 0
        while time.monotonic() - began_s < PATIENCE_S:
            tries += 1
            try:
                answer = await self.client.request(
                    "POST",
                    self.host,
                    self.port,
                    "/deliveries",
                    headers=headers,
                    body=body,
                    timeout_s=ANSWER_TIMEOUT_S,
                )
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
        self.given_up += 1

    def _note(self, what: str) -> None:
        self.bad_answers[what] = self.bad_answers.get(what, 0) + 1


def share(values: list[float], of: float) -> float:
    """The value below which the share `of` of the values lies; NaN of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(of * len(ordered)))] if ordered else float("nan")
