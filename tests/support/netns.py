"""Several hosts on one machine: network namespaces, a switch between them, and cables that can be pulled.

Wants root and iproute2. Nothing of it touches the machine's own network: the switch has a namespace of its own, and
everything ends with `close`. Names begin with a prefix of its own, so that two networks never meet.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from support.commands import ran

T = TypeVar("T")

_CLONE_NEWNET = 0x40000000
_NUMBERS = itertools.count()
_NETNS = Path("/run/netns")
_ETC = Path("/etc/netns")  # `ip netns exec` lays <name>/hosts over /etc/hosts


def leave_the_machine() -> bool:
    """Move this process into a network of its own, which has a loopback alone; False without the right to.

    An address that comes or goes is told to every program of a network, and a browser drops all that it was loading.
    There is no way back.
    """
    if os.geteuid() != 0:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        return False
    _ip("link set lo up")
    return True


class NetworkError(RuntimeError):
    """ip refused; the message has its words."""


def _ip(words: str) -> None:
    done = ran(["ip", *words.split()])
    if done.returncode != 0:
        raise NetworkError(f"ip {words}: {done.stderr.strip()}")


@dataclass
class Host:
    """One namespace with an interface for each switch that it hangs on."""

    name: str
    namespace: str
    cables: list[str] = field(default_factory=list)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def command(self, words: Sequence[str]) -> list[str]:
        return ["ip", "netns", "exec", self.namespace, *words]

    def run(
        self, words: Sequence[str], environ: Mapping[str, str], *, timeout_s: float = 60.0
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end with `environ` alone; its status is the caller's to judge."""
        return ran(self.command(words), environ, timeout_s=timeout_s)

    def start(
        self, words: Sequence[str], environ: Mapping[str, str], log: Path, *, stdin: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start a daemon with `environ` alone, its output into `log`; `ip` becomes the program, so the pid is its own."""
        with log.open("ab") as out:
            process = subprocess.Popen(
                self.command(words),
                env=dict(environ),
                stdin=stdin,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def inside(self, call: Callable[[], T]) -> T:
        """`call` in a thread of this namespace: the sockets that it opens are here, and stay here."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            return pool.submit(self._enter_and, call).result()

    def _enter_and(self, call: Callable[[], T]) -> T:
        self.enter()
        return call()

    def enter(self) -> None:
        """Move the calling thread, and only it, into this namespace. There is no way back: let the thread end."""
        libc = ctypes.CDLL(None, use_errno=True)
        descriptor = os.open(_NETNS / self.namespace, os.O_RDONLY)
        try:
            if libc.setns(descriptor, _CLONE_NEWNET) != 0:
                raise NetworkError(f"setns {self.namespace}: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(descriptor)

    def pull(self) -> None:
        """Pull every cable: nobody hears this host, it hears nobody; on itself all goes on."""
        for cable in self.cables:
            _ip(f"-n {self.namespace} link set {cable} down")

    def plug(self) -> None:
        for cable in self.cables:
            _ip(f"-n {self.namespace} link set {cable} up")

    def pids(self) -> list[int]:
        """Every process of this namespace, whoever started it."""
        done = ran(["ip", "netns", "pids", self.namespace])
        return [int(pid) for pid in done.stdout.split()]

    def kill(self, number: int = signal.SIGKILL) -> None:
        """End every process of this host at once, as a power cut does; returns when they are gone."""
        for pid in self.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        for process in self.processes:
            process.wait(timeout=600)
        self.processes.clear()


class Network:
    """Hosts and switches; `close` (or the end of the with block) takes everything away."""

    def __init__(self) -> None:
        self.prefix = f"dd{os.getpid()}n{next(_NUMBERS)}"
        self.hosts: dict[str, Host] = {}
        self.switches: list[str] = []

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def add_switch(self, name: str) -> None:
        namespace = f"{self.prefix}-{name}"
        _ip(f"netns add {namespace}")
        self.switches.append(namespace)
        _ip(f"-n {namespace} link add switch type bridge")
        _ip(f"-n {namespace} link set switch up")

    def add_host(
        self, name: str, addresses: Mapping[str, str], *, names: Mapping[str, str] | None = None
    ) -> Host:
        """A host with one interface for each switch -> address (a /24). `names`: host name -> address, its /etc/hosts."""
        host = Host(name, f"{self.prefix}-{name}")
        _ip(f"netns add {host.namespace}")
        self.hosts[name] = host
        _ip(f"-n {host.namespace} link set lo up")
        for number, (switch, address) in enumerate(addresses.items()):
            self._connect(host, switch, f"net{number}", address)
        if names:
            folder = _ETC / host.namespace
            folder.mkdir(parents=True, exist_ok=True)
            lines = ["127.0.0.1 localhost", *(f"{address} {other}" for other, address in names.items())]
            (folder / "hosts").write_text("\n".join(lines) + "\n", encoding="ascii")
        return host

    def _connect(self, host: Host, switch: str, cable: str, address: str) -> None:
        namespace = f"{self.prefix}-{switch}"
        port = f"{host.name}-{cable}"[-15:]
        _ip(f"-n {namespace} link add {port} type veth peer name {cable} netns {host.namespace}")
        _ip(f"-n {namespace} link set {port} master switch up")
        _ip(f"-n {host.namespace} address add {address}/24 dev {cable}")
        _ip(f"-n {host.namespace} link set {cable} up")
        host.cables.append(cable)

    def close(self) -> None:
        """End every process, then every namespace; what is left of an earlier step is no reason to stop."""
        for host in self.hosts.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                host.kill()
        for namespace in [*(host.namespace for host in self.hosts.values()), *self.switches]:
            with contextlib.suppress(NetworkError):
                _ip(f"netns delete {namespace}")
            shutil.rmtree(_ETC / namespace, ignore_errors=True)
        self.hosts.clear()
        self.switches.clear()


@contextlib.contextmanager
def network() -> Iterator[Network]:
    with Network() as made:
        yield made
