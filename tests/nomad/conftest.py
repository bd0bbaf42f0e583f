"""A machine of this suite's own: its loopback, /opt/dronedispatch and /var/lib/dronedispatch are nobody else's."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.cluster.deploy import ORDER, declared

from support.nomad_machine import Machine

CLONE_NEWNS, CLONE_NEWNET = 0x00020000, 0x40000000


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """Consul, Nomad and a broker on one machine, prepared; no job of ours runs yet."""
    assert shutil.which("nomad"), "nomad is not on the PATH: scripts/test says `not run` then"
    assert os.geteuid() == 0, "Nomad's client wants root"
    folder = tmp_path_factory.mktemp("machine")
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.unshare(CLONE_NEWNS | CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
    for words in (
        ["mount", "--make-rprivate", "/"],
        ["ip", "link", "set", "lo", "up"],
        ["ip", "-6", "address", "flush", "dev", "lo"],  # or Nomad gives a taken port once more, at ::1
        *(["mount", "--bind", str(_made(folder / name)), str(_made(Path(path)))] for name, path in ROOMS),
    ):
        subprocess.run(words, check=True, timeout=600)
    with Machine(folder) as running:
        yield running


ROOMS = (("opt", "/opt/dronedispatch"), ("var", "/var/lib/dronedispatch"))


def _made(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


@pytest.fixture(scope="session")
def system(machine: Machine) -> Machine:
    """The same with every job of ours, submitted by Nomad's own command, the door first: whoever is early waits."""
    for name in reversed(ORDER):
        speed = ["-var=speed=60"] if "speed" in declared(name) else []  # a flight takes minutes otherwise
        done = machine.nomad("job", "run", "-detach", *speed, f"jobs/{name}.nomad.hcl")
        assert done.returncode == 0, done.stdout + done.stderr
    machine.until(lambda: {name: machine.passing(name) for name in ORDER} == ALL, f"{ALL} pass", 300)
    machine.until(
        lambda: all(map(machine.deployed, ORDER)), "each is deployed: until then none can be scaled", 60
    )
    return machine


ALL = {"kvstore": 3, "kvfront": 2, "drone-sim": 1, "dispatcher": 2, "gateway": 3, "lb": 1}
