"""Clients of a real store that write down what they were told, for the same checker as the simulation's."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from dronedispatch.kv.client import Item
from dronedispatch.kv.errors import Definite, LockHeld, OutcomeUnknown, Unavailable, VersionConflict
from dronedispatch.kv.http_client import HttpKV
from dronedispatch.kv.version import Version
from dronedispatch.replication.calls import MUST_BE_ABSENT
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.testing.linearizability import Observation, Seen, why_not, why_not_exclusive
from support.store_parts import TOKEN
from support.waiting import let_run, until

PAUSE_S = 0.02
"""Between two operations of a client: the processes that a fault hit are given the machine, not the clients."""
LONG_S = 20.0
"""A long-lived key is used for so long: histories stay short enough for the checker, and span whole faults."""


_numbers = itertools.count(1)


class Workload:
    """`clients` of the coordinators at `addresses`; run it with `start` and `finish`."""

    def __init__(
        self, addresses: Callable[[], Sequence[tuple[str, int]]], *, clients: int = 8, seed: int = 1
    ) -> None:
        self.observations: list[Observation] = []
        self.outcomes: Counter[str] = Counter()
        self.written_at_s: list[float] = []
        self.keys: set[str] = set()
        self._addresses = addresses
        self._clients = clients
        self._seed = seed
        self._run = f"w{next(_numbers)}"  # no other workload of the same store uses these keys
        self._chance = random.Random(f"idents {seed}")
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._finished = False
        self._http = HttpClient(resend_on_reuse_reset=False, connect_timeout_s=0.5)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._client(number)) for number in range(self._clients)]

    async def goes_on(self, operations: int = 100) -> None:
        """Return when so many more have been answered, and one more write has been done."""
        wanted, written = self.operations + operations, len(self.written_at_s)
        await until(
            lambda: self.operations >= wanted and len(self.written_at_s) > written,
            f"{operations} more operations and a write: {self.outcomes}",
        )

    async def finish(self) -> None:
        """Stop the clients, then read every key once more: what was acknowledged must still be there."""
        self._stop.set()
        await asyncio.gather(*self._tasks)
        kv = self._kv()
        try:
            for key in sorted(self.keys):
                await self._get(kv, key, "last")
        finally:
            await kv.close()
            await self._http.close()
            self._finished = True

    @property
    def finished(self) -> bool:
        return self._finished

    async def abandon(self) -> None:
        """Stop the clients where they are; there will be no verdict."""
        self._stop.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._http.close()
        self._finished = True

    def _kv(self) -> HttpKV:
        def endpoints() -> tuple[Endpoint, ...]:
            return tuple(Endpoint(f"{host}:{port}", host, port) for host, port in self._addresses())

        return HttpKV(endpoints, self._http, TOKEN)

    async def _client(self, number: int) -> None:
        rng = random.Random(self._seed * 1_000 + number)
        kv = self._kv()
        name = f"c{number}"
        known: dict[str, Version | None] = {}
        while not self._stop.is_set():
            key = self._key(rng)
            dice = rng.random()
            if dice < 0.4:
                known[key] = await self._get(kv, key, name)
            elif dice < 0.65:
                await self._put(kv, key, name)
            elif dice < 0.87:
                known[key] = await self._cas(kv, key, name, known.get(key))
            elif dice < 0.92:
                await self._delete(kv, key, name)
            else:
                await self._acquire(
                    kv, f"{self._run}-{rng.randrange(4)}-{int(time.monotonic() / LONG_S)}", name
                )
            await let_run(PAUSE_S)
        await kv.close()

    def _ident(self) -> uuid.UUID:
        return uuid.UUID(int=self._chance.getrandbits(128), version=4)

    def _key(self, rng: random.Random) -> str:
        now_s = time.monotonic()
        if rng.random() < 0.3:
            key = f"{self._run}-long{rng.randrange(8)}-{int(now_s / LONG_S)}"
        else:
            key = f"{self._run}-short{rng.randrange(4)}-{int(now_s)}"
        self.keys.add(key)
        return key

    async def _get(self, kv: HttpKV, key: str, client: str) -> Version | None:
        began_s = time.monotonic()
        try:
            item = await kv.get(key)
        except Unavailable as error:
            self._refused(error)
            return None
        self._note(Observation(key, client, "get", began_s, time.monotonic(), "done", seen=_seen(item)))
        return None if item is None else item.version

    def _base(
        self, key: str, client: str, kind: Literal["put", "delete", "acquire"], **more: Any
    ) -> Observation:
        """A change that begins now, of which nothing is known yet."""
        return Observation(key, client, kind, time.monotonic(), None, "unknown", **more)

    async def _put(self, kv: HttpKV, key: str, client: str) -> None:
        ident = self._ident()
        base = self._base(key, client, "put", ident=ident.hex)
        await self._noted(base, kv.put(key, ident.hex.encode(), write_id=ident.bytes))

    async def _cas(self, kv: HttpKV, key: str, client: str, expected: Version | None) -> Version | None:
        ident = self._ident()
        base = self._base(key, client, "put", ident=ident.hex, expected=expected or MUST_BE_ABSENT)
        try:
            return await self._noted(
                base, kv.cas(key, expected, ident.hex.encode(), write_id=ident.bytes), expected
            )
        except VersionConflict as conflict:
            seen = _seen(conflict.current)
            changed = msgspec.structs.replace(
                base, return_s=time.monotonic(), outcome="conflict", seen=seen, reason="version"
            )
            self._note(changed)
            return None if conflict.current is None else conflict.current.version

    async def _delete(self, kv: HttpKV, key: str, client: str) -> None:
        await self._noted(self._base(key, client, "delete"), kv.delete(key))

    async def _acquire(self, kv: HttpKV, name: str, client: str) -> None:
        base = self._base(f"lock/{name}", client, "acquire", ident=self._ident().hex, owner=client, ttl_s=0.2)
        try:
            await self._noted(base, self._token(kv, name, client))
        except LockHeld:
            self.outcomes["held"] += 1  # the answer does not name the record that it saw
        except Definite as error:
            self._refused(error)

    @staticmethod
    async def _token(kv: HttpKV, name: str, client: str) -> Version:
        return (await kv.acquire(name, client, 200)).token

    async def _noted(
        self, base: Observation, change: Awaitable[Version | None], before: Version | None = None
    ) -> Version | None:
        """The version that it gives, `before` where it certainly did not happen, None where nobody knows."""
        try:
            version = await change
        except OutcomeUnknown as error:
            self._unknown(base, error)
            return None
        except Unavailable as error:
            self._refused(error)
            return before
        self._done(base, version)
        return version

    def _done(self, base: Observation, version: Version | None) -> None:
        now_s = time.monotonic()
        self.written_at_s.append(now_s)
        self._note(msgspec.structs.replace(base, return_s=now_s, outcome="done", version=version))

    def _refused(self, error: Definite) -> None:
        self.outcomes["refused"] += 1
        self.outcomes[f"refused: {str(error)[:60]}"] += 1

    def _unknown(self, base: Observation, error: OutcomeUnknown) -> None:
        self._note(base)
        self.outcomes[f"unknown: {str(error)[:80]}"] += 1

    def _note(self, observation: Observation) -> None:
        self.outcomes[observation.outcome] += 1
        self.observations.append(observation)

    # --- the verdict ---

    def save(self, path: Path) -> None:
        """The history as JSON lines."""
        with path.open("wb") as out:
            for observation in self.observations:
                out.write(msgspec.json.encode(observation) + b"\n")

    def why_not(self) -> str | None:
        """Why the history is not what a linearizable store with exclusive locks gives; None: it is."""
        locks = [each for each in self.observations if each.key.startswith("lock/")]
        return why_not(self.observations) or why_not_exclusive(locks, drift=0.01)

    @property
    def operations(self) -> int:
        """All that were answered or given up."""
        return sum(self.outcomes[word] for word in ("done", "conflict", "unknown", "refused", "held"))


def _seen(item: Item | None) -> Seen | None:
    return None if item is None else Seen(item.value.decode(), item.version)
