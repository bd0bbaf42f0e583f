"""Three servers and three clients in network namespaces, secured, by the text of scripts/provision; the jobs are Nomad's."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.cluster import access, secrets
from scripts.local import consul as local_consul

from support.commands import ran
from support.netns import Network, network
from support.nomad_machine import fetch, weigh_as_processes
from support.order_stream import OrderStream, posted
from support.three_hosts import HOSTS, ROOT, Machine, ThreeHosts
from support.waiting import Patience, wait_until

CLIENTS = {"client-1": "10.77.0.21", "client-2": "10.77.0.22", "client-3": "10.77.0.23"}
MACHINES = HOSTS | CLIENTS
DOORS = tuple(f"{address}:8080" for address in CLIENTS.values())
# What a namespace lacks of a machine: no chroot of its own (so raw_exec), and no cloud that would say who it is.
HERE = """
plugin "raw_exec" { config { enabled = true } }
client { options = { "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean" } }
"""


def control_groups() -> str:
    """The shell's lines that mount this machine's control groups: `ip netns exec` lays an empty /sys over them, and
    Nomad 1.9 starts no task without."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text("utf-8").splitlines()]
    return "".join(
        f"mkdir -p {where}; mount -t {kind} -o {options} {source} {where}\n"
        for source, where, kind, options, *_ in mounts
        if Path(where).is_relative_to("/sys/fs/cgroup")
    )


