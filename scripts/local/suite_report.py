"""What the suites' reports say, and how it is told at the end. Pure, but for reading the reports."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shlex
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

REASON_WIDTH = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What one suite's report says. `not_run`: the reason of each test that was skipped."""

    passed: int
    failed: int
    not_run: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Row:
    """One suite at the end. `word`: ok, FAILED, hung or not run (`why`); `again`: the commands that repeat what failed."""

    word: str
    name: str
    outcome: Outcome
    seconds: float
    again: tuple[str, ...] = ()
    why: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far a suite is. `total` 0: it is not known yet."""

    total: int
    done: int
    failed: tuple[str, ...]


def read_report(report: Path) -> Outcome:
    """pytest's JUnit report. A suite that wrote none (it was ended) counts as one failure."""
    if not report.exists():
        return Outcome(0, 1, ())
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    skipped = [one for case in cases for one in case.findall("skipped") if one.get("type") != "pytest.xfail"]
    reasons = tuple((one.get("message") or "skipped").strip() for one in skipped)
    return Outcome(len(cases) - failed - len(reasons), failed, reasons)


class Told:
    """What tests/support/progress.py tells in `path`; each look reads what is new."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0
        self._total = 0
        self._ended: dict[str, str] = {}
        self._failed: tuple[str, ...] = ()

    def progress(self) -> Progress:
        """Until now; a line that is being written is left for the next look."""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as told:
            told.seek(self._read_bytes)
            whole, newline, _ = told.read().rpartition(b"\n")
            self._read_bytes += len(whole) + len(newline)
            for line in whole.splitlines():
                self._take(json.loads(line))
        return Progress(self._total, len(self._ended), self._failed)

    def _take(self, said: Mapping[str, Any]) -> None:
        self._total = said.get("total", self._total)
        if "id" in said:
            self._ended[said["id"]] = said["outcome"]
            if said["outcome"] == "failed" or said["id"] in self._failed:
                self._failed = tuple(name for name, how in self._ended.items() if how == "failed")


def again(failed: Sequence[str], more: Sequence[str] = ()) -> tuple[str, ...]:
    """For each failed test the command that repeats it; `more`: what pytest was told besides."""
    words = " ".join(["", *map(shlex.quote, more)]).rstrip()
    return tuple(f".venv/bin/python -m pytest {shlex.quote(name)}{words}" for name in failed)


def reasons(rows: Sequence[Row]) -> dict[str, int]:
    """Why something did not run, and how many tests it was."""
    return dict(Counter(reason for row in rows for reason in row.outcome.not_run))


def verdict(failed: Sequence[str], not_run: Mapping[str, int], *, ci: bool) -> tuple[str, int]:
    """The sentence, and the exit code."""
    missing = "; ".join(f"{count} x {reason}" for reason, count in sorted(not_run.items()))
    if failed:
        return f"FAILED: {', '.join(failed)}" + (f" (did not run: {missing})" if missing else ""), 1
    if missing:
        return f"{'FAILED: ' if ci else 'Passed, but '}did not run: {missing}", 1 if ci else 0
    return "Passed: every suite, every test", 0


def table(rows: Sequence[Row]) -> list[str]:
    """One line a suite."""
    lines = [f"{'':<8}{'suite':<13}{'passed':>7}{'failed':>8}{'not run':>9}{'seconds':>9}"]
    for row in rows:
        skipped = len(row.outcome.not_run)
        why = row.why or "; ".join(sorted(set(row.outcome.not_run)))
        lines.append(
            f"{row.word:<8}{row.name:<13}{row.outcome.passed:>7}{row.outcome.failed:>8}{skipped:>9}"
            f"{row.seconds:>9.0f}  {why[:REASON_WIDTH]}".rstrip()
        )
    return lines


def closing(rows: Sequence[Row], seconds: float) -> str:
    """The last line, in pytest's form: whoever reads only that sees whether tests ran, and how many failed."""
    failed = sum(row.outcome.failed for row in rows)
    passed = sum(row.outcome.passed for row in rows)
    skipped = sum(len(row.outcome.not_run) for row in rows)
    counts = (
        ([f"{failed} failed"] if failed else [])
        + [f"{passed} passed"]
        + ([f"{skipped} skipped"] if skipped else [])
    )
    return f"{', '.join(counts)} in {seconds:.2f}s ({spoken(seconds)})"


def spoken(seconds: float) -> str:
    """8 min 05 s, or 12 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
