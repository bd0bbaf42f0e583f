"""A real store for tests: kvstores, kvfronts and Consul as processes, here or each in its own network namespace."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from scripts.local import consul as local_consul
from scripts.local.ports import Ports

from support.commands import ran
from support.ports import free_port, free_ports
from support.real_parts import Part
from support.waiting import wait_until

TOKEN = "only-for-tests"
PROGRAM = str(Path(sys.executable).parent / "dronedispatch")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Host:
    """Where a process runs: this machine itself, or a network namespace with an address of its own."""

    name: str
    address: str = "127.0.0.1"
    namespace: str | None = None

    def command(self, *words: str) -> list[str]:
        """`words` as they are run there."""
        return [*words] if self.namespace is None else ["ip", "netns", "exec", self.namespace, *words]

    def cut_from(self, *others: Host) -> None:
        """Drop, from now on, every packet that comes from `others` (one way: theirs to here)."""
        for other in others:
            _run(*self.command("iptables", "-I", "INPUT", "-s", other.address, "-j", "DROP"))

    def mute(self, port: int) -> None:
        """Drop, from now on, what is answered at `port`; what this host asks of others goes on."""
        _run(*self.command("iptables", "-I", "OUTPUT", "-p", "tcp", "--sport", str(port), "-j", "DROP"))

    def heal(self) -> None:
        """Undo every cut_from and mute of this host."""
        for chain in ("INPUT", "OUTPUT"):
            _run(*self.command("iptables", "-F", chain))


class Network:
    """Namespaces on one bridge; `close` ends them (after the processes in them)."""

    def __init__(self) -> None:
        self.number, self.bridge = _bridge()
        self.hosts: dict[str, Host] = {}
        _run("ip", "addr", "add", f"10.231.{self.number}.1/24", "dev", self.bridge)
        _run("ip", "link", "set", self.bridge, "up")

    def host(self, name: str) -> Host:
        if name not in self.hosts:
            place = len(self.hosts) + 2
            made = Host(name, f"10.231.{self.number}.{place}", f"dd{self.number}-{name}")
            assert made.namespace is not None
            link = f"v{self.number}x{place}"
            _run("ip", "netns", "add", made.namespace)
            _run("ip", "link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", made.namespace)
            _run("ip", "link", "set", link, "master", self.bridge, "up")
            _run(*made.command("ip", "addr", "add", f"{made.address}/24", "dev", "eth0"))
            _run(*made.command("ip", "link", "set", "eth0", "up"))
            _run(*made.command("ip", "link", "set", "lo", "up"))
            self.hosts[name] = made
        return self.hosts[name]

    def close(self) -> None:
        for host in self.hosts.values():
            subprocess.run(["ip", "netns", "del", str(host.namespace)], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self.bridge], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", f"dd{self.number}"], check=False, capture_output=True)


def _bridge() -> tuple[int, str]:
    """A new bridge with a number that no other run on this machine has: an empty namespace holds it, for all networks."""
    for _ in range(250):
        number = (os.getpid() * 7 + next(_numbers)) % 250
        name = f"ddb{number}"
        if _made("ip", "netns", "add", f"dd{number}"):
            if _made("ip", "link", "add", name, "type", "bridge"):
                return number, name
            _run("ip", "netns", "del", f"dd{number}")
    raise AssertionError("250 namespaces dd* exist already: remove those that nobody uses (ip netns del)")


def _made(*words: str) -> bool:
    """False if there is one of that name."""
    done = ran(words)
    assert done.returncode == 0 or "File exists" in done.stderr, done.stderr
    return done.returncode == 0


def _run(*words: str) -> None:
    done = ran(words)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr.strip()}"


@dataclass
class Store:
    """The processes of one store. Every part may be killed, paused and started again."""

    folder: Path
    rf: int = 2
    network: Network | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    consul: Part = field(init=False)
    parts: dict[str, Part] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    data: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "token").write_text(TOKEN)
        ports = free_ports() if self.network is None else Ports(30_000)
        self._consul_port = ports.consul_http
        data = self.folder / "consul"
        data.mkdir(exist_ok=True)
        program = local_consul.binary()
        config = local_consul.configuration(ports, data, local_consul.version(program), broker=False)
        address = self.host("consul").address
        config |= {"bind_addr": address, "client_addr": address}
        (self.folder / "consul.json").write_text(json.dumps(config))
        command = self.host("consul").command(
            str(program), "agent", f"-config-file={self.folder / 'consul.json'}"
        )
        self.consul = Part(command, dict(os.environ), self.folder / "consul.log", self._consul_leads)

    def host(self, name: str) -> Host:
        return Host(name) if self.network is None else self.network.host(name)

    @property
    def consul_address(self) -> str:
        return f"http://{self.host('consul').address}:{self._consul_port}"

    def environment(self) -> dict[str, str]:
        """What a process, kvctl too, needs to find the store and to be let in."""
        known = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return known | {
            "CONSUL_HTTP_ADDR": self.consul_address,
            "STORE_TOKEN_FILE": str(self.folder / "token"),
            "METRICS_TOKEN_FILE": str(self.folder / "token"),
        }

    def add(self, service: str, name: str, **settings: str) -> Part:
        """A kvstore or kvfront, not started yet."""
        host = self.host(name)
        port = self.ports[name] = free_port()
        own = {"HOST": host.address, "PORT": str(port), "INSTANCE": name, **settings}
        if service == "kvstore":
            self.data[name] = self.folder / name
            own = {"DATA_DIR": str(self.data[name]), "NAME": name} | own
        prefix = service.upper()
        environment = self.environment() | {f"{prefix}_{key}": value for key, value in own.items()}
        environment |= {key: value for key, value in self.settings.items() if key.startswith(prefix)}
        self.parts[name] = Part(
            host.command(PROGRAM, service),
            environment,
            self.folder / f"{name}.log",
            lambda: self.get(name, "/health?live=1") is not None,
        )
        return self.parts[name]

    def start(self, replicas: int = 3, fronts: int = 2) -> None:
        """Consul, the replicas r1.., the coordinators f1.., and the first view; returns when all are ready."""
        self.consul.start()
        for number in range(1, replicas + 1):
            self.add("kvstore", f"r{number}")
        for number in range(1, fronts + 1):
            self.add("kvfront", f"f{number}")
        self.start_parts(*self.parts)
        self.kvctl("bootstrap", "--rf", str(self.rf), "--replicas", str(replicas), "--within", "120")
        for number in range(1, fronts + 1):
            wait_until(lambda n=f"f{number}": self.get(n, "/health") is not None, f"f{number} is ready")  # type: ignore[misc]
        wait_until(lambda: len(self.registered("kvfront")) == fronts, "Consul knows that they are")

    def start_parts(self, *names: str) -> None:
        """These at once; returns when each answers."""
        with ThreadPoolExecutor(max(1, len(names))) as pool:
            for started in [pool.submit(self.parts[name].start) for name in names]:
                started.result()

    def stop(self) -> None:
        """End every process, the coordinators first."""
        for name in sorted(self.parts):
            part = self.parts[name]
            if part.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(part.process.pid, signal.SIGCONT)
            part.stop(signal.SIGKILL)
        self.consul.stop()

    def kvctl(self, *words: str, code: int = 0) -> str:
        """What `dronedispatch kvctl words...` prints; it must end with `code`."""
        command = self.host("consul").command(PROGRAM, "kvctl", *words)
        done = ran(command, self.environment())
        assert done.returncode == code, (
            f"kvctl {' '.join(words)}: {done.returncode} {done.stdout} {done.stderr}"
        )
        return done.stdout + done.stderr

    def address(self, name: str) -> tuple[str, int]:
        """Where the process `name` answers."""
        return self.host(name).address, self.ports[name]

    def get(self, name: str, path: str) -> bytes | None:
        """The body of a 200; None for anything else."""
        address, port = self.address(name)
        request = urllib.request.Request(
            f"http://{address}:{port}{path}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        return _body(request)

    def state(self, name: str) -> dict[str, object]:
        """What the replica `name` says of itself; empty when it does not answer."""
        body = self.get(name, "/replica/state")
        return {} if body is None else json.loads(body)

    def view(self) -> dict[str, object]:
        """The view in Consul; empty when there is none."""
        body = _body(urllib.request.Request(f"{self.consul_address}/v1/kv/dronedispatch/kv/view?raw"))
        return {} if body is None else json.loads(body)

    def delete_view(self) -> None:
        """As somebody may do who cleans up Consul's keys."""
        address = f"{self.consul_address}/v1/kv/dronedispatch/kv/view"
        assert _body(urllib.request.Request(address, method="DELETE")) is not None

    def epoch(self) -> int:
        """The view's epoch; 0: no view or no Consul."""
        epoch = self.view().get("epoch", 0)
        assert isinstance(epoch, int)
        return epoch

    def absent(self) -> list[str]:
        """The replicas that are assigned a slot for which they are not in sync."""
        slots = self.view().get("slots", [])
        assert isinstance(slots, list)
        return sorted({name for slot in slots for name in slot["assigned"] if name not in slot["in_sync"]})

    def in_sync(self) -> set[str]:
        """The replicas that are in sync for some slot."""
        slots = self.view().get("slots", [])
        assert isinstance(slots, list)
        return {name for slot in slots for name in slot["in_sync"]}

    def logged(self, name: str, event: str) -> int:
        """How often the process `name` has logged `event`."""
        return (self.folder / f"{name}.log").read_text().count(f'"event":"{event}"')

    def registered(self, service: str) -> list[str]:
        """The names of the passing instances in Consul."""
        body = _body(urllib.request.Request(f"{self.consul_address}/v1/health/service/{service}?passing=1"))
        return [] if body is None else sorted(one["Service"]["ID"] for one in json.loads(body))

    def whole(self) -> bool:
        """Every assigned replica is in sync for every slot."""
        return self.epoch() > 0 and not self.absent()

    def wipe(self, name: str) -> None:
        """Delete the disk of a replica that does not run."""
        shutil.rmtree(self.data[name])

    def _consul_leads(self) -> bool:
        body = _body(urllib.request.Request(f"{self.consul_address}/v1/status/leader"))
        return body is not None and len(body) > 4


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _body(request: urllib.request.Request) -> bytes | None:
    try:
        with _OPENER.open(request, timeout=2) as answer:
            content: bytes = answer.read()
            return content
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def running_store(
    folder: Path,
    *,
    rf: int = 2,
    replicas: int = 3,
    fronts: int = 2,
    namespaces: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Store]:
    network = Network() if namespaces else None
    store = Store(folder, rf, network, settings or {})
    try:
        store.start(replicas, fronts)
        yield store
    finally:
        store.stop()
        if network is not None:
            network.close()
