"""Discovery by blocking queries only: no address of another service is configured anywhere.

An error is not an empty answer: on an error the last table stays, and `stale_s` says for how long. Nor is what once was:
a Consul that has just been started answers from as much of its log as it has read, unless it is asked for a consistent
answer. The first question is one, and each that begins anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Generic, TypeVar

import structlog

from dronedispatch.runtime.backoff import full_jitter
from dronedispatch.runtime.clock import Clock, SystemClock
from dronedispatch.runtime.consul import (
    ANSWER_MAX_S,
    RESET_PAUSE_S,
    ConsulClient,
    ConsulError,
    Endpoint,
    next_index,
)
from dronedispatch.runtime.loops import end, is_cancelled

__all__ = ["Endpoint", "KeyWatch", "ServiceWatch"]

V = TypeVar("V")
log = structlog.get_logger()


class _Watch(Generic[V]):
    """Follows one thing in Consul; `value` is the newest answer, `seen` whether there was one.

    `ask(index)` is the blocking query: (new index, answer), or ConsulError.
    """

    def __init__(
        self,
        what: str,
        ask: Callable[[int], Awaitable[tuple[int, V]]],
        value: V,
        clock: Clock | None,
        rng: Random | None,
    ) -> None:
        self.what = what
        self._ask = ask
        self.value = value
        self.seen = asyncio.Event()
        self._clock = clock or SystemClock()
        self._rng = rng or Random()
        self._answered_s = self._clock.monotonic_s()
        self._failing = True  # until the first answer
        self._callbacks: list[Callable[[V], None]] = []
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def stale_s(self) -> float:
        """Seconds since Consul answered last; 0 while it answers, and while nothing is overdue."""
        silent_s = self._clock.monotonic_s() - self._answered_s
        return silent_s if self._failing or silent_s > ANSWER_MAX_S else 0.0

    def on_change(self, callback: Callable[[V], None]) -> None:
        """Call `callback` with every new value (at once, when there is one already)."""
        self._callbacks.append(callback)
        if self.seen.is_set():
            callback(self.value)

    async def changed(self, timeout_s: float) -> bool:
        """Wait for the next new value; False when none came in time."""
        self._changed.clear()
        try:
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def start(self) -> None:
        """Begin to watch, in the background."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"watch {self.what}")

    async def stop(self) -> None:
        """Stop at once; the last value stays."""
        if self._task is not None:
            await end([self._task])
            self._task = None

    async def _run(self) -> None:
        index, failures = 0, 0
        while True:
            try:
                answered, value = await self._ask(index)
                self._take(value)
            except (Exception, asyncio.CancelledError) as exc:
                # Whatever it is (an entry of nonsense in the catalogue, too): a watch that ended would go unnoticed.
                if isinstance(exc, asyncio.CancelledError) and is_cancelled():
                    raise
                if failures == 0:
                    traced = None if isinstance(exc, ConsulError) else exc
                    log.warning(
                        "watch fails, the last answer stays",
                        watch=self.what,
                        error=repr(exc),
                        exc_info=traced,
                    )
                    self._failing = True
                await asyncio.sleep(0.05 + full_jitter(failures, base_s=0.1, cap_s=3.0, rng=self._rng))
                failures, index = (
                    failures + 1,
                    0,
                )  # after an error the answer may be anything: ask without waiting
                continue
            failures, self._failing, self._answered_s = 0, False, self._clock.monotonic_s()
            index = next_index(index, answered)
            if index == 0:
                await asyncio.sleep(RESET_PAUSE_S)

    def _take(self, value: V) -> None:
        news = not self.seen.is_set() or value != self.value
        self.value = value
        self.seen.set()
        if news:
            self._changed.set()
            for callback in self._callbacks:
                callback(value)


class ServiceWatch(_Watch[tuple[Endpoint, ...]]):
    """The passing instances of a service, sorted by id."""

    def __init__(
        self, consul: ConsulClient, service: str, *, clock: Clock | None = None, rng: Random | None = None
    ) -> None:
        async def ask(index: int) -> tuple[int, tuple[Endpoint, ...]]:
            return await consul.health(service, index=index, consistent=not index)

        super().__init__(f"service {service}", ask, (), clock, rng)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The newest table; empty before the first answer."""
        return self.value


class KeyWatch(_Watch[tuple[bytes | None, int]]):
    """(value, ModifyIndex) of one key of Consul's KV; (None, 0): absent."""

    def __init__(
        self, consul: ConsulClient, key: str, *, clock: Clock | None = None, rng: Random | None = None
    ) -> None:
        async def ask(index: int) -> tuple[int, tuple[bytes | None, int]]:
            answered, value, modify_index = await consul.kv_get(key, index=index, consistent=not index)
            return answered, (value, modify_index)

        super().__init__(f"key {key}", ask, (None, 0), clock, rng)
