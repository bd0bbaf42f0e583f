"""A data file that cannot be read is set aside: the replica begins a new disk, and JOIN fills it from the others.

The damaged files stay for whoever wants to look, one set of them; the next set takes its place. Damage may also kill the
process by a signal (a page beyond the end of the file is a SIGBUS). So whatever is suspicious is first read by a process of
its own: a file that somebody has written to since it was closed, one that two runs in a row may have died of within a
minute, and after an end without a word any file that is read within a moment.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import structlog

from dronedispatch.kvstore.disk import DATA_FILE, JOURNAL_FILE, write_if_room

FOLDER: Final = "set-aside"
MARK_FILE: Final = "damaged"
STARTS_FILE: Final = "starts"
CLOSED_FILE: Final = "closed"
MOMENT_BYTES: Final = 256 * 1024**2
FILES: Final = (DATA_FILE, "lock.mdb", JOURNAL_FILE, "identity.json")
SHORT_S: Final = 60.0
SUSPICIOUS: Final = 2
CHECK_S: Final = 600.0

log = structlog.get_logger()


def set_aside(path: Path, reason: str) -> None:
    """Move the replica's files below `path` out of the way, and say so in one sentence."""
    folder = path / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in FILES:
        if (path / name).exists():
            (path / name).replace(folder / name)
    write_if_room(folder / "reason", f"{time.strftime('%FT%TZ', time.gmtime())} {reason}\n")
    (path / MARK_FILE).unlink(missing_ok=True)
    log.error(
        "the data file is damaged: it is set aside, and this replica joins anew with an empty disk",
        reason=reason,
        kept_in=str(folder),
    )


def mark(path: Path, reason: str) -> None:
    """The next start sets the files aside: this process has them open."""
    write_if_room(path / MARK_FILE, reason)


def before_open(path: Path) -> None:
    """Set aside what an earlier run has marked, and what two runs in a row may have died of."""
    marked = path / MARK_FILE
    if marked.exists():
        set_aside(path, marked.read_text(errors="replace") or "marked as damaged")
        return
    lives = _short_lives(path)
    if (path / DATA_FILE).exists() and _suspicious(path, lives) and (why := why_unreadable(path)):
        set_aside(path, why)
    (path / CLOSED_FILE).unlink(missing_ok=True)


def _suspicious(path: Path, short_lives: int) -> bool:
    try:
        said = (path / CLOSED_FILE).read_text(errors="replace")
    except OSError:
        return short_lives >= SUSPICIOUS or (path / DATA_FILE).stat().st_size <= MOMENT_BYTES
    return said != _stamp(path)


def _stamp(path: Path) -> str:
    stat = (path / DATA_FILE).stat()
    return f"{stat.st_size} {stat.st_mtime_ns}"


def closed(path: Path) -> None:
    """The data file has just been closed, complete: whoever writes to it from now on is not this replica."""
    write_if_room(path / CLOSED_FILE, _stamp(path))
    ended_well(path)


def ended_well(path: Path) -> None:
    """A graceful stop, or a minute of life: this run is no suspect."""
    (path / STARTS_FILE).unlink(missing_ok=True)


def _short_lives(path: Path) -> int:
    """How many starts in a row have ended within a minute and without a word; this one is noted as the next."""
    starts = path / STARTS_FILE
    try:
        count, began_s = starts.read_text().split()
        before = int(count) if abs(time.time() - float(began_s)) < 10 * SHORT_S else 0
    except (OSError, ValueError):
        before = 0
    write_if_room(starts, f"{before + 1} {time.time()}")
    return before


def why_unreadable(path: Path) -> str | None:
    """Why a process of its own cannot read every page of the data file; None: it can."""
    words = [sys.executable, "-m", "dronedispatch.kvstore.read_through", str(path)]
    environment = os.environ | {"PYTHONFAULTHANDLER": ""}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=CHECK_S, check=False, env=environment
        )
    except subprocess.TimeoutExpired:
        return None
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return f"reading it ends a process by signal {-done.returncode}"
    return done.stderr.strip().rpartition("\n")[2][:300] or f"reading it ends with {done.returncode}"