class Cluster(ThreeHosts):
    """Six machines; the services are Nomad's."""

    def __init__(self, folder: Path, made: Network) -> None:
        self.folder, self.network, self.secure = folder, made, True
        self.keys = folder / "keys"
        machines = (f"{name}={address}" for name, address in MACHINES.items())
        assert secrets.main(["--dir", str(self.keys), "--tls", *machines], {}) == 0
        made.add_switch("private")
        self.machines = {name: self._machine(name) for name in MACHINES}
        self.world = made.add_host("world", {"private": "10.77.0.99"})
        self._consul_version = ".".join(map(str, local_consul.version(local_consul.binary()))) + ".0"
        for name in ("one", "two"):
            (folder / "releases" / name / "bin").mkdir(parents=True)
            program = folder / "releases" / name / "bin" / "dronedispatch"
            program.symlink_to(Path(sys.executable).parent / "dronedispatch")

    def _machine(self, name: str) -> Machine:
        host = self.network.add_host(name, {"private": MACHINES[name]}, names=MACHINES)
        folder = self.folder / name
        folder.mkdir(parents=True)
        return Machine(name, MACHINES[name], host, folder)

    def text(self, machine: Machine, room: str, function: str, **more: str) -> str:
        """As for three hosts, with the role of the machine's name."""
        told = {
            "DD_ROLE": machine.name.partition("-")[0],
            "DD_INTERFACE": "net0",
            "NOMAD_ETC": str(machine.folder / "nomad.d"),
            "NOMAD_DATA": str(machine.folder / "nomad"),
            "NOMAD_VOLUMES": str(machine.folder),
        }
        return super().text(machine, room, function, **told, **more)

    def start_nomad(self, machine: Machine) -> None:
        """The agent with the configuration of scripts/provision."""
        etc = machine.folder / "nomad.d"
        if not etc.is_dir():
            (etc / "tls").mkdir(parents=True)
            (machine.folder / "kvstore").mkdir()
            for name in ("configuration", "secrets", "tls", machine.name.partition("-")[0]):
                (etc / f"{name}.hcl").write_text(self.text(machine, "nomad", f"nomad_{name}"), "utf-8")
            if machine.name in CLIENTS:
                (etc / "zz-here.hcl").write_text(HERE, "utf-8")
            shipped = self.keys / "machines" / machine.name / "tls"
            shutil.copy(shipped / "ca.pem", etc / "tls" / "ca.pem")
            for kind in ("pem", "key"):
                shutil.copy(shipped / f"nomad-{machine.name}.{kind}", etc / "tls" / f"agent.{kind}")
        words = ["sh", "-ec", f'{control_groups()}exec "$@"', "sh", "nomad", "agent", f"-config={etc}"]
        environ = {"PATH": os.environ["PATH"], "HOME": str(machine.folder), "CHECKPOINT_DISABLE": "1"}
        machine.running["nomad"] = machine.host.start(words, environ, machine.folder / "nomad.log")

    def start(self) -> None:
        """The agents, the brokers, and who may do what; no job."""
        for machine in self.machines.values():
            self.start_consul(machine)
        self.give_access()
        for name in HOSTS:
            self.start_broker(self.machines[name])
        for machine in self.machines.values():
            self.start_nomad(machine)
        given = [
            "--nomad",
            "--acl",
            "--deadline",
            "90",
            "--secrets",
            str(self.keys / "machines" / "server-3"),
        ]
        words = [sys.executable, "-m", "scripts.cluster.access", *given]
        done = self.command("server-3", *words, NOMAD_ADDR="https://10.77.0.13:4646", NOMAD_TOKEN="")
        assert done.returncode == 0, done.stdout + done.stderr
        wait_until(
            lambda: self.nomad("node", "status").stdout.count(" ready") == len(CLIENTS),
            "three clients are ready",
            90,
        )

    def command(self, name: str, *words: str, **told: str) -> subprocess.CompletedProcess[str]:
        """A command in the checkout, on the machine `name`, as somebody who may do everything."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONPATH": f"{ROOT}:{ROOT}/services",
            "CONSUL_HTTP_ADDR": "http://127.0.0.1:8500",
            "NOMAD_ADDR": "https://10.77.0.11:4646",
            "NOMAD_CACERT": str(self.keys / "tls" / "ca.pem"),
            "NOMAD_TOKEN": self.secret("nomad/management"),
        }
        return ran(self.machines[name].host.command(words), environ | told, cwd=ROOT, timeout_s=2400)

    def nomad(self, *words: str, **told: str) -> subprocess.CompletedProcess[str]:
        """Nomad's program, asked on server-1 unless told otherwise."""
        return self.command("server-1", "nomad", *words, **told)

    def deploy(self, *words: str, **told: str) -> float:
        """scripts/deploy with this cluster's variables; the seconds that it took."""
        data = f"kvstore.data_dir={self.folder}/data"
        given = (
            ("--var", data, "--var", "machines=3", "--var", "driver=raw_exec") if words[0] == "--var" else ()
        )
        began_s = time.monotonic()
        done = self.command("server-1", "scripts/deploy", *words, *given, **told)
        weigh_as_processes()
        assert done.returncode == 0, done.stdout + done.stderr
        return time.monotonic() - began_s

    def release(self, name: str) -> str:
        """The folder of the release `one` or `two`, which are the same program."""
        return str(self.folder / "releases" / name)

    def deployer(self) -> str:
        """The token of whoever only deploys, as provisioning keeps it in Consul."""
        machine = self.machines["server-1"]
        consul = machine.consul(self.secret("consul/management"))
        return str(machine.host.inside(lambda: consul.get(access.DEPLOY_KEY)))

    def lost(self, accepted: Iterable[str]) -> list[str]:
        """Those of the accepted orders that no door knows."""

        def known(identity: str) -> bool:
            return any(fetch(f"http://{door}/deliveries/{identity}") is not None for door in DOORS)

        return self.world.inside(lambda: [one for one in accepted if not known(one)])

    def counts(self) -> dict[str, int]:
        """Service -> instances that pass."""
        names = ("kvstore", "kvfront", "gateway", "dispatcher", "drone-sim", "lb")
        return {
            name: len(self.ask_consul("server-1", f"/v1/health/service/{name}?passing") or [])
            for name in names
        }


class Retrying(OrderStream):
    """A client that knows every door: where one does not answer it asks the next, with the same key."""

    def _place(self, door: str, key: str, body: dict[str, Any]) -> None:
        first, patience = self.doors.index(door), Patience(5.0)
        asked = itertools.cycle([*self.doors[first:], *self.doors[:first]])
        began_s, one = time.monotonic(), posted(next(asked), key, body, 5.0)
        while one.status != 201 and not patience.at_end():
            one = posted(next(asked), key, body, 5.0)
        self._note(replace(one, began_s=began_s))


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Six machines with agents and brokers; everything gone afterwards."""
    with network() as made:
        system = Cluster(folder, made)
        system.start()
        yield system
