"""One machine as docs/cluster.md describes it: `consul agent -dev`, `nomad agent -dev`, a release, the secrets, a broker."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
DOOR = "127.0.0.1:8080"
HOST_NETWORK = os.readlink("/proc/self/ns/net")  # read before the suite leaves it
# No cloud's metadata service is asked who this machine is, and no maker whether there is a newer Nomad.
# A machine of 4,200 MHz, whatever it is: the whole system fits in it, twenty gateways do not.
CONFIGURATION = """
disable_update_check = true
client {
  cpu_total_compute = 4200
  options = { "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean" }
}
"""


# Nomad puts all of its tasks into one group of the kernel's scheduler, which weighs as much as one process beside it.
# On a machine of its own that is nobody's loss; beside other tests the whole system would get a share of one process.
GROUPS = {
    Path("/sys/fs/cgroup/cpu/nomad/cpu.shares"): 20 * 1024,
    Path("/sys/fs/cgroup/nomad.slice/cpu.weight"): 20 * 100,
}


def weigh_as_processes() -> None:
    """Let Nomad's tasks weigh as if each were a process of this machine; their group is there once one ran."""
    for file, weight in GROUPS.items():
        with contextlib.suppress(FileNotFoundError):
            file.write_text(str(weight), encoding="ascii")


class Machine:
    """Starts its agents on entry, ends them and every job on exit. Commands run in this process's namespaces."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environ = os.environ | {
            "DD_SECRETS": str(folder / "secrets"),
            "NOMAD_ADDR": "http://127.0.0.1:4646",
            "CHECKPOINT_DISABLE": "1",
        }
        for name in ("NOMAD_TOKEN", "NOMAD_CACERT", "CONSUL_HTTP_TOKEN", "CONSUL_HTTP_ADDR"):
            self.environ.pop(name, None)

    def __enter__(self) -> Machine:
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for job in self.jobs():
            self.nomad("job", "stop", "-purge", "-detach", job)
        if self.processes:
            with contextlib.suppress(AssertionError):  # they are ended with the agents then
                wait_until(lambda: not self._live(), "every task has ended", 60)
        for process in reversed(self.processes):
            process.send_signal(signal.SIGINT)  # Nomad's -dev ends its tasks, too
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in _neighbours():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _live(self) -> bool:
        return any(one["ClientStatus"] in {"running", "pending"} for one in self.api("/v1/allocations"))

    def _start(self) -> None:
        self.release("first")
        os.symlink("first", "/opt/dronedispatch/current")
        (self.folder / "nomad.hcl").write_text(CONFIGURATION, encoding="ascii")
        self._spawn("consul", "consul", "agent", "-dev", "-log-level=warn")
        self.until(lambda: self.consul("/v1/status/leader"), "Consul leads", 60)
        self._spawn("nomad", "nomad", "agent", "-dev", f"-config={self.folder / 'nomad.hcl'}")
        self.until(lambda: "ready" in self.nomad("node", "status").stdout, "Nomad's client is ready", 90)
        for words in (
            ["scripts/make-secrets"],
            ["scripts/cluster/run", "access", "--variables", "--secrets", self.environ["DD_SECRETS"]],
        ):
            self.run(*words, check=True)
        done = self.nomad("job", "run", "jobs/rabbitmq.nomad.hcl", timeout_s=180)
        assert done.returncode == 0, done.stdout + done.stderr + self.describe()
        weigh_as_processes()

    def _spawn(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes.append(
                subprocess.Popen(words, stdout=log, stderr=log, env=self.environ, start_new_session=True)
            )

    def release(self, name: str, *, program: str | None = None) -> str:
        """A release of the checkout's own code; `program`: a script in the place of `dronedispatch`."""
        target = Path("/opt/dronedispatch") / name
        (target / "bin").mkdir(parents=True)
        for tool in ("dronedispatch", "locust"):
            os.symlink(ROOT / ".venv/bin" / tool, target / "bin" / tool)
        if program is not None:
            (target / "bin/dronedispatch").unlink()
            (target / "bin/dronedispatch").write_text(program, encoding="utf-8")
            (target / "bin/dronedispatch").chmod(0o755)
        os.symlink(ROOT / "loadtests", target / "loadtests")
        (target / "etc").mkdir()
        os.symlink(ROOT / "jobs/prometheus", target / "etc/prometheus")
        return str(target)

    def run(
        self, *words: str, timeout_s: float = 120, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """A command in the checkout."""
        return subprocess.run(
            words, cwd=ROOT, env=self.environ, capture_output=True, text=True, timeout=timeout_s, check=check
        )

    def nomad(self, *words: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
        return self.run("nomad", *words, timeout_s=timeout_s)

    def script(self, name: str, *words: str, timeout_s: float = 900) -> subprocess.CompletedProcess[str]:
        return self.run(f"scripts/{name}", *words, timeout_s=timeout_s)

    def jobs(self) -> list[str]:
        """The jobs that are not stopped."""
        return [one["ID"] for one in self.api("/v1/jobs") if not one["Stop"]]

    def api(self, path: str) -> Any:
        """What Nomad's HTTP API answers."""
        return json.loads(self.nomad("operator", "api", path).stdout or "null") or []

    def allocations(self, job: str) -> list[dict[str, Any]]:
        """The allocations of a job, those of earlier versions among them."""
        return json.loads(self.nomad("job", "allocs", "-json", job).stdout or "[]") or []

    def running(self, job: str) -> list[dict[str, Any]]:
        """The allocations that run and shall."""
        wanted = ("running", "run")
        return [one for one in self.allocations(job) if (one["ClientStatus"], one["DesiredStatus"]) == wanted]

    def deployed(self, job: str) -> bool:
        """Whether the newest deployment of a job is over, and went well."""
        latest = self.nomad("job", "deployments", "-json", "-latest", job).stdout
        return '"Status": "successful"' in latest

    def consul(self, path: str) -> Any:
        """What Consul answers; None when it does not."""
        return fetch(f"http://127.0.0.1:8500{path}")

    def passing(self, service: str) -> int:
        """How many instances of a service Consul holds for healthy."""
        return len(self.consul(f"/v1/health/service/{service}?passing") or [])

    def until(self, look: Callable[[], object], what: str, ordinary_s: float) -> None:
        """Wait for `look`; AssertionError with what a person would look at when it never holds."""
        try:
            wait_until(look, what, ordinary_s)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.describe()}") from None

    def describe(self) -> str:
        status = self.nomad("job", "status").stdout
        logs = [
            (self.folder / f"{name}.log").read_text("utf-8", "replace")[-2000:]
            for name in ("nomad", "consul")
        ]
        return "\n".join([status, *logs])


def _neighbours() -> list[int]:
    """Every other process of this network, which is this suite's own: nothing of it outlives the suite."""
    here = os.readlink("/proc/self/ns/net")
    assert here != HOST_NETWORK
    found = []
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        with contextlib.suppress(OSError):
            if os.readlink(path) == here and path.parts[2] != str(os.getpid()):
                found.append(int(path.parts[2]))
    return found


def fetch(url: str, body: object = None, headers: dict[str, str] | None = None) -> Any:
    """The decoded answer; None where there is none or it is no success."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **(headers or {})})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return None
