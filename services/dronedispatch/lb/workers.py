"""LB_PROCESSES doors on one listening socket: started, restarted when they die, and on SIGUSR2 exchanged one by one.

The parent serves nothing. Each worker is a whole door with its own control port (LB_CONTROL_PORT, +1, +2 ...), its own
entry in Consul and its share of the limits. While one restarts, the others accept from the same queue.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping
from random import Random
from typing import Any, Final

import structlog

from dronedispatch.lb.listener import open_listener
from dronedispatch.lb.settings import Settings
from dronedispatch.runtime import logs
from dronedispatch.runtime.backoff import full_jitter
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError

READY_POLL_S: Final = 0.1
READY_MAX_S: Final = 30.0
SETTLED_S: Final = 10.0
STOP_SPARE_S: Final = 10.0
"""For a stop, beyond the waits that its settings name; a worker that stands still is killed then."""

log = structlog.get_logger()


def worker_environment(
    settings: Settings, environ: Mapping[str, str], number: int, listen_fd: int
) -> dict[str, str]:
    """What worker `number` (from 0) is told."""
    own = {
        "LB_PROCESSES": "1",
        "LB_SHARE_OF": str(settings.processes * settings.share_of),
        "LB_LISTEN_FD": str(listen_fd),
        "LB_CONTROL_PORT": str(settings.control_port + number if settings.control_port else 0),
    }
    if settings.process.instance:
        own["LB_INSTANCE"] = f"{settings.process.instance}-{number + 1}"
    return {**environ, **own}


class Workers:
    """Runs until SIGTERM or SIGINT."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], listener: socket.socket) -> None:
        self._settings = settings
        self._environ = environ
        self._listener = listener
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()
        self._exchanging = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._rng = Random()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._tell_all, signal.SIGHUP)
        loop.add_signal_handler(signal.SIGUSR2, self._spawn, self._exchange_all)
        keepers = [asyncio.create_task(self._keep(number)) for number in range(self._settings.processes)]
        await self._stopping.wait()
        await asyncio.gather(*map(self._end, self._running.values()))
        await asyncio.gather(*keepers)
        for task in self._tasks:
            task.cancel()

    def _tell_all(self, number: signal.Signals) -> None:
        for process in self._running.values():
            _tell(process, number)

    def _spawn(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.create_task(work())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep(self, number: int) -> None:
        """Have worker `number` running until the stop; back off when it dies young."""
        loop, deaths = asyncio.get_running_loop(), 0
        while not self._stopping.is_set():
            began_s = loop.time()
            status = await self._live(number)
            if self._stopping.is_set():
                return
            deaths = 0 if loop.time() - began_s > SETTLED_S else deaths + 1
            if status != 0:
                log.error("worker died", worker=number, status=status)
            pause_s = full_jitter(deaths, base_s=0.1, cap_s=5.0, rng=self._rng) if deaths else 0.0
            try:
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()
            except TimeoutError:
                continue

    async def _live(self, number: int) -> int | str:
        """One life of worker `number`; returns how it ended."""
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "dronedispatch.lb",
                env=worker_environment(self._settings, self._environ, number, self._listener.fileno()),
                pass_fds=(self._listener.fileno(),),
            )
        except OSError as error:
            return f"it cannot be started: {error.strerror}"
        self._running[number] = process
        if self._stopping.is_set():  # it was not there yet when all were told
            await self._end(process)
        return await process.wait()

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        """Stop it, and wait until it is gone."""
        settings = self._settings.process
        limit_s = settings.drain_s + settings.deregister_lag_s + STOP_SPARE_S
        _tell(process, signal.SIGTERM)
        try:
            async with asyncio.timeout(limit_s):
                await process.wait()
        except TimeoutError:
            log.error("worker does not stop, it is killed", pid=process.pid, seconds=limit_s)
            _tell(process, signal.SIGKILL)
            await process.wait()

    async def _exchange_all(self) -> None:
        """Stop and start each worker in turn; the next only when the one before is ready again."""
        async with self._exchanging:
            http = HttpClient(resend_on_reuse_reset=True)
            for number in range(self._settings.processes):
                old = self._running.get(number)
                if old is not None:
                    await self._end(old)
                if not await self._ready(http, number):
                    log.error("exchange given up: the new worker does not get ready", worker=number)
                    break
            await http.close()

    async def _ready(self, http: HttpClient, number: int) -> bool:
        loop = asyncio.get_running_loop()
        end_s = loop.time() + READY_MAX_S
        port = self._settings.control_port + number
        while loop.time() < end_s and not self._stopping.is_set():
            try:
                answer = await http.request(
                    "GET", self._settings.process.host, port, "/health", timeout_s=1.0
                )
            except HttpError:
                answer = None
            if answer is not None and answer.status == 200:
                return True
            await asyncio.sleep(READY_POLL_S)
        return False


def _tell(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        process.send_signal(number)


def supervise(settings: Settings, environ: Mapping[str, str]) -> None:
    """Open the socket and run the workers. Raises CannotListen."""
    logs.configure("lb", settings.process.instance or "lb", settings.process.log_level)
    listener = open_listener(settings, environ)

    async def live() -> None:
        await Workers(settings, environ, listener).run()

    asyncio.run(live())
