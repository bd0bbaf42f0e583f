"""DroneDispatch on three hosts: network namespaces, three Consul servers, three brokers, every service twice or thrice.

The Consul servers and the brokers run with the text that scripts/provision writes for the machines of the Vagrantfile.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.cluster import access, secrets
from scripts.cluster.consul import Consul, ConsulError
from scripts.cluster.patience import Patience
from scripts.local import broker as local_broker
from scripts.local import consul as local_consul

from support.broker_watch import start_watch
from support.commands import ran
from support.netns import Host, Network, network
from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
HOSTS = {"server-1": "10.77.0.11", "server-2": "10.77.0.12", "server-3": "10.77.0.13"}
PUBLIC = {"server-1": "10.78.0.11", "server-2": "10.78.0.12", "server-3": "10.78.0.13"}
WORLD = "10.78.0.99"
DOOR_PORT = 8080

# Two of everything that may be two, never both on one host; the doors on the hosts that stay.
PLACES: dict[str, tuple[str, ...]] = {
    "server-1": ("kvstore", "kvfront", "gateway", "dispatcher", "lb"),
    "server-2": ("kvstore", "kvfront", "gateway", "drone-sim", "lb"),
    "server-3": ("kvstore", "kvfront", "gateway", "dispatcher", "drone-sim"),
}
TOKENS: dict[str, tuple[str, ...]] = {
    "kvstore": ("store", "metrics"),
    "kvfront": ("store", "metrics"),
    "gateway": ("store", "operator", "metrics"),
    "dispatcher": ("store", "metrics"),
    "drone-sim": ("store", "metrics"),
    "lb": ("operator", "metrics"),
}
BROKER_REVIVALS = 3


def tell(figures: str) -> None:
    """Figures for whoever runs this with -s."""
    sys.stdout.write(f"\n{figures}\n")


@dataclass
class Machine:
    """One host and where its files are."""

    name: str
    address: str
    host: Host
    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    door: socket.socket | None = None  # the public socket of its lb, kept from one lb to the next
    revivals: int = 0  # of its broker, since the host came up

    def consul(self, token: str) -> Consul:
        """This host's agent, to be asked from inside the host."""
        return Consul("http://127.0.0.1:8500", token, timeout_s=5.0)


