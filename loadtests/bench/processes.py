"""Programs that a benchmark starts, and what they use: free ports, start and end, CPU, memory, descriptors."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from scripts.cluster.patience import Patience

START_S = 30.0


class NotInstalled(Exception):
    """A program is missing; the message says what to do."""


def binary(program: str) -> str:
    """Where `program` is on this machine. Raises NotInstalled."""
    found = shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NotInstalled(
            f"{program} is not installed: run scripts/setup/test-packages, or apt-get install {program}"
        )
    return found


def free_port() -> int:
    """A port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for_start(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    """Return when it is `ready`. Raises RuntimeError when the process ends or START_S pass before."""
    in_time = Patience(START_S, 0.05).until(lambda: process.poll() is not None or ready())
    if process.poll() is not None:
        raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
    if not in_time:
        raise RuntimeError(f"{process.args!r} does not serve after {START_S:.0f} s")


@contextmanager
def child(command: Sequence[str], port: int, environ: dict[str, str] | None = None) -> Iterator[int]:
    """Run `command` until the end of the block; gives its pid once `port` accepts."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=os.environ | (environ or {}), stdout=quiet, stderr=quiet)
    try:
        wait_for_start(process, lambda: accepts(port))
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_s(pid: int) -> float:
    """Seconds on a CPU so far, all threads (schedstat); ticks of /proc/PID/stat where there is no schedstat."""
    tasks = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
    if tasks:
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """Open file descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def pins() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(for the proxy, for the rest): taskset prefixes that give the proxy a core of its own, empty on one core."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2 or shutil.which("taskset") is None:
        return (), ()
    return ("taskset", "-c", str(cores[0])), ("taskset", "-c", ",".join(map(str, cores[1:])))
