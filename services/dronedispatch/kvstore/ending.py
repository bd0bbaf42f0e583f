"""How a replica ends whose disk fails, or holds what cannot be read: without another answer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import structlog

from dronedispatch.kvstore.disk import DamagedDisk
from dronedispatch.kvstore.engine import FatalDisk
from dronedispatch.kvstore.set_aside import mark

log = structlog.get_logger()


class DiskWatch:
    """A context: whoever finds in it that the disk fails, or that it cannot be read, ends this process.

    Made once and entered for each commit: a generator's context manager costs 1 us a time.
    """

    def __init__(self, end_process: Callable[[str], None], begin_anew: Callable[[str], None]) -> None:
        self._end_process = end_process
        self._begin_anew = begin_anew

    def __enter__(self) -> None:
        """See the class."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, FatalDisk):
            self._end_process(str(error))
        elif isinstance(error, DamagedDisk):
            self._begin_anew(str(error))


def begin_anew(path: Path, reason: str) -> None:
    """Nothing that this file says can be trusted: end without another answer, and start again with a disk of another name.

    The process takes its own place, with or without somebody who would start it again. Where the disk takes no mark, it
    ends: alive it would go on answering pings and nothing else, and nobody would vote it out.
    """
    log.critical("the data file cannot be read, starting again without it", error=reason)
    try:
        mark(path, reason)
    except (OSError, ValueError) as error:
        end_process(f"{reason}; and nothing can be noted beside it: {error}")
        return
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def end_process(reason: str) -> None:
    """R9: what is on the disk is unknown, so nobody may hear another word of this process."""
    log.critical("the disk fails, ending the process", error=reason)
    os._exit(70)
