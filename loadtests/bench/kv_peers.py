"""The stores that are measured, each as real processes on free ports with its data on the same disk: ours and its peers."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import psutil
from loadtests.bench.kv_client import Peer

PROGRAM = str(Path(sys.executable).parent / "dronedispatch")
TOKEN = "only-for-the-benchmark"
START_WITHIN_S = 30.0


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def answers(url: str, wanted: bytes = b"") -> bool:
    """Whether a GET of `url` succeeds and its body contains `wanted`."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return wanted in answer.read()
    except (urllib.error.URLError, OSError, ValueError):
        return False


class Process:
    """One process of a store."""

    def __init__(
        self, command: Sequence[str], folder: Path, name: str, environment: Mapping[str, str]
    ) -> None:
        self.command = command
        self.name = name
        self._environment = {**os.environ, **environment}
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, ready: Callable[[], bool]) -> None:
        """Start and wait until `ready`. Raises RuntimeError with the end of its log."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(self.command, env=self._environment, stdout=out, stderr=out)
        deadline_s = time.monotonic() + START_WITHIN_S
        while not ready():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"{self.name} did not start: {self._log.read_text()[-800:]}")
            time.sleep(0.05)

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)

    def cpu_s(self) -> float:
        """CPU seconds used so far."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


class Peers:
    """Everything that is running, by peer."""

    def __init__(self, folder: Path, *, rf: int = 2, replicas: int = 3, fronts: int = 2) -> None:
        self.folder = folder
        self.rf = rf
        self.replicas = replicas
        self.fronts = fronts
        self.processes: dict[str, list[Process]] = {}
        self.addresses: dict[str, list[tuple[str, int]]] = {}
        self.named: dict[str, Process] = {}
        self.ports: dict[str, int] = {}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "token").write_text(TOKEN)

    def start(self, peers: Sequence[Peer]) -> None:
        """Start all of `peers`; those whose program is missing are left out, with a word."""
        for peer in peers:
            {"ours": self._ours, "etcd": self._etcd, "consul": self._consul, "redis": self._redis}[peer]()

    def stop(self) -> None:
        """kill -9 all: nothing of this is kept."""
        for processes in self.processes.values():
            for process in processes:
                process.kill()

    def cpu_s(self, peer: str) -> float:
        """CPU seconds of all processes that serve `peer`."""
        return sum(process.cpu_s() for process in self.processes[peer])

    def replica(self, number: int) -> Process:
        """One kvstore, not started yet (or again)."""
        name = f"r{number}"
        if name not in self.named:
            self.ports[name] = free_port()
            environment = self._environment() | {
                "KVSTORE_NAME": name,
                "KVSTORE_INSTANCE": name,
                "KVSTORE_PORT": str(self.ports[name]),
                "KVSTORE_DATA_DIR": str(self.folder / name),
            }
            self.named[name] = Process([PROGRAM, "kvstore"], self.folder, name, environment)
        return self.named[name]

    def start_replica(self, number: int) -> None:
        """Start it and wait until it answers."""
        process = self.replica(number)
        process.start(lambda: answers(f"http://127.0.0.1:{self.ports[f'r{number}']}/health?live=1"))

    def kvctl(self, *words: str) -> str:
        """What `dronedispatch kvctl` says."""
        environment = {**os.environ, **self._environment()}
        done = subprocess.run(
            [PROGRAM, "kvctl", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        return done.stdout

    def lacking(self) -> int:
        """How many (slot, replica) are assigned and not in sync, by the view in Consul."""
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self.ports['consul']}/v1/kv/dronedispatch/kv/view?raw", timeout=2
        ) as answer:
            view = msgspec.json.decode(answer.read())
        return sum(name not in slot["in_sync"] for slot in view["slots"] for name in slot["assigned"])

    def _environment(self) -> dict[str, str]:
        token = str(self.folder / "token")
        return {
            "CONSUL_HTTP_ADDR": f"127.0.0.1:{self.ports['consul']}",
            "STORE_TOKEN_FILE": token,
            "METRICS_TOKEN_FILE": token,
        }

    def _ours(self) -> None:
        self._consul()
        for number in range(1, self.replicas + 1):
            self.start_replica(number)
        fronts = []
        for number in range(1, self.fronts + 1):
            port = free_port()
            environment = self._environment() | {
                "KVFRONT_PORT": str(port),
                "KVFRONT_INSTANCE": f"f{number}",
            }
            process = Process([PROGRAM, "kvfront"], self.folder, f"f{number}", environment)
            process.start(lambda port=port: answers(f"http://127.0.0.1:{port}/health?live=1"))  # type: ignore[misc]
            fronts.append(process)
            self.addresses.setdefault("ours", []).append(("127.0.0.1", port))
        self.kvctl("bootstrap", "--rf", str(self.rf), "--replicas", str(self.replicas))
        for _, port in self.addresses["ours"]:
            deadline_s = time.monotonic() + START_WITHIN_S
            while not answers(f"http://127.0.0.1:{port}/health", b'"ready":true'):
                if time.monotonic() > deadline_s:
                    raise RuntimeError("kvfront did not become ready")
                time.sleep(0.05)
        self.processes["ours"] = [*(self.replica(n) for n in range(1, self.replicas + 1)), *fronts]

    def _etcd(self) -> None:
        client, peer = free_port(), free_port()
        urls = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
        command = ["etcd", "--name", "one", "--data-dir", str(self.folder / "etcd"), "--log-level", "error"]
        command += ["--listen-client-urls", urls[0], "--advertise-client-urls", urls[0]]
        command += ["--listen-peer-urls", urls[1], "--initial-advertise-peer-urls", urls[1]]
        command += ["--initial-cluster", f"one={urls[1]}"]
        process = Process(command, self.folder, "etcd", {})
        process.start(lambda: answers(f"{urls[0]}/health", b"true"))
        self.processes["etcd"] = [process]
        self.addresses["etcd"] = [("127.0.0.1", client)]

    def _consul(self) -> None:
        if "consul" in self.processes:
            return
        http, server, serf, wan = (free_port() for _ in range(4))
        self.ports["consul"] = http
        command = ["consul", "agent", "-server", "-bootstrap-expect=1", f"-data-dir={self.folder / 'consul'}"]
        command += [
            "-bind=127.0.0.1",
            "-node=one",
            "-log-level=err",
            f"-http-port={http}",
            f"-server-port={server}",
        ]
        command += [f"-serf-lan-port={serf}", f"-serf-wan-port={wan}", "-dns-port=-1", "-grpc-port=-1"]
        command += [
            "-hcl=limits { http_max_conns_per_client = 1000 }",
            "-hcl=performance { raft_multiplier = 1 }",
        ]
        process = Process(command, self.folder, "consul", {})
        process.start(lambda: answers(f"http://127.0.0.1:{http}/v1/status/leader", b":"))
        self.processes["consul"] = [process]
        self.addresses["consul"] = [("127.0.0.1", http)]

    def _redis(self) -> None:
        port = free_port()
        (self.folder / "redis").mkdir()
        command = [
            "redis-server",
            "--port",
            str(port),
            "--bind",
            "127.0.0.1",
            "--dir",
            str(self.folder / "redis"),
        ]
        command += ["--appendonly", "yes", "--appendfsync", "always", "--save", ""]
        process = Process(command, self.folder, "redis", {})

        def ready() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=1):
                    return True
            except OSError:
                return False

        process.start(ready)
        self.processes["redis"] = [process]
        self.addresses["redis"] = [("127.0.0.1", port)]
