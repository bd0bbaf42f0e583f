"""How much CPU a process has used, to the nanosecond where the kernel says so."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


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
