"""A loop is `once()` plus this runner: `once` returns a sentence, which is the log line and the test's assertion."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any

import structlog
from prometheus_client import Counter, Histogram

from dronedispatch.runtime.backoff import full_jitter

RUNS = Counter("dd_loop_runs_total", "Runs of a loop by how they ended", ["loop", "outcome"])
SECONDS = Histogram(
    "dd_loop_seconds",
    "Duration of one run of a loop",
    ["loop"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
)

AGAIN_S = 3.0
END_S = 15.0

log = structlog.get_logger()


class Loop:
    """Runs `once` every `interval_s` (plus up to `jitter` of it), or as soon as `wake` is set.

    An exception of `once` is logged, counted and answered by a longer pause (full jitter up to `error_cap_s`): a loop
    never ends but by its own cancellation. A CancelledError that `once` brings from somewhere else (a future that
    another part of the process has given up) is such an exception: it must not end the loop in silence.
    """

    def __init__(
        self,
        name: str,
        once: Callable[[], Awaitable[str]],
        interval_s: float,
        *,
        jitter: float = 0.1,
        wake: asyncio.Event | None = None,
        error_cap_s: float = 5.0,
        rng: Random | None = None,
    ) -> None:
        self.name = name
        self._once = once
        self._interval_s = interval_s
        self._jitter = jitter
        self._wake = wake or asyncio.Event()
        self._error_cap_s = error_cap_s
        self._rng = rng or Random()
        self._said: str | None = None

    async def run(self) -> None:
        """Until cancelled."""
        failures = 0
        while True:
            self._wake.clear()
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                said = await self._once()
            except (Exception, asyncio.CancelledError) as exc:
                if isinstance(exc, asyncio.CancelledError) and is_cancelled():
                    raise
                failures += 1
                RUNS.labels(self.name, "error").inc()
                log.warning(
                    "loop failed", loop=self.name, error=repr(exc), failures=failures, exc_info=failures == 1
                )
                await asyncio.sleep(
                    0.05 + full_jitter(failures, base_s=0.1, cap_s=self._error_cap_s, rng=self._rng)
                )
                continue
            failures = 0
            RUNS.labels(self.name, "ok").inc()
            SECONDS.labels(self.name).observe(loop.time() - began)
            if said != self._said:  # the same sentence again is no news
                log.debug("loop", loop=self.name, said=said)
                self._said = said
            await self._pause(self._interval_s * (1.0 + self._rng.uniform(0.0, self._jitter)))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()


def is_cancelled() -> bool:
    """Whether the current task itself was told to end, not merely something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel `tasks` and wait until they have ended, at most for END_S; what is left then is named in the log.

    A cancellation can be swallowed on its way (asyncio.wait_for does so before Python 3.12 when what it waited for ends
    at the same moment), so it is said again every AGAIN_S: a process must not hang on its way out.
    """
    left = set(tasks)
    for _ in range(round(END_S / AGAIN_S)):
        if not left:
            return
        for task in left:
            task.cancel()
        done, left = await asyncio.wait(left, timeout=AGAIN_S)
        for task in done:
            if not task.cancelled():
                task.exception()  # asked for, or it is reported when it is collected
    if left:
        log.error("tasks do not end", tasks=sorted(task.get_name() for task in left))


class Tasks:
    """The background tasks of a process: started together, cancelled and awaited together.

    A task that ends by itself, however it does, ends the process by way of `on_death`: half a process is worse than
    none. One that was cancelled by its owner (`cancel` on what `start` returned, or `stop`) has not ended by itself.
    """

    def __init__(self, on_death: Callable[[str], None]) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_death = on_death

    def start(self, name: str, coroutine: Awaitable[None]) -> asyncio.Task[None]:
        async def runner() -> None:
            await coroutine

        task = asyncio.create_task(runner(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelling() and (task.cancelled() or task.exception() is None):
            return  # its owner wanted it so
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        log.error("task ended, ending the process", task=task.get_name(), error=repr(error), exc_info=error)
        self._on_death(task.get_name())

    async def stop(self) -> None:
        """Cancel all and wait until they have ended: see `end`."""
        await end(self._tasks)
