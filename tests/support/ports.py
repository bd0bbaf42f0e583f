"""Ports that belong to one test process until it ends: no two of them, on one machine, are ever given the same.

A port that is free when one looks may be another's when one binds it. So each is reserved by a file lock first, and
all of them lie below the range from which the kernel takes the ports of outgoing connections (32768 and up).
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from scripts.local.ports import Ports, is_taken

BASES = range(10_000, 30_000, 500)
SINGLES = range(30_500, 32_700)
_held: list[int] = []
"""Open files, each with its lock: the kernel gives them back when this process ends, however it ends."""


def free_ports() -> Ports:
    """A base whose every port is free and reserved."""
    for base in _from_ours(BASES):
        ports = Ports(base)
        if _reserved(base) and not any(_taken(port) for port in ports.to_bind(broker=True).values()):
            return ports
    raise AssertionError("no free ports: another run of the tests may have left processes behind")


def free_port() -> int:
    for port in _from_ours(SINGLES):
        if _reserved(port) and not _taken(port):
            return port
    raise AssertionError("no free port: another run of the tests may have left processes behind")


def _from_ours(places: range) -> Iterator[int]:
    """All of them; each process begins elsewhere, so that runs beside each other seldom meet."""
    first = os.getpid() % len(places)
    return (places[(first + number) % len(places)] for number in range(len(places)))


def _taken(port: int) -> bool:
    return is_taken("127.0.0.1", port)


def _reserved(number: int) -> bool:
    """Whether the number is this process's from now on, and was not before."""
    folder = Path(tempfile.gettempdir()) / "dronedispatch-test-ports"
    folder.mkdir(mode=0o1777, exist_ok=True)
    try:
        handle = os.open(folder / str(number), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
    except PermissionError:  # another user's
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    _held.append(handle)
    return True
