"""How much of the machine's CPU this process may use: a container's share is often less than the cores that it sees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def _folders(membership: str, root: Path) -> Iterator[Path]:
    """The control groups that bound this process, from its own up to the root, in both versions of the interface."""
    for line in membership.splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers or "cpu" in controllers.split(","):
            # Version 1 mounts each set of controllers by its name, and "cpu" too where that name is another one.
            at = root if not controllers else root / "cpu"
            own = at / path.lstrip("/")
            yield from (own, *(one for one in own.parents if one.is_relative_to(at)))


def _quota(folder: Path) -> float | None:
    """The cores that one control group allows. None: it sets no bound, or is not to be seen from here."""
    try:
        if (folder / "cpu.max").exists():
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = ((folder / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return int(quota) / int(period) if quota != "max" and int(quota) > 0 else None
    except (OSError, ValueError):
        return None


def cpus(membership: Path = MEMBERSHIP, root: Path = CGROUPS) -> float:
    """Cores that this process may keep busy: those it may run on, or its quota where that is less."""
    cores = float(len(os.sched_getaffinity(0)))
    try:
        told = membership.read_text(encoding="utf-8")
    except OSError:  # no control groups
        return cores
    return min([cores, *(bound for one in _folders(told, root) if (bound := _quota(one)) is not None)])
