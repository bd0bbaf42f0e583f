"""The jobs on machines without Nomad: a systemd unit for each instance, told what its job file would tell it.

For machines that cannot have Nomad (DD_RUNNER=systemd in the Vagrantfile, scripts/try-vagrant). Nomad also places anew,
updates under health and reverts; nothing here does. The job files stay the only place where a process' environment is
written: the one difference is who registers in Consul, which is then the service itself.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.cluster import expand
from scripts.cluster.authority import AuthorityError, machines
from scripts.cluster.deploy import JOBS, ORDER
from scripts.cluster.jobfile import JobFile, JobFileError, read_job
from scripts.cluster.jobspec import JobSpec, parse
from scripts.cluster.values import Values

FIRST_PORT = 21000  # for ports that Nomad would choose
PORTS_PER_JOB = 100
DRIVER = "raw_exec"  # there is no volume to mount: data is at its place on the machine

_UNIT = """\
# Written by scripts/cluster/units.py from jobs/{job}.nomad.hcl.
[Unit]
Description=DroneDispatch {job} {index}
Wants=consul.service
After=consul.service
StartLimitIntervalSec=0

[Service]
{kind}
User={user}
EnvironmentFile=/etc/dronedispatch/{name}.env
RuntimeDirectory={name}
RuntimeDirectoryMode=0750
ExecStartPre=+/usr/local/lib/dronedispatch/secrets {name} {user}
ExecStart={command}
KillSignal={signal}
TimeoutStartSec=infinity
TimeoutStopSec={stop}
Restart={restart}
RestartSec=5s
NoNewPrivileges=yes
ProtectSystem=full
ProtectHome=yes

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Instance:
    """One process of a job on a machine."""

    job: str
    index: int
    machine: str

    @property
    def name(self) -> str:
        """The unit's name, and that of its folder below /run."""
        return f"dronedispatch-{self.job}-{self.index}"


def count(spec: JobSpec) -> int:
    """How many instances the job has; a batch job is one."""
    return int(spec.variables["instances"]["default"]) if "instances" in spec.variables else 1


def place(specs: Sequence[JobSpec], clients: Sequence[str]) -> list[Instance]:
    """Each instance on the emptiest client that has none of its job; jobs with public ports first, in the clients' order.

    Raises JobFileError when a job has more instances than there are clients.
    """
    load = Counter(dict.fromkeys(clients, 0))
    placed = []
    for spec in sorted(specs, key=lambda one: not any(one.ports.values())):
        if count(spec) > len(clients):
            raise JobFileError(
                f"{spec.name} has {count(spec)} instances and there are {len(clients)} clients to hold one each: "
                f"--var {spec.name}.instances={len(clients)}"
            )
        chosen = sorted(clients, key=lambda client: (load[client], clients.index(client)))[: count(spec)]
        for index, client in enumerate(chosen):
            load[client] += 1
            placed.append(Instance(spec.name, index, client))
    return placed


def known_to(spec: JobSpec, instance: Instance, address: str) -> dict[str, str]:
    """What Nomad would tell a process of its place."""
    first = FIRST_PORT + ORDER.index(spec.name) * PORTS_PER_JOB + instance.index * 10
    told = {
        "NOMAD_JOB_NAME": spec.name,
        "NOMAD_ALLOC_ID": instance.machine,
        "NOMAD_ALLOC_INDEX": str(instance.index),
        "NOMAD_SECRETS_DIR": f"/run/{instance.name}",
        "node.unique.name": instance.machine,
    }
    for offset, (label, static) in enumerate(spec.ports.items()):
        told |= {f"NOMAD_IP_{label}": address, f"NOMAD_PORT_{label}": str(static or first + offset)}
    return expand.values(spec, told)


def environment(spec: JobSpec, known: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process of `spec`."""
    told = {name: expand.fill(spec.name, value, known) for name, value in spec.env.items()}
    told |= expand.template_environment(spec, known)
    return {name: "self" if name.endswith("_REGISTRATION") else value for name, value in told.items()}


def unit(spec: JobSpec, instance: Instance, known: Mapping[str, str]) -> str:
    """The text of the instance's unit."""
    (config,) = spec.task["config"]
    words = [expand.fill(spec.name, word, known) for word in (config["command"], *config["args"])]
    batch = spec.job["type"] == "batch"
    return _UNIT.format(
        job=spec.name,
        name=instance.name,
        index=instance.index,
        kind="Type=oneshot\nRemainAfterExit=yes" if batch else "Type=exec",
        restart="on-failure" if batch else "always",
        user=known["var.user"],
        command=" ".join(words),
        signal=spec.task.get("kill_signal", "SIGTERM"),
        stop=spec.task.get("kill_timeout", "20s"),
    )


def specs(values: Values) -> list[JobSpec]:
    """Every job of scripts/deploy with its values. Raises JobFileError."""
    files = [read_job(JOBS, name) for name in ORDER]
    values.check(files)
    replicas = str(values.of(files[0]).get("instances", files[0].variables["instances"].literal))
    return [_spec(file, values.of(file), replicas) for file in files]


def _spec(file: JobFile, literals: dict[str, str], replicas: str) -> JobSpec:
    if file.name == "bootstrap":
        literals.setdefault("replicas", replicas)
    path = JOBS / f"{file.name}.nomad.hcl"
    return JobSpec(path, parse(file.filled(literals).text))


def write(folder: Path, jobs: Sequence[JobSpec], hosts: Mapping[str, str]) -> list[Instance]:
    """Fill `folder`/<machine> for each of `hosts` (name -> address); what was there of an older topology goes."""
    shutil.rmtree(folder, ignore_errors=True)
    for host in hosts:
        (folder / host).mkdir(parents=True)
    by_name = {spec.name: spec for spec in jobs}
    clients = [host for host in hosts if host.startswith("client-")]
    placed = place(jobs, clients)
    for instance in placed:
        spec = by_name[instance.job]
        known = known_to(spec, instance, hosts[instance.machine])
        target = folder / instance.machine
        lines = [f"{name}={value}" for name, value in environment(spec, known).items()]
        (target / f"{instance.name}.env").write_text("\n".join(lines) + "\n", encoding="utf-8")
        keys = [f"{name} {key}" for name, key in expand.secret_keys(spec).items()]
        (target / f"{instance.name}.secrets").write_text("\n".join(keys) + "\n", encoding="utf-8")
        (target / f"{instance.name}.service").write_text(unit(spec, instance, known), encoding="utf-8")
    return placed


def main(argv: Sequence[str]) -> int:
    """0: written. 1: the topology or a value is wrong, and why was said."""
    parser = argparse.ArgumentParser("units", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="a folder for each machine is made here")
    parser.add_argument("--var", action="append", default=[], metavar="[JOB.]NAME=VALUE")
    parser.add_argument("machines", nargs="+", metavar="NAME=ADDRESS")
    options = parser.parse_args(argv)
    try:
        values = Values.read(None, [f"driver={DRIVER}", *options.var])
        placed = write(options.out, specs(values), machines(options.machines))
    except (JobFileError, AuthorityError, expand.ExpandError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    for instance in placed:
        print(f"{instance.machine}: {instance.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
