"""The access log's file, written by its own thread: a slow disk delays lines, never requests."""

from __future__ import annotations

import os
import threading
from typing import Final

LINES_MAX: Final = 100_000
PAUSE_S: Final = 0.2


class AccessLog:
    """Lines are added by the loop and written in batches. Beyond LINES_MAX waiting ones are dropped and counted, as are
    those that the file does not take: the log must not eat the memory when the disk is full.

    `reopen()` after the file was moved away (SIGHUP). Raises OSError if it cannot be opened at first.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = self._open()
        self.lines: list[bytes] = []
        self._dropped = 0  # counted by the loop
        self._refused = 0  # by the thread
        self._torn = False  # the line before was cut short: what comes next begins a new one
        self._reopen = False
        self._stop = threading.Event()
        self._writer = threading.Thread(target=self._run, name="access log", daemon=True)
        self._writer.start()

    def add(self, line: bytes) -> None:
        if len(self.lines) < LINES_MAX:
            self.lines.append(line)
        else:
            self._dropped += 1

    @property
    def lost(self) -> int:
        """Lines that were not written: too many waited, or the file took no more."""
        return self._dropped + self._refused

    def reopen(self) -> None:
        """At the next write, open the path again."""
        self._reopen = True

    def close(self) -> None:
        """Write what waits, then close. Takes as long as the disk does, at most two seconds."""
        self._stop.set()
        self._writer.join(2.0)
        if self._fd > 2 and not self._writer.is_alive():  # its number may soon be another file's
            os.close(self._fd)

    def _open(self) -> int:
        if self._path == "-":
            return 1
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _run(self) -> None:
        while not self._stop.wait(PAUSE_S):
            self._write()
        self._write()

    def _write(self) -> None:
        if self._reopen:
            self._reopen = False
            try:
                new = self._open()
            except OSError:  # the old file goes on, until the path can be opened
                self._reopen = True
            else:
                if self._fd > 2:
                    os.close(self._fd)
                self._fd, self._torn = new, False
        count = len(self.lines)
        if not count:
            return
        data = memoryview(b"".join(self.lines[:count]))
        del self.lines[:count]  # not a new list: the loop may be about to append to this one
        try:
            if self._torn:
                os.write(self._fd, b"\n")
                self._torn = False
            while data:
                written = os.write(self._fd, data)
                self._torn = data[written - 1] != 0x0A
                data = data[written:]
        except OSError:
            self._refused += bytes(data).count(b"\n")
