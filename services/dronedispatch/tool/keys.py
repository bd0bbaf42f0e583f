"""Keys that are pressed while a live picture is shown."""

from __future__ import annotations

import os
import select
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

QUIT = "q"


@contextmanager
def keys(fd: int) -> Iterator[Callable[[float], str]]:
    """A function that waits so many seconds for a key of the terminal `fd`: the key, "" when none was pressed, QUIT when
    the terminal is gone. Afterwards, also after Ctrl-C, the terminal is as it was. Where `fd` is none it only waits.
    """
    if not os.isatty(fd):
        yield _waited
        return
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd)  # Ctrl-C stays a signal
    try:
        yield lambda seconds: _pressed(fd, seconds)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _waited(seconds: float) -> str:
    select.select([], [], [], seconds)
    return ""


def _pressed(fd: int, seconds: float) -> str:
    ready, _, _ = select.select([fd], [], [], seconds)
    if not ready:
        return ""
    try:
        return os.read(fd, 64).decode("utf-8", "replace") or QUIT
    except OSError:
        return QUIT
