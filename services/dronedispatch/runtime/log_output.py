"""Where log lines go: its reader may be dead, stopped or out of disk, and no request may fail or wait for that."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

PIPE_CHUNK = 4096
"""A pipe that can be written takes so many bytes without a wait (pipe(7): PIPE_BUF)."""


class LogOutput:
    """A file for whole lines. What cannot be written at once is dropped and counted; nothing is raised.

    When lines pass again, the first of them is `lost(number)`, which ends without a line break.
    """

    def __init__(self, descriptor: int, lost: Callable[[int], str]) -> None:
        self._descriptor = descriptor
        self._lost = lost
        self.dropped = 0
        """Since lines passed last."""
        self._torn = False  # the line before was cut short: what comes next begins a new one

    def write(self, text: str) -> int:
        """One line or several, each with its line break."""
        data = text.encode("utf-8", "backslashreplace")
        if self.dropped:
            said = self._lost(self.dropped).encode("utf-8", "backslashreplace") + b"\n"
            if not self._passed(said):
                self.dropped += 1
                return len(text)
            self.dropped = 0
        if not self._passed(data):
            self.dropped += 1
        return len(text)

    def flush(self) -> None:
        """Nothing waits here."""

    def _passed(self, data: bytes) -> bool:
        rest = memoryview(b"\n" + data if self._torn else data)
        begun = False
        try:
            while rest:
                if not self._takes():
                    break
                written = os.write(self._descriptor, rest[:PIPE_CHUNK])
                rest = rest[written:]
                begun = True
        except OSError:  # nobody reads, the disk is full: there is no better place to say it
            pass
        if begun:
            self._torn = bool(rest)
        return not rest

    def _takes(self) -> bool:
        return bool(select.select((), (self._descriptor,), (), 0)[1])
