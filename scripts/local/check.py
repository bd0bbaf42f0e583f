"""`scripts/check`: format, lint, types, layers, shell scripts and the fast tests: what to know before a commit."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import hashlib
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from scripts.local import leftovers
from scripts.local.home import CHECKOUT
from scripts.local.programs import TIMED_OUT, Ended, run
from scripts.local.trouble import run_command

STEP_TIMEOUT_S = 3600.0
"""A step that takes so long hangs."""
MARK = "DD_CHECK_RUN"
"""In the environment of all that the steps start."""
SHELL_CHECKED = CHECKOUT / ".artifacts" / "shellcheck.ok"
PYTHON_ROOMS = ("services", "tests", "loadtests", "scripts", "examples")
FAST, SHELL = "fast tests", "shell scripts"
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
        fast = ("tests/unit", "tests/house", "-m", "not real and not netns", "-n", "2")
        found.insert(0, Step(FAST, (sys.executable, "-m", "pytest", "-q", "--no-header", *fast)))
    found += [
        Step("layers", (str(tools / "lint-imports"),)),
        Step(SHELL, ("shellcheck", "-x", *shell_scripts())),
        Step("lint", (str(tools / "ruff"), "check", *PYTHON_ROOMS)),
        Step("format", (str(tools / "ruff"), "format", "--check", *PYTHON_ROOMS)),
    ]
    return found


def check(wanted: Sequence[Step]) -> int:
    """Run the steps, two at a time; print each one's verdict and, of a failed one, its words. Returns the exit code."""

    began_s = time.monotonic()
    failed = []
    with _pool() as pool:
        steps_of = {pool.submit(_run, step): step for step in wanted}
        for number, done in enumerate(as_completed(steps_of), 1):
            step, ended = steps_of[done], done.result()
            word = "ok" if ended.code == 0 else "hung" if ended.code == TIMED_OUT else "FAILED"
            tests = f": {_last_line(ended)}" if step.name == FAST else ""
            print(
                f"{word:<9}{step.name}{tests} ({ended.seconds:.1f} s; {number} of {len(wanted)})", flush=True
            )
            if ended.code != 0:
                failed.append(step.name)
                print((ended.output or "").rstrip(), flush=True)
                print(f"again:   {shlex.join(step.command)}", flush=True)
    seconds = time.monotonic() - began_s
    print(f"{'FAILED: ' + ', '.join(failed) if failed else 'All clean'} after {seconds:.0f} s")
    return 1 if failed else 0


@contextlib.contextmanager
def _pool() -> Iterator[ThreadPoolExecutor]:
    """Two at a time. After an interruption none is begun, and those that run are ended."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        try:
            yield pool
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            leftovers.end_with(f"{MARK}={os.getpid()}")
            raise


def _ended(command: Sequence[str]) -> Ended:
    return run(command, timeout_s=STEP_TIMEOUT_S, environ={**os.environ, MARK: str(os.getpid())}, quiet=True)


def _run(step: Step) -> Ended:
    if shutil.which(step.command[0]) is None:
        return Ended(127, 0.0, f"{step.command[0]} is not installed: run scripts/install-tools --dev")
    if step.name != SHELL:
        return _ended(step.command)
    state = _state_of_shell_scripts(step.command)
    if SHELL_CHECKED.exists() and SHELL_CHECKED.read_text(encoding="utf-8") == state:
        return Ended(0, 0.0, None)  # the same bytes, checked by the same program
    ended = _ended(step.command)
    if ended.code == 0:
        SHELL_CHECKED.parent.mkdir(parents=True, exist_ok=True)
        SHELL_CHECKED.write_text(state, encoding="utf-8")
    return ended


def _state_of_shell_scripts(command: Sequence[str]) -> str:
    """Of the program, of what it is told, and of every file that it reads."""
    told = hashlib.sha256(shlex.join(command).encode())
    told.update((_ended((command[0], "--version")).output or "").encode())
    for name in command:
        path = CHECKOUT / name
        if path.is_file():
            told.update(path.read_bytes())
    return told.hexdigest()


def _last_line(ended: Ended) -> str:
    return ((ended.output or "").strip().splitlines() or ["it said nothing"])[-1].strip("= ")


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="scripts/check",
        description="Format, lint, types, layers, shell scripts and the fast tests, two at a time.",
    )
    parser.add_argument("--no-tests", action="store_true", help="without the fast tests")
    arguments = parser.parse_args(sys.argv[1:])
    run_command(lambda: check(steps(tests=not arguments.no_tests)), lambda: CHECKOUT)


if __name__ == "__main__":
    main()
