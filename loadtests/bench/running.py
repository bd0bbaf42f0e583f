"""A running system of this machine, seen from outside: its processes, its catalogue, its store and its broker."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import psutil
import uvloop
from rich.console import Console
from rich.table import Table
from scripts.local.home import CHECKOUT, Home
from scripts.local.options import Options
from scripts.local.supervisor import Supervisor
from scripts.local.system import of_home

from dronedispatch.fleet.documents import T, Unreadable, decode
from dronedispatch.kv.http_client import HttpKV
from dronedispatch.runtime import logs
from dronedispatch.runtime.consul import ConsulClient
from dronedispatch.runtime.discovery import Endpoint, ServiceWatch
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.collector import HttpResponse
from dronedispatch.runtime.http.errors import HttpError
from dronedispatch.runtime.settings import AmqpSettings, Secret

START_TIMEOUT_S = 300


Headers = Sequence[tuple[str, str]]
R = TypeVar("R")


def start(home: Path, arguments: Sequence[str]) -> None:
    """`scripts/up --fresh --detach` with these arguments. Raises SystemExit when it has said why it cannot."""
    command = [str(CHECKOUT / "scripts" / "up"), "--detach", "--fresh", "--home", str(home), *arguments]
    done = subprocess.run(command, check=False, timeout=START_TIMEOUT_S)
    if done.returncode != 0:
        raise SystemExit(f"nothing was measured: scripts/up ended with {done.returncode}")


def stop(home: Path) -> None:
    """`scripts/down`."""
    command = [str(CHECKOUT / "scripts" / "down"), "--home", str(home)]
    subprocess.run(command, check=False, timeout=START_TIMEOUT_S, stdout=subprocess.DEVNULL)


def command_line(name: str, doc: str | None) -> argparse.ArgumentParser:
    """What every benchmark takes that starts a system of its own; each adds what only it takes."""
    parser = argparse.ArgumentParser(prog=f"scripts/bench {name}", description=doc)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--port-base", type=int, default=28080, help="of the system that is started")
    return parser


@contextlib.contextmanager
def started(name: str, arguments: Sequence[str]) -> Iterator[Path]:
    """The home of a system of one's own, for the length of the block."""
    with tempfile.TemporaryDirectory(prefix=f"dd-{name}-") as place:
        home = Path(place) / "home"
        try:  # a Ctrl-C while it starts leaves nothing running either
            start(home, arguments)
            yield home
        finally:
            stop(home)


def words_of(options: argparse.Namespace, **system: object) -> list[str]:
    """What scripts/up is told: the ports and the seed of `options`, and `system` (drone_sims=2: --drone-sims=2)."""
    told = {"port_base": options.port_base, "seed": options.seed, **system}
    return [f"--{name.replace('_', '-')}={value}" for name, value in told.items()]


def on_a_system(
    name: str, options: argparse.Namespace, work: Callable[[Running], Awaitable[R]], **system: object
) -> R:
    """What `work` finds on the system of --running, or else on one of its own with what `system` says (`words_of`)."""

    async def run(home: Path) -> R:
        async with opened(home) as running:
            return await work(running)

    logs.configure(name, name, "error")
    if getattr(options, "running", None) is not None:
        return uvloop.run(run(options.running))
    with started(name, words_of(options, **system)) as home:
        return uvloop.run(run(home))


