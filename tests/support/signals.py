"""A signal that has taken hold: `kill(2)` returns before a process with many threads has stopped or is gone."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from support.waiting import wait_until

STOPPED = frozenset({"T", "t"})
GONE = frozenset({"Z", "X"})


def send(pid: int, number: int) -> None:
    """Signal `pid`; after SIGSTOP it runs no more, after SIGKILL it is no more. Raises ProcessLookupError."""
    os.kill(pid, number)
    await_effect(pid, number)


def await_effect(pid: int, number: int) -> None:
    """Return when the signal that was sent to `pid` has taken hold."""
    if number == signal.SIGSTOP:
        wait_until(lambda: states(pid) <= STOPPED | GONE, f"every thread of {pid} has stopped", 10)
    elif number == signal.SIGKILL:
        wait_until(lambda: states(pid) <= GONE, f"{pid} has died", 10)


def states(pid: int) -> set[str]:
    """The state of each of its threads (proc(5)); none: there is no such process."""
    found = set()
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):  # it ended between the two looks
            found.add(task.read_text().rpartition(")")[2].split()[0])
    return found
