"""Processes of one home, or of one test run, found by the mark in their environment: none is missed, no other is touched."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path

from scripts.cluster.patience import Patience
from scripts.local.home import Home
from scripts.local.table import HOME_MARK
from scripts.local.trouble import Trouble

TERM_WAIT_S = 10.0
KILL_WAIT_S = 5.0


def carries_mark(environ: bytes, mark: str) -> bool:
    """Whether a process's environment block (NUL-separated) holds `mark` as a whole entry."""
    return os.fsencode(mark) in environ.split(b"\0")


def _from_proc(mark: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it has ended meanwhile, or it is another user's
            if carries_mark((entry / "environ").read_bytes(), mark) and not _is_zombie(entry):
                found.append(int(entry.name))
    return found


def _is_zombie(entry: Path) -> bool:
    return ") Z " in (entry / "stat").read_text(encoding="utf-8", errors="replace")


def _from_ps(mark: str) -> list[int]:
    listing = subprocess.run(
        ["ps", "eww", "-A", "-o", "pid=,command="], capture_output=True, text=True, timeout=120, check=False
    ).stdout
    # Up to the next one: a folder's name may have blanks.
    entry = re.compile(rf"\s{re.escape(mark)}(?=\s*$|\s\w+=)")
    return [int(line.split(None, 1)[0]) for line in listing.splitlines() if entry.search(line)]


def pids_of(home: Home) -> list[int]:
    """Every process of this home that runs now, ourselves left out."""
    return pids_with(_mark(home))


def pids_with(mark: str) -> list[int]:
    """Every process that runs now and was started with `mark` ("NAME=value") in its environment, ourselves left out."""
    found = _from_proc(mark) if Path("/proc/self/environ").exists() else _from_ps(mark)
    return [pid for pid in found if pid != os.getpid()]


def end(home: Home) -> int:
    """End every process of this home, by SIGTERM and then by SIGKILL; returns how many there were. Raises Trouble."""
    return end_with(_mark(home))


def end_with(mark: str) -> int:
    """As `end`, for a mark."""
    first = pids_with(mark)
    for number, patience_s in ((signal.SIGTERM, TERM_WAIT_S), (signal.SIGKILL, KILL_WAIT_S)):
        left = pids_with(mark)
        if not left:
            break
        _signal(left, number)
        Patience(patience_s).until(lambda: not pids_with(mark))
    if left := pids_with(mark):
        pids = ",".join(map(str, left))
        raise Trouble(
            f"process {pids} does not end, not even by SIGKILL: it waits in the kernel, most likely for a disk "
            f"(ps -o pid,stat,wchan,args -p {pids}); bring that back, then run this again"
        )
    return len(first)


def _mark(home: Home) -> str:
    return f"{HOME_MARK}={home.root}"


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