class Running:
    """Everything that a measurement asks of a system. Use within `opened`."""

    def __init__(self, home: Path) -> None:
        self.home = Home(home)
        system = of_home(self.home)
        self.options: Options = system.options
        self.supervisor: Supervisor = system.supervisor
        self.consul = ConsulClient(f"http://127.0.0.1:{self.options.ports.consul_http}")
        self.watches = {
            name: ServiceWatch(self.consul, name)
            for name in ("lb", "gateway", "kvfront", "kvstore", "dispatcher", "drone-sim")
        }
        self.http = HttpClient(resend_on_reuse_reset=False)
        self.kv = HttpKV(lambda: self.watches["kvfront"].endpoints, self.http, self._secret("store").value)

    def _secret(self, name: str) -> Secret:
        return Secret(self.home.secret(name).read_text(encoding="utf-8").strip())

    @property
    def amqp(self) -> AmqpSettings:
        """How to enter its broker."""
        return AmqpSettings(user="dronedispatch", password=self._secret("amqp_password"))

    @property
    def operator(self) -> tuple[str, str]:
        """The header that operators show."""
        return "authorization", f"Bearer {self._secret('operator').value}"

    async def ask(
        self, method: str, target: str, *, headers: Headers = (), body: bytes = b"", timeout_s: float = 15.0
    ) -> HttpResponse:
        """The answer of its door. Raises HttpError."""
        port = self.options.ports.lb
        return await self.http.request(
            method, "127.0.0.1", port, target, headers=headers, body=body, timeout_s=timeout_s
        )

    async def told(
        self, method: str, target: str, wanted: int = 200, *, headers: Headers = (), body: bytes = b""
    ) -> bytes:
        """The body of its door's answer. Raises HttpError, and SystemExit for another status than `wanted`."""
        answer = await self.ask(method, target, headers=headers, body=body)
        if answer.status != wanted:
            raise SystemExit(f"{method} {target} was answered {answer.status}: {answer.body[:200]!r}")
        return answer.body

    def endpoints(self, service: str) -> tuple[Endpoint, ...]:
        """The passing instances."""
        return self.watches[service].endpoints

    async def health(self, endpoint: Endpoint) -> dict[str, object] | None:
        """Its health document; None when it does not answer."""
        try:
            answer = await self.http.request("GET", endpoint.address, endpoint.port, "/health", timeout_s=2.0)
        except HttpError:
            return None
        return msgspec.json.decode(answer.body, type=dict[str, object])

    async def metrics(self, endpoint: Endpoint) -> dict[str, float]:
        """Its samples, by "name{labels}". Raises HttpError."""
        headers = (("authorization", f"Bearer {self._secret('metrics').value}"),)
        answer = await self.http.request(
            "GET", endpoint.address, endpoint.port, "/metrics", headers=headers, timeout_s=5.0
        )
        lines = (line.rpartition(" ") for line in answer.body.decode().splitlines() if line[:1] not in "#")
        return {name: float(value) for name, _, value in lines}

    def pids(self) -> dict[str, int]:
        """Process name -> pid, of those that run."""
        return {state.name: state.pid for state in self.supervisor.states() if state.pid}

    def cpu_s(self) -> dict[str, float]:
        """Process name -> CPU seconds used since its start, its children's included."""
        used: dict[str, float] = {}
        for name, pid in self.pids().items():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                family = [process, *process.children(recursive=True)]
                used[name] = sum(sum(one.cpu_times()[:2]) for one in family)
        return used

    async def stored(self, kind: type[T], prefix: str) -> dict[str, T]:
        """Every readable record under `prefix`, by id. Raises KVError."""
        found: dict[str, T] = {}
        after: str | None = None
        while True:
            page = await self.kv.scan(prefix=prefix, after=after, limit=500)
            for item in page.items:
                with contextlib.suppress(Unreadable):
                    found[item.key.removeprefix(prefix)] = decode(kind, item.value)
            after = page.next_after
            if after is None:
                return found


@contextlib.asynccontextmanager
async def opened(home: Path) -> AsyncIterator[Running]:
    """The system of `home`, once its catalogue has been read."""
    running = Running(home)
    for watch in running.watches.values():
        watch.start()
    try:
        async with asyncio.timeout(30):
            for watch in running.watches.values():
                await watch.seen.wait()
        yield running
    finally:
        for watch in running.watches.values():
            await watch.stop()
        await running.kv.close()
        await running.http.close()
        await running.consul.close()


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "", width: int | None = None
) -> None:
    """On the terminal: a column of words, then columns of figures."""
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=width).print(table)
