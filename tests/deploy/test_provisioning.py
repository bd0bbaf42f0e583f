"""The provisioners in a clean Debian: what they leave behind, what a second run changes (nothing), what they refuse."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from scripts.cluster import secrets
from scripts.cluster.authority import machines

from dronedispatch.testing.chroot import Chroot, debootstrap

pytestmark = [pytest.mark.real, pytest.mark.netns]

ROOT = Path(__file__).resolve().parents[2]
HOSTS = machines(
    ["server-1=192.168.56.11", "server-2=192.168.56.12", "server-3=192.168.56.13", "client-1=192.168.56.21"]
)
SERVERS = " ".join(f"{name}={address}" for name, address in HOSTS.items() if name.startswith("server"))
# Stands for the program, which no package registry has: only its installation is tested here.
NOMAD = "#!/bin/sh\necho 'Nomad v0.0.9'\n"


def make_release(folder: Path) -> None:
    """What scripts/release --offline makes, with an archive for Nomad that its checksum names."""
    subprocess.run(
        [ROOT / "scripts" / "release", "--version", "tested", "--offline"],
        env={**os.environ, "DD_ARTIFACTS": str(folder)},
        capture_output=True,
        text=True,
        timeout=1800,
        check=True,
    )
    archive = folder / "nomad_0.0.9_linux_amd64.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("nomad", NOMAD)
    with (folder / "checksums").open("a", encoding="ascii") as known:
        known.write(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Chroot, Path]:
    """A clean Debian and a release, made side by side: both wait for the network most of the time."""
    root, folder = tmp_path_factory.mktemp("debian"), tmp_path_factory.mktemp("artifacts")
    with ThreadPoolExecutor(max_workers=2) as pool:
        for one in (pool.submit(debootstrap, root), pool.submit(make_release, folder)):
            one.result()
    return Chroot(root), folder


@pytest.fixture(scope="module")
def debian(made: tuple[Chroot, Path]) -> Chroot:
    return made[0]


@pytest.fixture(scope="module")
def artifacts(made: tuple[Chroot, Path]) -> Path:
    return made[1]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    words = ["--dir", str(folder), "--tls", *(f"{name}={address}" for name, address in HOSTS.items())]
    assert secrets.main(words, {}) == 0
    return folder


class Machine:
    """A Debian that is provisioned as `name`."""

    def __init__(self, name: str, chroot: Chroot, artifacts: Path, keys: Path) -> None:
        self.name = name
        self.chroot = chroot
        self.keys = keys
        known = (artifacts / "checksums").read_text(encoding="ascii")
        consul = next(line.split("_")[1] for line in known.splitlines() if "consul_" in line)
        self.environ = {
            "DD_NAME": name,
            "DD_ADDRESS": HOSTS[name],
            "DD_ROLE": name.partition("-")[0],
            "DD_SERVERS": SERVERS,
            "DD_MACHINES": " ".join(f"{host}={address}" for host, address in HOSTS.items()),
            "DD_SECURE": "1",
            "DD_OFFLINE": "1",
            "DD_ARTIFACTS": "/artifacts",
            "DD_CONSUL_VERSION": consul,
            "DD_NOMAD_VERSION": "0.0.9",
        }

    def ship(self) -> None:
        """What Vagrant's file provisioner does."""
        target = self.chroot.root / "tmp" / "dronedispatch-secrets"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.keys / "machines" / self.name, target)

    def provision(self, *names: str, **told: str) -> list[subprocess.CompletedProcess[str]]:
        self.ship()
        return [
            self.chroot.run([f"/vagrant/scripts/provision/{name}"], self.environ | told) for name in names
        ]

    def path(self, inside: str) -> Path:
        return self.chroot.root / inside.lstrip("/")


PROVISIONERS = ("common", "consul", "nomad", "broker", "app", "access")


@pytest.fixture(scope="module", params=["server-3", "client-1"])
def machine(
    request: pytest.FixtureRequest,
    debian: Chroot,
    artifacts: Path,
    keys: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Machine]:
    """Provisioned once, as the last server or as a client."""
    mounts = {ROOT: "/vagrant", artifacts: "/artifacts"}
    made = Machine(request.param, debian.copy(tmp_path_factory.mktemp("machine"), mounts), artifacts, keys)
    if request.param.startswith("client"):  # a run that was interrupted before this one
        made.path("/opt/dronedispatch/.making/bin").mkdir(parents=True)
    for done in made.provision(*PROVISIONERS):
        assert done.returncode == 0, done.stdout + done.stderr
    yield made
    shutil.rmtree(made.chroot.root, ignore_errors=True)


