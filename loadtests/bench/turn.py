"""Timed runs of one machine take turns: two at once would measure each other."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

LOCK = Path(tempfile.gettempdir()) / "dronedispatch-timed-run.lock"
WAIT_MAX_S = 3600.0
LOOK_EVERY_S = 1.0


@contextlib.contextmanager
def turn(
    lock: Path = LOCK,
    *,
    wait_s: float = WAIT_MAX_S,
    say: Callable[[str], object] = print,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the machine's lock for the length of the block; it goes with the process, however that ends.

    Raises SystemExit, with a sentence, when others hold it for longer than `wait_s`.
    """
    descriptor = _opened(lock)
    try:
        waited_s = 0.0
        while not _taken(descriptor):
            if waited_s >= wait_s:
                raise SystemExit(
                    f"nothing was measured: another timed run has held {lock} for {waited_s:.0f} s; wait for its end"
                )
            if not waited_s:
                say(f"another timed run holds {lock}: waiting for it, at most {wait_s:.0f} s")
            pause(LOOK_EVERY_S)
            waited_s += LOOK_EVERY_S
        yield
    finally:
        os.close(descriptor)


def _opened(lock: Path) -> int:
    """An existing lock may be another user's: reading is enough to hold it."""
    try:
        return os.open(lock, os.O_RDONLY)
    except FileNotFoundError:
        return os.open(lock, os.O_RDONLY | os.O_CREAT, 0o644)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
