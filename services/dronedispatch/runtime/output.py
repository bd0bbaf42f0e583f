"""Standard output when it is closed, full, or read by nobody any more."""

from __future__ import annotations

import os
import sys


def ensure() -> None:
    """Where it was closed by whoever called, what is said goes nowhere, and no file that is opened takes its place."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (for as long as the process runs)


def takes_nothing() -> bool:
    """Whether it is what an OSError came from: what it could not take then, it cannot take now."""
    try:
        sys.stdout.write("\n")  # not only a flush: nothing waits to be written where PYTHONUNBUFFERED is set
        sys.stdout.flush()
    except OSError:
        return True
    return False


def drop() -> None:
    """From now on what is said goes nowhere, what still waits to be written included."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