def changes(results: Sequence[subprocess.CompletedProcess[str]]) -> list[str]:
    return [done.stdout.strip().splitlines()[-1].rpartition(", ")[2] for done in results]


def test_a_second_run_changes_nothing(machine: Machine) -> None:
    before = machine.chroot.snapshot()
    results = machine.provision(*PROVISIONERS)
    assert [done.returncode for done in results] == [0] * len(PROVISIONERS), results
    assert changes(results) == ["0 changes"] * len(PROVISIONERS)
    assert machine.chroot.snapshot() == before


def test_consul_accepts_its_configuration_and_no_one_else_reads_it(machine: Machine) -> None:
    done = machine.chroot.run(["/usr/local/bin/consul", "validate", "/etc/consul.d"], {})
    assert done.returncode == 0, done.stdout + done.stderr
    assert {stat.S_IMODE(path.stat().st_mode) for path in machine.path("/etc/consul.d").glob("*.hcl")} == {
        0o640
    }
    assert 'default_policy           = "deny"' in machine.path("/etc/consul.d/acl.hcl").read_text()


def test_a_machine_gets_the_secrets_that_it_needs_and_no_more(machine: Machine) -> None:
    folder = machine.path("/var/lib/dronedispatch-secrets")
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert there == set(secrets.needed(machine.name, last_server=machine.name == "server-3", secure=True))
    assert not any(name.endswith("ca.key") for name in there)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not machine.path("/tmp/dronedispatch-secrets").exists()


def test_daemons_are_enabled_and_none_was_started(machine: Machine) -> None:
    wanted = machine.path("/etc/systemd/system/multi-user.target.wants")
    expected = {"consul.service", "nomad.service"}
    if machine.name.startswith("server"):
        expected |= {"rabbitmq-server.service", "rabbitmq-watch.service"}
    assert expected <= {path.name for path in wanted.iterdir()}
    assert not machine.path("/usr/sbin/policy-rc.d").exists()


