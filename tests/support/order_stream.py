"""Orders from the public network at a steady rate, each sent once: what the clients saw, second by second."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from scripts.local import traffic

from dronedispatch.fleet.city import default_city
from support.netns import Host


@dataclass(frozen=True, slots=True)
class Try:
    """One request. `status` 0: no answer. Times are monotonic seconds."""

    began_s: float
    ended_s: float
    status: int
    key: str
    identity: str
    reason: str

    @property
    def good(self) -> bool:
        """Whether the client got what it asked for."""
        return 200 <= self.status < 300


def posted(door: str, key: str, body: dict[str, Any], timeout_s: float) -> Try:
    """One order, asked for once."""
    began_s = time.monotonic()
    status, identity, reason = 0, "", ""
    with contextlib.closing(http.client.HTTPConnection(door, timeout=timeout_s)) as connection:
        try:
            sent = {"Content-Type": "application/json", "Idempotency-Key": key}
            connection.request("POST", "/deliveries", json.dumps(body), sent)
            answer = connection.getresponse()
            status, text = answer.status, answer.read().decode("utf-8", "replace")
            identity, reason = (str(json.loads(text)["id"]), "") if status == 201 else ("", text[:300])
        except (OSError, http.client.HTTPException) as exc:
            reason = repr(exc)
    return Try(began_s, time.monotonic(), status, key, identity, reason)


@dataclass
class OrderStream:
    """`rate_per_s` orders from `host` to `doors` in turn, from the start of the block to its end."""

    host: Host
    doors: tuple[str, ...]
    rate_per_s: float = 5.0
    timeout_s: float = 35.0  # above the door's own deadline of 30 s: what it answers is what counts
    tries: list[Try] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._rng = random.Random(7)
        self._city = default_city()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(max_workers=64, initializer=self.host.enter)
        self._pacer = threading.Thread(target=self._pace, daemon=True)

    def __enter__(self) -> OrderStream:
        self._pacer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pacer.join()
        self._pool.shutdown(wait=True)

    def _pace(self) -> None:
        began_s = time.monotonic()
        number = 0
        while not self._stop.wait(max(0.0, began_s + number / self.rate_per_s - time.monotonic())):
            body = traffic.order(self._city, self._rng)
            door = self.doors[number % len(self.doors)]
            self._pool.submit(self._place, door, f"stream-{id(self)}-{number}", body)
            number += 1

    def _place(self, door: str, key: str, body: dict[str, Any]) -> None:
        self._note(posted(door, key, body, self.timeout_s))

    def _note(self, one: Try) -> None:
        with self._lock:
            self.tries.append(one)

    @property
    def accepted(self) -> list[str]:
        """The ids of the orders that were answered 201."""
        return [one.identity for one in self.tries if one.identity]

    @property
    def failures(self) -> list[Try]:
        """The tries without a good answer."""
        return [one for one in self.tries if not one.good]

    def longest_gap_s(self) -> float:
        """The longest time in which tries ended and none of them was good: from the first bad end to the next good one."""
        longest, since = 0.0, None
        for one in sorted(self.tries, key=lambda each: each.ended_s):
            if one.good:
                longest = max(longest, one.ended_s - since) if since is not None else longest
                since = None
            elif since is None:
                since = one.ended_s
        if since is not None:
            longest = max(longest, time.monotonic() - since)
        return longest

    def describe(self) -> str:
        bad = [f"{one.status} {one.reason}" for one in self.failures]
        return (
            f"{len(self.tries)} orders, {len(self.accepted)} accepted, {len(bad)} failed, "
            f"longest time without success {self.longest_gap_s():.2f} s; {bad[:3]}"
        )


def ask(
    host: Host, address: str, path: str, headers: dict[str, str] | None = None, method: str = "GET"
) -> tuple[int, bytes]:
    """One request from inside `host` to "address:port"; (status, body). OSError where nobody answers."""

    def call() -> tuple[int, bytes]:
        with contextlib.closing(http.client.HTTPConnection(address, timeout=10)) as connection:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()

    return host.inside(call)
