"""Runs suites beside each other: one that computes beside those that mostly wait. Says how far they are."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from scripts.local.home import CHECKOUT
from scripts.local.leftovers import end_with
from scripts.local.programs import end_group
from scripts.local.suite_report import Progress, Told, spoken
from scripts.local.table import RUN_MARK

ARTIFACTS = CHECKOUT / ".artifacts"
REPORTS = ARTIFACTS / "junit"
LOGS = ARTIFACTS / "tests"
TIMES = ARTIFACTS / "test-seconds.json"
LOOK_S = 0.2
TELL_TERMINAL_S = 1.0
TELL_LOG_S = 30.0
HUNG_S = 3600.0
"""A suite in which no test has ended for so long hangs: a single test may take minutes on a slow machine."""


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """One suite to run. `waits`: it mostly waits for other processes, so that another may compute beside it."""

    name: str
    command: tuple[str, ...]
    environ: Mapping[str, str]
    waits: bool

    @property
    def log(self) -> Path:
        """Where it says what it says."""
        return LOGS / f"{self.name}.log"

    @property
    def told(self) -> Path:
        """Where it tells how far it is."""
        return LOGS / f"{self.name}.progress"


@dataclasses.dataclass(frozen=True, slots=True)
class Ran:
    """How a job ended; `code` None: it hung and was ended."""

    job: Job
    code: int | None
    seconds: float
    progress: Progress


def next_job(waiting: Sequence[Job], running: Sequence[Job]) -> Job:
    """The next one of `waiting`: one that computes if none does, or else one that waits, where there is one."""
    computes = any(not one.waits for one in running)
    return next((one for one in waiting if one.waits is computes), waiting[0])


def left_s(
    waiting: Sequence[Job], running: Mapping[str, float], known: Mapping[str, float], beside: int
) -> float | None:
    """How long it will still take by the last run's times, `running`: name -> seconds so far. None: not known."""
    if not known or any(name not in known for name in (*running, *(one.name for one in waiting))):
        return None
    lanes = sorted(max(0.0, known[name] - so_far) for name, so_far in running.items())
    lanes = ([0.0] * beside + lanes)[-beside:] if len(lanes) < beside else lanes
    for one in waiting:
        lanes = sorted([lanes[0] + known[one.name], *lanes[1:]])
    return max(lanes, default=0.0)


def last_times() -> dict[str, float]:
    """Suite -> seconds of the last complete run here."""
    try:
        found = json.loads(TIMES.read_text(encoding="utf-8"))
        return {str(name): float(seconds) for name, seconds in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def remember(times: Mapping[str, float]) -> None:
    """For the next run's estimate."""
    TIMES.write_text(
        json.dumps(last_times() | {name: round(s, 1) for name, s in times.items()}), encoding="utf-8"
    )


class _Child:
    """A suite that runs."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.began_s = self.news_s = time.monotonic()
        self.progress = Progress(0, 0, ())
        self._told = Told(job.told)
        job.told.unlink(missing_ok=True)
        with job.log.open("wb") as out:
            self.process = subprocess.Popen(
                job.command,
                cwd=CHECKOUT,
                env={**job.environ, RUN_MARK: _run()},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began_s

    def look(self) -> Ran | None:
        """How it ended; None: it goes on."""
        code = self.process.poll()  # before what it told: that is all, when it has ended
        progress = self._told.progress()
        if progress != self.progress:
            self.progress, self.news_s = progress, time.monotonic()
        if code is not None:
            return Ran(self.job, code, self.seconds, progress)
        if time.monotonic() - self.news_s > HUNG_S:
            end_group(self.process)
            return Ran(self.job, None, self.seconds, self.progress)
        return None

    def describe(self) -> str:
        total = self.progress.total
        bad = f", {len(self.progress.failed)} failed" if self.progress.failed else ""
        count = f"{self.progress.done} of {total}" if total else "starting"
        return f"{self.job.name} {count}{bad} ({self.seconds:.0f} s)"


def run_all(jobs: Sequence[Job], *, beside: int, ended: Callable[[Ran], None]) -> None:
    """Run them, `beside` at a time; `ended` is called as each ends. On Ctrl-C none is left behind."""
    for folder in (REPORTS, LOGS):
        folder.mkdir(parents=True, exist_ok=True)
    waiting, running, done = list(jobs), list[_Child](), 0
    began_s, known, screen = time.monotonic(), last_times(), _Screen()
    try:
        while waiting or running:
            while waiting and len(running) < beside:
                chosen = next_job(waiting, [one.job for one in running])
                waiting.remove(chosen)
                running.append(_Child(chosen))
                screen.line(f"{_at(began_s)} {chosen.name} begins ({done} of {len(jobs)} suites are done)")
            for child in list(running):
                if (ran := child.look()) is not None:
                    running.remove(child)
                    done += 1
                    screen.line("")
                    ended(ran)
            if screen.wants_a_line:
                left = left_s(waiting, {one.job.name: one.seconds for one in running}, known, beside)
                about = "" if left is None else f"; about {spoken(left)} left"
                screen.tell(f"{_at(began_s)} {' | '.join(one.describe() for one in running)}{about}")
            time.sleep(LOOK_S)
    finally:
        for child in running:
            end_group(child.process)
        if running:  # interrupted: a system that a test has started is in no group of ours
            end_with(f"{RUN_MARK}={_run()}")


def _run() -> str:
    return str(os.getpid())


def _at(began_s: float) -> str:
    minutes, seconds = divmod(int(time.monotonic() - began_s), 60)
    return f"[{minutes:3}:{seconds:02}]"


class _Screen:
    """A terminal's last line is written over; a log gets a line now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        self._told_s = time.monotonic()

    @property
    def wants_a_line(self) -> bool:
        return time.monotonic() - self._told_s >= (TELL_TERMINAL_S if self._terminal else TELL_LOG_S)

    def tell(self, line: str) -> None:
        self._told_s = time.monotonic()
        if self._terminal:
            width = os.get_terminal_size().columns - 1
            print(f"\r\033[K{line[:width]}", end="", flush=True)
        else:
            print(line, flush=True)

    def line(self, line: str) -> None:
        if self._terminal:
            print("\r\033[K", end="")
        if line:
            print(line, flush=True)
