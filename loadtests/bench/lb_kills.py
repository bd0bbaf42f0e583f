"""Gateways killed and restarted, doors exchanged, under GET, PUT and keyed POST: what do clients see?"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from loadtests.bench.lb_peers import Peer
from loadtests.bench.processes import accepts, free_port, wait_for_start

from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.errors import HttpError

BODY = b'{"origin":{"lat":41.9,"lon":12.5},"weight":1.0}'
PAUSE_S = 0.01


@dataclass
class Seen:
    """What the clients of one proxy saw. `ids`: what each key was answered with."""

    requests: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    ids: dict[str, set[str]] = field(default_factory=dict)

    @property
    def failed(self) -> int:
        return sum(self.errors.values())

    @property
    def doubled(self) -> int:
        """Keys that were answered with two ids: two deliveries for one order."""
        return sum(len(ids) > 1 for ids in self.ids.values())


class Gateways:
    """Three stub gateways on fixed ports that can be killed and started again."""

    def __init__(self, directory: Path, count: int = 3) -> None:
        self.directory = directory
        self.ports = [free_port() for _ in range(count)]
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, port: int) -> None:
        command = (sys.executable, "-m", "loadtests.bench.lb_gateway_stub", str(port), str(self.directory))
        process = self._running[port] = subprocess.Popen(command)
        wait_for_start(process, lambda: accepts(port))

    def pause(self, port: int) -> None:
        """It takes connections and bytes and says nothing, as a host that was cut off."""
        self._running[port].send_signal(signal.SIGSTOP)

    def go_on(self, port: int) -> None:
        self._running[port].send_signal(signal.SIGCONT)

    def stop(self, port: int, how: signal.Signals) -> None:
        """Send the signal and wait for the end."""
        process = self._running.pop(port)
        process.send_signal(how)
        process.wait(15)

    def effects(self) -> int:
        """How many deliveries there are."""
        return sum(not entry.name.startswith(".") for entry in os.scandir(self.directory))

    def close(self) -> None:
        for port in list(self._running):
            self.stop(port, signal.SIGKILL)


@contextlib.contextmanager
def gateways() -> Iterator[Gateways]:
    with tempfile.TemporaryDirectory() as home:
        made = Gateways(Path(home))
        try:
            for port in made.ports:
                made.start(port)
            yield made
        finally:
            made.close()


async def client(port: int, seen: Seen, stop: asyncio.Event, rng: Random, *, keep_alive: bool) -> None:
    """One client: a random one of GET, PUT and keyed POST, a short pause, again."""
    http = HttpClient(resend_on_reuse_reset=False)
    while not stop.is_set():
        method = rng.choice(("GET", "PUT", "POST"))
        key = secrets.token_hex(12)
        seen.requests += 1
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), rng.random() * 2 * PAUSE_S)
        try:
            answer = await http.request(
                method,
                "127.0.0.1",
                port,
                "/deliveries",
                headers=(("idempotency-key", key),) if method == "POST" else (),
                body=b"" if method == "GET" else BODY,
                timeout_s=60.0,  # how long it takes is not judged, an error is
            )
        except HttpError as error:
            seen.errors[f"{type(error).__name__}: {error.reason}"] += 1
            continue
        if answer.status >= 400:
            seen.errors[f"{method} {answer.status}"] += 1
        elif method == "POST":
            seen.ids.setdefault(key, set()).add(answer.body.decode())
        if not keep_alive:
            await http.close()
            http = HttpClient(resend_on_reuse_reset=False)
    await http.close()


@contextlib.asynccontextmanager
async def clients(peers: Sequence[Peer], count: int, seed: int) -> AsyncIterator[dict[str, Seen]]:
    """`count` clients of each proxy while the block runs; half of them take a fresh connection for each request."""
    seen = {peer.name: Seen() for peer in peers}
    stop = asyncio.Event()
    tasks = [
        asyncio.create_task(
            client(peer.port, seen[peer.name], stop, Random(f"{seed}/{number}"), keep_alive=number % 2 == 0)
        )
        for peer in peers
        for number in range(count)
    ]
    try:
        yield seen
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def kill_gateways(
    made: Gateways, rounds: int, every_s: float, how: signal.Signals, told: Callable[[str], None]
) -> None:
    """One gateway after another ends by `how` and is back after a third of `every_s`."""
    for number in range(rounds):
        port = made.ports[number % len(made.ports)]
        await asyncio.sleep(every_s / 2)
        await asyncio.to_thread(made.stop, port, how)
        told(f"{how.name} to the gateway on {port}")
        await asyncio.sleep(every_s / 3)
        await asyncio.to_thread(made.start, port)
        await asyncio.sleep(every_s / 6)


async def pause_gateways(made: Gateways, rounds: int, every_s: float, told: Callable[[str], None]) -> None:
    """One gateway after another falls silent, for half of `every_s`."""
    for number in range(rounds):
        port = made.ports[number % len(made.ports)]
        await asyncio.sleep(every_s / 4)
        made.pause(port)
        told(f"the gateway on {port} is silent")
        await asyncio.sleep(every_s / 2)
        made.go_on(port)
        await asyncio.sleep(every_s / 4)
