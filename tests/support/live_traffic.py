"""Orders and reads that go on while something is done to the system."""

from __future__ import annotations

import http.client
import itertools
import random
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from scripts.local import traffic

from dronedispatch.fleet.city import default_city
from support.live_system import Answer, Caller, LiveSystem
from support.waiting import Patience, patient_s

_runs = itertools.count(1)


@dataclass
class Seen:
    """What clients saw. `accepted`: key -> id of each order that was answered 201."""

    accepted: dict[str, str] = field(default_factory=dict)
    given_up: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)  # an answer of 5xx or none, each
    requests: int = 0


class Traffic:
    """`rate_per_s` orders with keys, and a read after each, from `clients` threads, until the block ends.

    An order without a good answer is repeated under its key for up to `patience_s`: that is what keys are for. Every
    bad answer is noted all the same.
    """

    def __init__(
        self,
        system: LiveSystem,
        *,
        rate_per_s: float,
        clients: int = 4,
        patience_s: float = 40.0,
        seed: int = 1,
    ) -> None:
        self._system = system
        self._interval_s = clients / rate_per_s
        self._patience_s = patience_s
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.seen = Seen()
        self._names = [f"{seed}-{next(_runs)}-{n}" for n in range(clients)]
        self._threads = [
            threading.Thread(target=self._client, args=(name, seed + n), daemon=True)
            for n, name in enumerate(self._names)
        ]

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(2 * patient_s(self._patience_s))

    def accepted_by_client(self) -> dict[str, int]:
        """How many orders of each client have been accepted so far."""
        with self._lock:
            keys = list(self.seen.accepted)
        counts = Counter(key.rpartition("-")[0] for key in keys)
        return {name: counts[name] for name in self._names}

    def _client(self, name: str, seed: int) -> None:
        rng = random.Random(seed)
        city = default_city()
        caller = self._system.caller()
        number = 0
        while not self._stopping.wait(rng.uniform(0.5, 1.5) * self._interval_s):
            number += 1
            delivery_id = self._order(caller, f"{name}-{number}", traffic.order(city, rng))
            if delivery_id is not None:
                self._ask(caller, "GET", f"/deliveries/{delivery_id}", None, {}, good={200})
        caller.close()

    def _order(self, caller: Caller, key: str, body: dict[str, Any]) -> str | None:
        patience = Patience(self._patience_s)
        while not patience.at_end():
            answer = self._ask(caller, "POST", "/deliveries", body, {"Idempotency-Key": key}, good={201})
            if answer is not None and answer.status == 201:
                with self._lock:
                    self.seen.accepted[key] = answer.document["id"]
                return str(answer.document["id"])
            self._stopping.wait(0.2)
        with self._lock:
            self.seen.given_up.append(key)
        return None

    def _ask(
        self,
        caller: Caller,
        method: str,
        target: str,
        body: Any,
        headers: dict[str, str],
        good: Iterable[int],
    ) -> Answer | None:
        answer: Answer | None = None
        try:
            answer = caller.ask(method, target, body, headers)
            fault = None if answer.status in good else f"{answer.status} {answer.body[:200]!r}"
        except (OSError, http.client.HTTPException) as error:
            fault = repr(error)
        with self._lock:
            self.seen.requests += 1
            if fault is not None:
                self.seen.failures.append(f"{method} {target}: {fault}")
        return answer
