"""Real Consul and real RabbitMQ for tests: private, on free ports, stopped by process id."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from loadtests.bench.processes import NotInstalled, binary
from scripts.local import broker as local_broker
from scripts.local import consul as local_consul
from scripts.local.home import SECRETS, Home
from scripts.local.ports import Ports

from support.commands import ran
from support.ports import free_ports
from support.waiting import wait_until


def needs(*programs: str) -> None:
    """Skip the test where one is missing, with what to do; scripts/test counts that as a failure on CI."""
    try:
        for program in programs:
            binary(program)
    except NotInstalled as missing:
        pytest.skip(str(missing))


def _as_many_files_as_allowed() -> None:
    """As supervisord does for the system: Consul refuses to start with the 1,024 open files that a log-in may give."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@dataclass
class Part:
    """A real process that a test may kill, pause and start again."""

    command: list[str]
    environ: dict[str, str]
    log: Path
    answers: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None

    def start(self, ordinary_s: float = 40.0) -> None:
        """Start and wait until it answers."""
        _as_many_files_as_allowed()
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                self.command, env=self.environ, stdout=out, stderr=out, start_new_session=True
            )
        wait_until(self._answers_or_died, f"{self.command[0]} answers; see {self.log}", ordinary_s)

    def runs(self) -> bool:
        """Whether it has been started and has not ended."""
        return self.process is not None and self.process.poll() is None

    def _answers_or_died(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"{self.command[0]} ended: {self.log.read_text()[-2000:]}"
        return self.answers()

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it and what it started."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(60)
        self.process = None


def listens(port: int, greeting: bytes = b"", wanted: bytes = b"") -> bool:
    """Whether a server accepts at `port`, and answers `greeting` by something that begins with `wanted`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as sock:
            if greeting:
                sock.sendall(greeting)
                return sock.recv(16).startswith(wanted)
            return True
    except OSError:
        return False


def consul_part(ports: Ports, folder: Path, *, broker: bool = False) -> Part:
    """A single-server Consul, not started yet."""
    program = local_consul.binary()
    data = folder / "consul"
    data.mkdir(parents=True, exist_ok=True)
    config = folder / "consul.json"
    config.write_text(
        json.dumps(local_consul.configuration(ports, data, local_consul.version(program), broker=broker))
    )
    consul = local_consul.Consul(ports)
    return Part(
        [str(program), "agent", f"-config-file={config}"],
        dict(os.environ),
        folder / "consul.log",
        consul.leads,
    )


def broker_part(ports: Ports, folder: Path) -> Part:
    """A single RabbitMQ, not started yet; user and password as `broker_url` says."""
    home = Home(folder)
    for made in (folder / "etc" / "rabbitmq", folder / "secrets"):
        made.mkdir(parents=True, exist_ok=True)
    home.secret("amqp_password").parent.mkdir(parents=True, exist_ok=True)
    for name in SECRETS:
        home.secret(name).write_text("for-tests")
    local_broker.write_files(home, ports)
    (folder / "etc" / "rabbitmq" / "enabled_plugins").write_text("[].\n")
    return Part(
        [str(local_broker.server())],
        {**os.environ, **local_broker.environment(home, ports)},
        folder / "rabbitmq.log",
        lambda: listens(ports.amqp, b"AMQP\0\0\x09\x01", b"\x01"),
    )


def metadata_stores() -> tuple[str, ...]:
    """What the installed RabbitMQ can keep its metadata in: Khepri only since 4.0."""
    releases = [
        path.name.rpartition("-")[2]
        for path in local_broker.server().parents[1].glob("lib/rabbitmq_server-*")
    ]
    return ("mnesia", "khepri") if any(int(one.split(".")[0]) >= 4 for one in releases) else ("mnesia",)


def rabbitmqctl(environ: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """RabbitMQ's own tool, in the environment of the broker that it is to reach."""
    program = local_broker.server().with_name("rabbitmqctl")
    return ran([program, *words], environ)


def broker_url(ports: Ports, user: str = local_broker.USER) -> str:
    """Where the broker of `broker_part` is; `user`: ours, who may do everything, or a service."""
    return f"amqp://{user}:for-tests@127.0.0.1:{ports.amqp}/?heartbeat=10"


@contextlib.contextmanager
def running_consul(folder: Path, *, broker: bool = False) -> Iterator[tuple[Ports, Part]]:
    """A private Consul for the length of the block."""
    ports = free_ports()
    part = consul_part(ports, folder, broker=broker)
    try:
        part.start()
        yield ports, part
    finally:
        part.stop()


@contextlib.contextmanager
def running_broker(folder: Path) -> Iterator[tuple[Ports, Part]]:
    """A private RabbitMQ for the length of the block."""
    ports = free_ports()
    part = broker_part(ports, folder)
    try:
        part.start()
        yield ports, part
    finally:
        part.stop()
        local_broker.end_port_mapper(ports)
        shutil.rmtree(folder / "data", ignore_errors=True)
