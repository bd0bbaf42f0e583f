"""`scripts/test`: every suite, some beside each other; what failed, what did not run and why, and how to repeat it."""

from __future__ import annotations

import argparse
import dataclasses
import os
import random
import shutil
import sys
import time
from collections.abc import Mapping, Sequence

from scripts.local.cpus import cpus
from scripts.local.programs import run
from scripts.local.suite_report import (
    Outcome,
    Row,
    again,
    closing,
    read_report,
    reasons,
    spoken,
    table,
    verdict,
)
from scripts.local.suite_runs import REPORTS, Job, Ran, remember, run_all
from scripts.local.trouble import Trouble, interruptible

NETNS_PROBE = ("unshare", "--net", "--mount", "true")
NO_NAMESPACES = "no right to make network namespaces"
COLLECT_TIMEOUT_S = 1800.0
CHECK = "check"
TWO_CORES = 1.5
"""From here on there are two cores to keep busy."""
COMPILES_EACH_TIME = "PYTHONDONTWRITEBYTECODE"
"""Images of containers set it; a suite starts hundreds of Pythons, and each of them would compile all that it imports."""


@dataclasses.dataclass(frozen=True, slots=True)
class Suite:
    """One folder under tests/; with `workers`, that many at once: tests or files (xdist's `dist`).

    `waits`: it mostly waits for processes that it has started.
    """

    name: str
    workers: int = 0
    dist: str = "load"
    waits: bool = False
    program: str = ""  # which no package registry has: without it on the PATH the suite is `not run`, which is no failure


# Cheap ones first, so that a mistake shows early; of those that wait, the longest first.
SUITES = (
    Suite("house", workers=2),
    Suite("deploy", workers=2, dist="loadfile", waits=True),  # its hosts are one lane: it must not end alone
    Suite("unit", workers=2),
    Suite("integration", workers=2, dist="loadfile", waits=True),
    Suite("contract", workers=2, dist="loadfile"),  # a file's store, broker or gateway is started once
    Suite("faults", workers=2, dist="loadfile", waits=True),
    Suite("browser", workers=2, dist="loadfile", waits=True),
    Suite("simulation", workers=2),
    Suite("nomad", waits=True, program="nomad"),
)
NAMES = tuple(suite.name for suite in SUITES)


@dataclasses.dataclass(frozen=True, slots=True)
class Chance:
    """From where generated tests draw: derandomized without a `seed`, else from that one; `factor` x the examples."""

    seed: int | None = None
    factor: int = 1

    def words(self) -> list[str]:
        """For pytest."""
        return (
            [] if self.seed is None else ["--hypothesis-profile=free-seeds", f"--hypothesis-seed={self.seed}"]
        )

    def environ(self) -> dict[str, str]:
        """For the tests: the order of a set is chance too."""
        return {"TEST_EXAMPLES_FACTOR": str(self.factor), "PYTHONHASHSEED": str((self.seed or 0) % 2**32)}

    def __str__(self) -> str:
        if self.seed is None:
            return f"Generated tests are derandomized: the same examples in every run; {self.factor} x the suite's number"
        return (
            f"Generated tests draw from seed {self.seed}, {self.factor} x the suite's number of examples "
            f"(again: scripts/test --free-seeds {self.seed} --examples {self.factor} SUITE)"
        )


def beside(cores: float) -> int:
    """How many suites run at a time: one that computes, and beside it one that mostly waits for each core."""
    return 3 if cores >= TWO_CORES else 2


def namespaces_possible() -> bool:
    """Whether this session may make network namespaces."""
    return shutil.which(NETNS_PROBE[0]) is not None and run(NETNS_PROBE, timeout_s=60, quiet=True).code == 0


def count_marked(suite: str, marker: str) -> int:
    """How many tests of a suite carry the marker."""
    words = ("-m", "pytest", "--collect-only", "-q", "--no-header", "-m", marker, f"tests/{suite}")
    ended = run((sys.executable, *words), timeout_s=COLLECT_TIMEOUT_S, quiet=True)
    return sum(1 for line in (ended.output or "").splitlines() if "::" in line)


def command(suite: Suite, chance: Chance, *, namespaces: bool) -> tuple[str, ...]:
    """How pytest is called for one suite."""
    report = f"--junitxml={REPORTS / suite.name}.xml"
    words = [sys.executable, "-m", "pytest", "-q", f"tests/{suite.name}", report]
    if not namespaces:
        words += ["-m", "not netns"]
    if suite.workers:
        words += ["-n", str(suite.workers), "--dist", suite.dist]
    return (*words, *chance.words())


def job(suite: Suite, chance: Chance, environ: Mapping[str, str], *, namespaces: bool) -> Job:
    """The suite as it is run."""
    made = Job(suite.name, command(suite, chance, namespaces=namespaces), environ, suite.waits)
    told = {"TEST_PROGRESS": str(made.told), "PYTHONUNBUFFERED": "1"}
    kept = {name: value for name, value in environ.items() if name != COMPILES_EACH_TIME}
    return dataclasses.replace(made, environ={**kept, **chance.environ(), **told})


def lint(environ: Mapping[str, str]) -> Job:
    """Everything of scripts/check but its tests."""
    return Job(CHECK, (sys.executable, "-P", "-m", "scripts.local.check", "--no-tests"), environ, waits=False)


def on_ci(environ: Mapping[str, str]) -> bool:
    """Whether what did not run is a failure."""
    return environ.get("CI", "").lower() in {"1", "true"}


