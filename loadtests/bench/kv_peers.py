"""The stores that are measured, each as real processes on free ports with its data on the same disk: ours and its peers."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPException
from pathlib import Path

import msgspec
from loadtests.bench.kv_load import TOKEN, Peer
from loadtests.bench.processes import START_S, accepts, cpu_s, free_port, wait_for_start
from scripts.cluster.patience import Patience
from scripts.local.table import program

from dronedispatch.kv.http_client import HttpKV
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.http.client import HttpClient


def answers(url: str, wanted: bytes = b"") -> bool:
    """Whether a GET of `url` succeeds and its body contains `wanted`."""
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    try:
        with urllib.request.urlopen(request, timeout=2) as answer:
            return wanted in answer.read()
    except (OSError, HTTPException, ValueError):
        return False


class Process:
    """One process of a store, which can be killed and started again; it serves when it is `ready`."""

    def __init__(
        self, command: Sequence[str], log: Path, environ: Mapping[str, str], ready: Callable[[], bool]
    ) -> None:
        self._command = command
        self._log = log
        self._environ = environ
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and wait. Raises RuntimeError with the end of its log."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, env=os.environ | self._environ, stdout=out, stderr=out
            )
        try:
            wait_for_start(self._process, self._ready)
        except RuntimeError as error:
            raise RuntimeError(f"{error}: {self._log.read_text()[-800:]}") from error

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)


class Peers:
    """Everything that is running, by peer: its processes, and the ports that serve it."""

    def __init__(self, folder: Path, *, rf: int, replicas: int, fronts: int) -> None:
        self._folder = folder
        self._rf = rf
        self._fronts = fronts
        self._consul_port = free_port()
        self.processes: dict[Peer, list[Process]] = {}
        self.ports: dict[Peer, list[int]] = {}
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "token").write_text(TOKEN)
        self.replicas = {number: self._replica(number) for number in range(1, replicas + 1)}

    def start(self, peers: Sequence[Peer]) -> None:
        """Start all of `peers`; ours wants Consul."""
        starts = {"ours": self._ours, "etcd": self._etcd, "consul": self._consul, "redis": self._redis}
        for peer in peers:
            starts[peer]()

    def stop(self) -> None:
        """kill -9 all: nothing of this is kept."""
        for process in (*(one for some in self.processes.values() for one in some), *self.replicas.values()):
            process.kill()

    def cpu_s(self, peer: Peer) -> float:
        """CPU seconds of all processes that serve `peer`."""
        return sum(cpu_s(process.pid) for process in self.processes[peer])

    def client(self, http: HttpClient, timeout_s: float = 5.0) -> HttpKV:
        """A client of ours."""
        endpoints = tuple(Endpoint(f"127.0.0.1:{port}", "127.0.0.1", port) for port in self.ports["ours"])
        return HttpKV(lambda: endpoints, http, TOKEN, timeout_s=timeout_s)

    def lacking(self) -> int:
        """How many (slot, replica) are assigned and not in sync, by the view in Consul."""
        url = f"http://127.0.0.1:{self._consul_port}/v1/kv/dronedispatch/kv/view?raw"
        with urllib.request.urlopen(url, timeout=2) as answer:
            view = msgspec.json.decode(answer.read())
        return sum(name not in slot["in_sync"] for slot in view["slots"] for name in slot["assigned"])

    def _environ(self) -> dict[str, str]:
        token = str(self._folder / "token")
        consul = f"127.0.0.1:{self._consul_port}"
        return {"CONSUL_HTTP_ADDR": consul, "STORE_TOKEN_FILE": token, "METRICS_TOKEN_FILE": token}

    def _service(self, service: str, name: str, port: int, **settings: str) -> Process:
        """A process of ours, not started yet."""
        own = {"INSTANCE": name, "PORT": str(port), **settings}
        environ = self._environ() | {f"{service.upper()}_{key}": value for key, value in own.items()}
        log = self._folder / f"{name}.log"
        url = f"http://127.0.0.1:{port}/health?live=1"
        return Process([program(), service], log, environ, lambda: answers(url))

    def _replica(self, number: int) -> Process:
        name = f"r{number}"
        return self._service("kvstore", name, free_port(), NAME=name, DATA_DIR=str(self._folder / name))

    def _ours(self) -> None:
        if "consul" not in self.processes:
            self._consul()
        ports = [free_port() for _ in range(self._fronts)]
        fronts = [self._service("kvfront", f"f{number}", port) for number, port in enumerate(ports, 1)]
        self.processes["ours"] = [*self.replicas.values(), *fronts]
        for process in self.processes["ours"]:
            process.start()
        counts = ("--rf", str(self._rf), "--replicas", str(len(self.replicas)))
        command = [program(), "kvctl", "bootstrap", *counts]
        subprocess.run(
            command, env=os.environ | self._environ(), stdout=subprocess.DEVNULL, timeout=300, check=True
        )
        for port in ports:
            url = f"http://127.0.0.1:{port}/health"
            if not Patience(START_S).until(lambda url=url: answers(url, b'"ready":true')):  # type: ignore[misc]
                raise RuntimeError("kvfront did not become ready")
        self.ports["ours"] = ports

    def _run(self, peer: Peer, command: Sequence[str], port: int, ready: Callable[[], bool]) -> None:
        process = Process(command, self._folder / f"{peer}.log", {}, ready)
        self.processes[peer] = [process]
        self.ports[peer] = [port]
        process.start()

    def _etcd(self) -> None:
        port = free_port()
        client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
        words = (
            f"--name=one --log-level=error --listen-client-urls={client} --advertise-client-urls={client} "
            f"--listen-peer-urls={peer} --initial-advertise-peer-urls={peer} --initial-cluster=one={peer}"
        ).split()
        command = ["etcd", f"--data-dir={self._folder / 'etcd'}", *words]
        self._run("etcd", command, port, lambda: answers(f"{client}/health", b"true"))

    def _consul(self) -> None:
        if "consul" in self.processes:
            return
        port = self._consul_port
        server, serf, wan = (free_port() for _ in range(3))
        words = (
            f"-server -bootstrap-expect=1 -bind=127.0.0.1 -node=one -log-level=err -http-port={port} "
            f"-server-port={server} -serf-lan-port={serf} -serf-wan-port={wan} -dns-port=-1 -grpc-port=-1"
        ).split()
        settings = ("limits { http_max_conns_per_client = 1000 }", "performance { raft_multiplier = 1 }")
        command = ["consul", "agent", f"-data-dir={self._folder / 'consul'}", *words]
        command += [f"-hcl={setting}" for setting in settings]
        leads = f"http://127.0.0.1:{port}/v1/status/leader"
        self._run("consul", command, port, lambda: answers(leads, b":"))

    def _redis(self) -> None:
        port, data = free_port(), self._folder / "redis"
        data.mkdir()
        words = f"--port {port} --bind 127.0.0.1 --appendonly yes --appendfsync always".split()
        command = ["redis-server", *words, "--dir", str(data), "--save", ""]
        self._run("redis", command, port, lambda: accepts(port))