class ThreeHosts:
    """The system spread over three hosts. `speed`: simulated seconds in a second."""

    def __init__(
        self, folder: Path, made: Network, *, secure: bool = True, speed: float = 60.0, drones: int = 150
    ) -> None:
        self.folder = folder
        self.network = made
        self.secure = secure
        self.speed = speed
        self.drones = drones
        self.keys = folder / "keys"
        words = ["--dir", str(self.keys), *(["--tls"] if secure else [])]
        assert secrets.main([*words, *(f"{name}={address}" for name, address in HOSTS.items())], {}) == 0
        made.add_switch("private")
        made.add_switch("public")
        self.machines = {name: self._machine(name) for name in HOSTS}
        self.world = made.add_host("world", {"public": WORLD})
        release = local_consul.version(local_consul.binary())
        self._consul_version = ".".join(map(str, release)) + ".0"

    def _machine(self, name: str) -> Machine:
        addresses = {"private": HOSTS[name], "public": PUBLIC[name]}
        host = self.network.add_host(name, addresses, names=HOSTS)
        folder = self.folder / name
        folder.mkdir(parents=True)
        return Machine(name, HOSTS[name], host, folder)

    # -- foundations -------------------------------------------------------------------------------------------

    def start_consul(self, machine: Machine) -> None:
        """The agent with the configuration of scripts/provision."""
        etc = machine.folder / "consul.d"
        if not etc.is_dir():
            (etc / "tls").mkdir(parents=True)
            for name in ("configuration", "gossip", "acls", *(["tls"] if self.secure else [])):
                (etc / f"{name}.hcl").write_text(self.text(machine, "consul", f"consul_{name}"), "utf-8")
            if self.secure:
                shipped = self.keys / "machines" / machine.name / "tls"
                shutil.copy(shipped / "ca.pem", etc / "tls" / "ca.pem")
                for kind in ("pem", "key"):
                    shutil.copy(shipped / f"consul-{machine.name}.{kind}", etc / "tls" / f"agent.{kind}")
        words = [str(local_consul.binary()), "agent", f"-config-dir={etc}", "-log-level=warn"]
        log = machine.folder / "consul.log"
        machine.running["consul"] = machine.host.start(words, _environment(machine.folder), log)

    def text(self, machine: Machine, room: str, function: str, **more: str) -> str:
        """What `function` of scripts/provision/`room`.sh prints for this machine."""
        script = f'source "$DD_TREE/scripts/provision/lib.sh"; source "$DD_TREE/scripts/provision/{room}.sh"; {function}'
        told = {
            "PATH": os.environ["PATH"],
            "DD_TREE": str(ROOT),
            "DD_SECRETS": str(self.keys / "machines" / machine.name),
            "DD_NAME": machine.name,
            "DD_ADDRESS": machine.address,
            "DD_ROLE": "server",
            "DD_SERVERS": " ".join(f"{name}={address}" for name, address in HOSTS.items()),
            "DD_SECURE": "1" if self.secure else "0",
            "DD_CONSUL_VERSION": self._consul_version,
            "CONSUL_ETC": str(machine.folder / "consul.d"),
            "CONSUL_DATA": str(machine.folder / "consul"),
            "BROKER_ETC": str(machine.folder / "rabbitmq"),
        } | more
        done = ran(["bash", "-euo", "pipefail", "-c", script], told)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def give_access(self) -> str:
        """Policies, tokens and secrets, as the last server's provisioner writes them."""
        machine = self.machines["server-3"]
        consul = machine.consul(self.secret("consul/management"))
        return machine.host.inside(
            lambda: access.give(consul, self.keys / "machines" / "server-3", Patience(40, 0.1))
        )

    def start_broker(self, machine: Machine) -> None:
        """One node of the RabbitMQ cluster, and its entry in the catalogue."""
        etc = machine.folder / "rabbitmq"
        if not etc.is_dir():
            etc.mkdir()
            (etc / "rabbitmq.conf").write_text(self.text(machine, "broker", "broker_configuration"), "utf-8")
            (etc / "definitions.json").write_text(self.text(machine, "broker", "broker_definitions"), "utf-8")
            (etc / "enabled_plugins").write_text("[rabbitmq_management,rabbitmq_prometheus].\n", "ascii")
            cookie = machine.folder / ".erlang.cookie"
            cookie.write_text(self.secret("erlang_cookie"), encoding="ascii")
            cookie.chmod(0o400)
            entry = self.text(machine, "broker", "broker_service")
            (machine.folder / "consul.d" / "rabbitmq.hcl").write_text(entry, encoding="utf-8")
            machine.running["consul"].send_signal(signal.SIGHUP)
        words = [str(local_broker.server())]
        environ = self.broker_environment(machine)
        log = machine.folder / "rabbitmq.log"
        log.unlink(missing_ok=True)  # a log a start: what it says is of this one
        machine.running["rabbitmq"] = machine.host.start(words, environ, log)
        if (former := machine.running.pop("broker-watch", None)) is not None:
            former.kill()
            former.wait(timeout=600)
            with contextlib.suppress(ValueError):  # it went with its host
                machine.host.processes.remove(former)
        addresses = self.text(machine, "broker", "broker_watch_addresses").split()
        machine.running["broker-watch"] = start_watch(
            machine.host, addresses, machine.running["rabbitmq"], log, environ
        )

    def revive_brokers(self) -> None:
        """Start a broker that has ended by itself again, as its systemd unit does. AssertionError when that is in vain."""
        for machine in self.machines.values():
            process = machine.running.get("rabbitmq")
            if process is not None and process.poll() is not None:
                machine.revivals += 1
                assert machine.revivals <= BROKER_REVIVALS, self._end_of(machine, "rabbitmq")
                self.start_broker(machine)

    @staticmethod
    def _end_of(machine: Machine, name: str) -> str:
        log = (machine.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return f"{name} of {machine.name} ended with {machine.running[name].returncode}: {log[-800:]}"

    def broker_environment(self, machine: Machine) -> dict[str, str]:
        """For this host's broker, and for RabbitMQ's own tools there."""
        etc = machine.folder / "rabbitmq"
        private = f"-kernel inet_dist_use_interface {{{machine.address.replace('.', ',')}}}"
        told = {
            "RABBITMQ_NODENAME": f"rabbit@{machine.name}",
            "RABBITMQ_CONFIG_FILE": str(etc / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(etc / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_MNESIA_BASE": str(machine.folder / "mnesia"),
            "RABBITMQ_LOG_BASE": str(machine.folder / "rabbitmq-log"),
            "RABBITMQ_PID_FILE": str(machine.folder / "rabbitmq.pid"),
            "ERL_EPMD_ADDRESS": machine.address,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": f"{private} +sbwt none",
            "ERL_ZFLAGS": private,
        }
        return _environment(machine.folder) | told

    # -- services ----------------------------------------------------------------------------------------------

    def environment(self, machine: Machine, service: str) -> dict[str, str]:
        """What a job file would tell `service` on `machine`."""
        prefix = service.replace("-", "_").upper()
        told = {
            f"{prefix}_HOST": machine.address,
            f"{prefix}_INSTANCE": f"{service}-{machine.name}",
            f"{prefix}_REGISTRATION": "self",
            f"{prefix}_DRAIN_S": "5",
            "CONSUL_HTTP_ADDR": "127.0.0.1:8500",
            "CONSUL_HTTP_TOKEN_FILE": str(self.keys / "consul" / service),
        }
        told |= {f"{name.upper()}_TOKEN_FILE": str(self.keys / f"{name}_token") for name in TOKENS[service]}
        if service in {"gateway", "dispatcher", "drone-sim"}:
            told |= {
                f"{prefix}_SPEED": f"{self.speed:g}",
                "AMQP_USER": service,
                "AMQP_VHOST": "dronedispatch",
            }
            told |= {"AMQP_PASSWORD_FILE": str(self.keys / "amqp" / service)}
        if service == "kvstore":
            told |= {"KVSTORE_DATA_DIR": str(machine.folder / "kvstore"), "KVSTORE_NAME": machine.name}
        if service == "drone-sim":
            told |= {"DRONE_SIM_DRONES": str(self.drones)}
        if service == "lb":
            told |= {"LB_PORT": str(DOOR_PORT), "LB_LISTEN_FD": "0", "LB_PLAIN": "clients"}
        return _environment(machine.folder) | told

    def start_service(self, machine: Machine, service: str, **more: str) -> None:
        """Start one service; the door's socket is opened on the public address, everything else is private."""
        words = [str(Path(sys.executable).parent / "dronedispatch"), service]
        environ = self.environment(machine, service) | more
        log = machine.folder / f"{service}.log"
        stdin, public = subprocess.DEVNULL, (PUBLIC[machine.name], DOOR_PORT)
        if service == "lb":
            if machine.door is None:
                machine.door = machine.host.inside(lambda: socket.create_server(public, backlog=1024))
            stdin = machine.door.fileno()
        machine.running[service] = machine.host.start(words, environ, log, stdin=stdin)

    def stop_service(self, machine: Machine, service: str) -> None:
        """SIGTERM, and wait: a graceful stop."""
        process = machine.running.pop(service)
        process.terminate()
        process.wait(timeout=600)
        machine.host.processes.remove(process)

    def start(self) -> None:
        """Everything, in the order of scripts/deploy."""
        for machine in self.machines.values():
            self.start_consul(machine)
        self.give_access()
        for machine in self.machines.values():
            self.start_broker(machine)
        for tier in ("kvstore", "kvfront", "drone-sim", "dispatcher", "gateway", "lb"):
            for name, services in PLACES.items():
                if tier in services:
                    self.start_service(self.machines[name], tier)
            if tier == "kvstore":
                self.bootstrap()
        self.wait_healthy(90)

    def start_all_of(self, machine: Machine) -> None:
        """A machine that comes back: the agents, then what was placed there."""
        self.start_consul(machine)
        machine.revivals = 0
        self.start_broker(machine)
        for service in PLACES[machine.name]:
            self.start_service(machine, service)

    def bootstrap(self) -> None:
        """The store's first view: what jobs/bootstrap runs."""
        machine = self.machines["server-1"]
        environ = _environment(machine.folder) | {
            "CONSUL_HTTP_ADDR": "127.0.0.1:8500",
            "CONSUL_HTTP_TOKEN_FILE": str(self.keys / "consul" / "kvctl"),
            "STORE_TOKEN_FILE": str(self.keys / "store_token"),
        }
        words = [
            str(Path(sys.executable).parent / "dronedispatch"),
            "kvctl",
            "bootstrap",
            "--rf",
            "2",
            "--replicas",
            "3",
        ]
        done = machine.host.run(words, environ, timeout_s=900)
        assert done.returncode == 0, done.stdout + done.stderr

    # -- looking -----------------------------------------------------------------------------------------------

    def secret(self, name: str) -> str:
        return (self.keys / name).read_text(encoding="ascii").strip()

    def ask_consul(self, name: str, path: str) -> Any:
        """What the agent of host `name` answers the management token."""
        machine = self.machines[name]
        consul = machine.consul(self.secret("consul/management"))
        return machine.host.inside(lambda: consul.call("GET", path))

    def passing(self, name: str = "server-1") -> dict[str, int]:
        """Service -> instances that pass, as host `name` sees it; empty while its Consul cannot tell."""
        wanted = ("rabbitmq", "kvstore", "kvfront", "gateway", "dispatcher", "drone-sim", "lb")
        with contextlib.suppress(ConsulError):
            return {
                service: len(self.ask_consul(name, f"/v1/health/service/{service}?passing") or [])
                for service in wanted
            }
        return {}

    def expected(self) -> dict[str, int]:
        """Service -> instances that run when everything runs."""
        placed = [service for services in PLACES.values() for service in services]
        return {"rabbitmq": len(HOSTS)} | {service: placed.count(service) for service in sorted(set(placed))}

    def wait_healthy(self, ordinary_s: float) -> None:
        """Until every instance passes in Consul; AssertionError at once when a process has ended by itself."""
        wait_until(self._healthy_or_died, f"all pass: {self.expected()}", ordinary_s)

    def _healthy_or_died(self) -> bool:
        self.revive_brokers()
        for machine in self.machines.values():
            for name, process in machine.running.items():
                assert process.poll() is None, self._end_of(machine, name)
        return self.passing() == self.expected()

    def view(self, name: str = "server-1") -> dict[str, Any]:
        machine = self.machines[name]
        consul = machine.consul(self.secret("consul/management"))
        text = machine.host.inside(lambda: consul.get("dronedispatch/kv/view"))
        assert text is not None, "there is a view"
        return dict(json.loads(text))


def _environment(home: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TZ") if name in os.environ}
    return kept | {"HOME": str(home), "PYTHONUNBUFFERED": "1"}


@contextlib.contextmanager
def three_hosts(folder: Path, **options: Any) -> Iterator[ThreeHosts]:
    """Everything started and healthy; everything gone afterwards."""
    with network() as made:
        system = ThreeHosts(folder, made, **options)
        try:
            system.start()
            yield system
        finally:
            for machine in system.machines.values():
                if machine.door is not None:
                    machine.door.close()


def headers(token: str) -> Mapping[str, str]:
    return {"Authorization": f"Bearer {token}"}
