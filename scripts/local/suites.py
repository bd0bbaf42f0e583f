"""`scripts/test`: every suite, in the order in which a mistake shows earliest, with its duration and what did not run."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import sys
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.local import check
from scripts.local.home import CHECKOUT
from scripts.local.programs import TIMED_OUT, run
from scripts.local.trouble import interruptible

REPORTS = CHECKOUT / ".artifacts" / "junit"
NETNS_PROBE = ("unshare", "--net", "--mount", "true")


@dataclasses.dataclass(frozen=True, slots=True)
class Suite:
    """One folder under tests/; with `workers`, that many at once: tests or files (xdist's `dist`)."""

    name: str
    timeout_s: float
    workers: int = 0
    dist: str = "load"
    program: str = ""  # which no package registry has: without it on the PATH the suite is `not run`, which is no failure


# Cheap ones first. What takes the whole machine runs alone.
SUITES = (
    Suite("house", 180),
    Suite("unit", 600, workers=2),
    Suite("contract", 600, workers=2),
    Suite("simulation", 600, workers=2),
    Suite("deploy", 900, workers=2, dist="loadfile"),
    Suite("integration", 900, workers=2, dist="loadfile"),
    Suite("browser", 300),
    Suite("faults", 900, workers=2, dist="loadfile"),
    Suite("nomad", 1800, program="nomad"),
)
NAMES = tuple(suite.name for suite in SUITES)


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What one suite's report says. `not_run`: the reason of each test that was skipped."""

    passed: int
    failed: int
    not_run: tuple[str, ...]


def read_report(report: Path) -> Outcome:
    """pytest's JUnit report. A suite that wrote none (it was ended) counts as one failure."""
    if not report.exists():
        return Outcome(0, 1, ())
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    skipped = [one for case in cases for one in case.findall("skipped") if one.get("type") != "pytest.xfail"]
    reasons = tuple((one.get("message") or "skipped").strip() for one in skipped)
    return Outcome(len(cases) - failed - len(reasons), failed, reasons)


def namespaces_possible() -> bool:
    """Whether this session may make network namespaces."""
    return shutil.which(NETNS_PROBE[0]) is not None and run(NETNS_PROBE, timeout_s=10, quiet=True).code == 0


def count_marked(suite: Suite, marker: str) -> int:
    """How many tests of a suite carry the marker."""
    ended = run(
        (
            sys.executable,
            "-m",
            "pytest",
            "--collect-only",
            "-q",
            "--no-header",
            "-m",
            marker,
            f"tests/{suite.name}",
        ),
        timeout_s=120,
        quiet=True,
    )
    return sum(1 for line in (ended.output or "").splitlines() if "::" in line)


def command(suite: Suite, report: Path, *, namespaces: bool) -> list[str]:
    """How pytest is called for one suite."""
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-header",
        f"tests/{suite.name}",
        f"--junitxml={report}",
    ]
    if not namespaces:
        words += ["-m", "not netns"]
    if suite.workers:
        words += ["-n", str(suite.workers), "--dist", suite.dist]
    return words


def on_ci(environ: Mapping[str, str]) -> bool:
    """Whether what did not run is a failure."""
    return environ.get("CI", "").lower() in {"1", "true"}


def verdict(failed: Sequence[str], not_run: Mapping[str, int], *, ci: bool) -> tuple[str, int]:
    """The last line, and the exit code."""
    missing = "; ".join(f"{count} x {reason}" for reason, count in sorted(not_run.items()))
    if failed:
        return f"FAILED: {', '.join(failed)}" + (f" (did not run: {missing})" if missing else ""), 1
    if missing:
        return f"{'FAILED: ' if ci else 'Passed, but '}did not run: {missing}", 1 if ci else 0
    return "Passed: every suite, every test", 0


def test(wanted: Sequence[Suite], environ: Mapping[str, str], *, lint: bool) -> int:
    """Run the suites; returns the exit code."""
    began_s = time.monotonic()
    failed: list[str] = []
    not_run: dict[str, int] = {}
    lines: list[str] = []
    namespaces = namespaces_possible()
    REPORTS.mkdir(parents=True, exist_ok=True)
    if lint:
        _title("check", began_s)
        if check.check(check.steps(tests=False)) != 0:
            failed.append("check")
    absent: list[str] = []
    for suite in wanted:
        if suite.program and shutil.which(suite.program) is None:
            absent.append(f"{suite.name} (no {suite.program})")
            lines.append(f"{'not run':<9}{suite.name:<12} no {suite.program} on the PATH")
            continue
        _title(suite.name, began_s)
        report = REPORTS / f"{suite.name}.xml"
        report.unlink(missing_ok=True)
        ended = run(command(suite, report, namespaces=namespaces), timeout_s=suite.timeout_s, environ=environ)
        outcome = read_report(report)
        for reason in outcome.not_run:
            not_run[reason] = not_run.get(reason, 0) + 1
        left_out = 0 if namespaces else count_marked(suite, "netns")
        if left_out:
            reason = "no right to make network namespaces"
            not_run[reason] = not_run.get(reason, 0) + left_out
        bad = ended.code != 0 and not (ended.code == 5 and left_out)
        if bad:
            failed.append(suite.name)
        word = "too slow" if ended.code == TIMED_OUT else "FAILED" if bad else "ok"
        skipped = len(outcome.not_run) + left_out
        lines.append(
            f"{word:<9}{suite.name:<12}{outcome.passed:>6} passed{outcome.failed:>4} failed"
            f"{skipped:>4} not run{ended.seconds:>8.0f} s"
        )
    sentence, code = verdict(failed, not_run, ci=on_ci(environ))
    seconds = time.monotonic() - began_s
    print("\n" + "\n".join(lines))
    sentence += f"; not run: {', '.join(absent)}" if absent else ""
    print(f"Total {int(seconds // 60)} min {seconds % 60:.0f} s\n{sentence}", flush=True)
    return code


def _title(name: str, began_s: float) -> None:
    print(f"\n== {name} (at {time.monotonic() - began_s:.0f} s)", flush=True)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="scripts/test",
        description="Install what the tests need, then run every suite. "
        "What cannot run here is named in the last line; with CI=1 that is a failure.",
    )
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"only these: {', '.join(NAMES)} (default: all)"
    )
    arguments = parser.parse_args(sys.argv[1:])
    unknown = sorted(set(arguments.suites) - set(NAMES))
    if unknown:
        parser.error(f"no suite {unknown[0]!r}: there are {', '.join(NAMES)}")
    interruptible()  # no suite is left behind
    wanted = [suite for suite in SUITES if not arguments.suites or suite.name in arguments.suites]
    try:
        code = test(wanted, os.environ, lint=not arguments.suites)
    except KeyboardInterrupt:
        print("\nInterrupted: nothing is said about the suites that did not end", file=sys.stderr)
        code = 130
    raise SystemExit(code)


if __name__ == "__main__":
    main()