def test_a_server_has_a_broker_of_the_cluster_and_a_client_the_release(machine: Machine) -> None:
    if machine.name.startswith("server"):
        broker = machine.path("/etc/rabbitmq/rabbitmq.conf").read_text()
        assert [line for line in broker.splitlines() if "nodes." in line] == [
            f"cluster_formation.classic_config.nodes.{n} = rabbit@server-{n}" for n in (1, 2, 3)
        ]
        assert f"listeners.tcp.1         = {HOSTS[machine.name]}:5672" in broker
        assert not machine.path("/opt/dronedispatch/current").exists()
        unit = machine.path("/etc/systemd/system/rabbitmq-watch.service").read_text()
        (start,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
        program, *addresses = start.partition("=")[2].split()
        assert addresses == [HOSTS["server-3"], HOSTS["server-1"], HOSTS["server-2"]]
        assert os.access(machine.path(program), os.X_OK)
        return
    done = machine.chroot.run(["/opt/dronedispatch/current/bin/dronedispatch", "--version"], {})
    assert done.stdout.startswith("dronedispatch "), done.stderr
    assert not machine.path("/etc/rabbitmq").exists()
    locustfile = "/opt/dronedispatch/current/loadtests/locustfile.py"
    words = ["/opt/dronedispatch/current/bin/locust", "--locustfile", locustfile, "--list"]
    listed = machine.chroot.run(words, {})
    assert listed.returncode == 0, listed.stderr


def test_names_mean_private_addresses(machine: Machine) -> None:
    hosts = machine.path("/etc/hosts").read_text().splitlines()
    for name, address in HOSTS.items():
        assert f"{address} {name} # dronedispatch" in hosts
    assert not any(line.startswith("127.") and machine.name in line for line in hosts)


def test_a_new_gossip_key_replaces_the_old_one_and_says_so(machine: Machine) -> None:
    shipped = machine.keys / "machines" / machine.name / "gossip_key"
    kept = shipped.read_text()
    ring = machine.path("/var/lib/consul/serf/local.keyring")
    ring.parent.mkdir(parents=True, exist_ok=True)
    ring.write_text(f'["{kept.strip()}"]')
    shipped.write_text("bmV3IGtleSBvZiAzMiBieXRlcyBmb3IgdGhpcyB0ZXM=\n")
    try:
        first, second = machine.provision("common", "consul")
        assert "another gossip key than this machine" in first.stdout
        assert "forgot the old gossip key" in second.stdout
        assert not ring.exists()
    finally:
        shipped.write_text(kept)
        assert changes(machine.provision("common", "consul")) == ["1 changes", "1 changes"]


REFUSALS = [
    ("common", {"DD_SECRETS": "/nowhere"}, {"ship": False}, "the secret gossip_key was not shipped to /nowhere"),
    ("consul", {"DD_CONSUL_VERSION": "9.9.9"}, {}, "no checksum is known for consul_9.9.9_linux_"),
    ("nomad", {"DD_NOMAD_VERSION": "1.9.7"}, {}, "offline, and nomad_1.9.7_linux_"),
    ("consul", {"DD_NAME": ""}, {}, "DD_NAME is not set: provisioners are started by the Vagrantfile"),
    ("app", {"DD_RELEASE": "0.0.0", "DD_ROLE": "client"}, {}, "the release 0.0.0 is not in /artifacts (half made?)"),
    ("consul", {"DD_SECRETS": "/nowhere"}, {}, "the secret gossip_key was not shipped to /nowhere"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "told", "how", "sentence"), REFUSALS)
def test_what_is_missing_is_one_sentence_with_what_to_do(
    machine: Machine, name: str, told: dict[str, str], how: dict[str, bool], sentence: str
) -> None:
    if how.get("ship", True):
        machine.ship()
    done = machine.chroot.run([f"/vagrant/scripts/provision/{name}"], machine.environ | told)
    assert done.returncode == 1
    assert f"{name}: error: {sentence}" in done.stderr


def test_access_is_given_by_what_a_server_has_and_says_who_does_not_answer(machine: Machine) -> None:
    """A server has no release: only Python's standard library, and the tree."""
    machine.ship()
    told = {"DD_ROLE": "server", "DD_SERVERS": f"{machine.name}=10.77.0.11", "DD_PATIENCE": "0"}
    booted = "mkdir -p /run/systemd/system && exec /vagrant/scripts/provision/access"
    try:
        done = machine.chroot.run(["bash", "-c", booted], machine.environ | told)
    finally:
        machine.path("/run/systemd/system").rmdir()
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert (
        "error: " in done.stderr
    )  # the server: Consul does not answer; the client: this secret is not its own


def test_a_machine_without_enough_memory_is_told_which_setting_gives_more(machine: Machine) -> None:
    machine.ship()
    machine.path("/root/meminfo").write_text("MemTotal:      512000 kB\n", encoding="ascii")
    small = "mount --bind /root/meminfo /proc/meminfo && exec /vagrant/scripts/provision/common"
    done = machine.chroot.run(["bash", "-c", small], machine.environ)
    assert done.returncode == 1
    setting = f"{machine.name.partition('-')[0]}_memory"
    assert (
        f"has 500 MB of memory, 900 are needed: raise {setting} in vagrant.yml, then vagrant reload"
        in done.stderr
    )
    machine.path("/root/meminfo").unlink()


def test_an_archive_with_another_checksum_is_not_installed(machine: Machine, artifacts: Path) -> None:
    archive = artifacts / "nomad_0.1.0_linux_amd64.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("nomad", "#!/bin/sh\necho 'Nomad v0.1.0'\n")
    known = artifacts / "checksums"
    kept = known.read_text(encoding="ascii")
    known.write_text(f"{kept}{'0' * 64}  {archive.name}\n", encoding="ascii")
    try:
        done = machine.chroot.run(
            ["/vagrant/scripts/provision/nomad"], machine.environ | {"DD_NOMAD_VERSION": "0.1.0"}
        )
        assert done.returncode == 1
        assert "nothing was installed" in done.stderr
        assert "0.0.9" in machine.path("/usr/local/bin/nomad").read_text()
    finally:
        known.write_text(kept, encoding="ascii")
        archive.unlink()


def test_a_half_made_release_was_made_whole(machine: Machine) -> None:
    assert not machine.path("/opt/dronedispatch/.making").exists()
    assert machine.path("/opt/dronedispatch/tested/SHA256SUMS").exists() == machine.name.startswith("client")