def row(ran: Ran, chance: Chance, *, namespaces: bool) -> Row:
    """What one suite came to."""
    name = ran.job.name
    if name == CHECK:
        if ran.code == 0:
            return Row("ok", name, Outcome(0, 0, ()), ran.seconds)
        return Row("FAILED", name, Outcome(0, 1, ()), ran.seconds, ("scripts/check",))
    outcome = read_report(REPORTS / f"{name}.xml")
    left_out = 0 if namespaces else count_marked(name, "netns")
    outcome = dataclasses.replace(outcome, not_run=outcome.not_run + (NO_NAMESPACES,) * left_out)
    good = ran.code == 0 or (ran.code == 5 and left_out > 0)  # 5: every test of it was left out
    word = "ok" if good else "hung" if ran.code is None else "FAILED"
    repeat = again(ran.progress.failed, chance.words()) or (() if good else (f"scripts/test {name}",))
    return Row(word, name, outcome, ran.seconds, repeat)


def not_run(suite: Suite) -> Row:
    """A suite whose program is not there."""
    return Row("not run", suite.name, Outcome(0, 0, ()), 0.0, why=f"no {suite.program} on the PATH")


def tell(ran: Ran, ended: Row) -> None:
    """A suite has ended: its verdict, and the words of what failed."""
    outcome = ended.outcome
    counts = f"{outcome.passed} passed, {outcome.failed} failed, {len(outcome.not_run)} not run"
    print(f"{ended.word:<8}{ended.name}: {counts} in {ended.seconds:.0f} s", flush=True)
    if ended.word != "ok":
        said = ran.job.log.read_text(encoding="utf-8", errors="replace")
        begin = max(0, said.find("= FAILURES ="), said.find("= ERRORS ="))
        print(f"---- {ran.job.log}\n{said[begin:].rstrip()}\n----", flush=True)


def test(
    wanted: Sequence[Suite], environ: Mapping[str, str], chance: Chance, *, at_a_time: int, whole: bool
) -> int:
    """Run the suites; returns the exit code."""
    began_s, rows = time.monotonic(), list[Row]()
    namespaces = namespaces_possible()
    absent = [suite for suite in wanted if suite.program and shutil.which(suite.program) is None]
    jobs = [job(suite, chance, environ, namespaces=namespaces) for suite in wanted if suite not in absent]
    for one in jobs:
        (REPORTS / f"{one.name}.xml").unlink(missing_ok=True)
    print(chance, flush=True)

    def ended(ran: Ran) -> None:
        rows.append(row(ran, chance, namespaces=namespaces))
        tell(ran, rows[-1])

    run_all([lint(environ), *jobs] if whole else jobs, beside=at_a_time, ended=ended)
    failed = [one.name for one in rows if one.word != "ok"]
    sentence, code = verdict(failed, reasons(rows), ci=on_ci(environ))
    rows += [not_run(suite) for suite in absent]
    sentence += (
        f"; not run: {', '.join(f'{suite.name} (no {suite.program})' for suite in absent)}" if absent else ""
    )
    if chance == Chance():
        remember({one.name: one.seconds for one in rows if one.word == "ok"})
    seconds = time.monotonic() - began_s
    print("\n" + "\n".join(table(rows)))
    for command_line in (line for one in rows for line in one.again):
        print(f"again:  {command_line}")
    print(f"{sentence}\nTotal {spoken(seconds)}\n{closing(rows, seconds)}", flush=True)
    return code


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="scripts/test",
        description="Install what the tests need, then run every suite. "
        "What cannot run here is named at the end; with CI=1 that is a failure.",
    )
    add = made.add_argument
    add("suites", nargs="*", metavar="SUITE", help=f"only these: {', '.join(NAMES)} (default: all)")
    add("--one-by-one", action="store_true", help="no two suites beside each other")
    draw = "generated tests draw from SEED, or from a new one each time, which is printed: for nights"
    add("--free-seeds", nargs="?", type=int, const=-1, metavar="SEED", help=draw)
    add("--examples", type=int, default=1, metavar="N", help="N times as many examples as the suite tries")
    return made


def main() -> None:
    """Entry point."""
    command_line = parser()
    arguments = command_line.parse_args(sys.argv[1:])
    unknown = sorted(set(arguments.suites) - set(NAMES))
    if unknown:
        raise SystemExit(f"error: no suite {unknown[0]!r}: there are {', '.join(NAMES)}")
    if arguments.examples < 1:
        command_line.error(f"--examples is at least 1, not {arguments.examples}")
    if arguments.free_seeds is not None and arguments.free_seeds < -1:
        command_line.error(f"a seed is not negative: {arguments.free_seeds}")
    seed = random.SystemRandom().randrange(2**32) if arguments.free_seeds == -1 else arguments.free_seeds
    interruptible()  # no suite is left behind
    wanted = [suite for suite in SUITES if not arguments.suites or suite.name in arguments.suites]
    try:
        code = test(
            wanted,
            os.environ,
            Chance(seed, arguments.examples),
            at_a_time=1 if arguments.one_by_one else beside(cpus()),
            whole=not arguments.suites,
        )
    except KeyboardInterrupt:
        print("\nInterrupted: nothing is said about the suites that did not end", file=sys.stderr)
        code = 130
    except Trouble as trouble:
        print(f"\nerror: {trouble}", file=sys.stderr)
        code = 1
    raise SystemExit(code)


if __name__ == "__main__":
    main()
