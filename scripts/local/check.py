"""`scripts/check`: format, lint, types, layers, shell scripts and the fast tests, in under a minute."""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from scripts.local.home import CHECKOUT
from scripts.local.programs import TIMED_OUT, Ended, run

STEP_TIMEOUT_S = 300.0
PYTHON_ROOMS = ("services", "tests", "loadtests", "scripts", "examples")
SHELL_ROOMS = (".ci", "scripts", "tests", "jobs", "examples")


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One program that must end with 0."""

    name: str
    command: Sequence[str]


def shell_scripts() -> list[str]:
    """Every shell script of the checkout, by its first line or its ending."""
    files = (path for room in SHELL_ROOMS for path in sorted((CHECKOUT / room).rglob("*")))
    return [str(path.relative_to(CHECKOUT)) for path in files if path.is_file() and _is_shell(path)]


def _is_shell(path: Path) -> bool:
    if path.suffix == ".sh":
        return True
    if path.suffix:
        return False
    with path.open("rb") as handle:
        first = handle.readline(80)
    return first.startswith(b"#!") and first.strip().endswith((b"bash", b"/sh"))


def steps(*, tests: bool) -> list[Step]:
    """What is checked; the slowest first, since two run at once."""
    tools = Path(sys.executable).parent
    found = [Step("types", (str(tools / "mypy"),))]
    if tests:
        fast = ("tests/unit", "tests/house", "-m", "not real and not netns")
        found.insert(0, Step("fast tests", (sys.executable, "-m", "pytest", "-q", "--no-header", *fast)))
    found += [
        Step("layers", (str(tools / "lint-imports"),)),
        Step("shell scripts", ("shellcheck", "-x", *shell_scripts())),
        Step("lint", (str(tools / "ruff"), "check", *PYTHON_ROOMS)),
        Step("format", (str(tools / "ruff"), "format", "--check", *PYTHON_ROOMS)),
    ]
    return found


def check(wanted: Sequence[Step]) -> int:
    """Run the steps, two at a time; print each one's verdict and, of a failed one, its words. Returns the exit code."""

    def one(step: Step) -> tuple[Step, Ended]:
        if shutil.which(step.command[0]) is None:
            return step, Ended(
                127, 0.0, f"{step.command[0]} is not installed: run scripts/install-tools --dev"
            )
        return step, run(step.command, timeout_s=STEP_TIMEOUT_S, quiet=True)

    began_s = time.monotonic()
    failed = []
    with ThreadPoolExecutor(max_workers=2) as pool:
        for step, ended in pool.map(one, wanted):
            word = "ok" if ended.code == 0 else "too slow" if ended.code == TIMED_OUT else "FAILED"
            print(f"{word:<9}{step.name} ({ended.seconds:.1f} s)", flush=True)
            if ended.code != 0:
                failed.append(step.name)
                print((ended.output or "").rstrip(), flush=True)
    seconds = time.monotonic() - began_s
    print(f"{'FAILED: ' + ', '.join(failed) if failed else 'All clean'} after {seconds:.0f} s")
    return 1 if failed else 0


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="scripts/check",
        description="Format, lint, types, layers, shell scripts, fast tests; under a minute.",
    )
    parser.add_argument("--no-tests", action="store_true", help="without the fast tests")
    arguments = parser.parse_args(sys.argv[1:])
    raise SystemExit(check(steps(tests=not arguments.no_tests)))


if __name__ == "__main__":
    main()
