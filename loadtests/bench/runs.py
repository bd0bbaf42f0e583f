"""One run of a benchmark, noted: what was typed, on which machine, when, at which commit, and what it printed.

A benchmark NAME is a module beside this one: `parsed(words)` gives its options, or ends with what is wrong with them, and
`main(options)` measures and returns the exit code.

The note is .artifacts/bench/NAME/run.json, the words output.txt beside it;
`scripts/bench record` makes an entry of docs/benchmarks.md of them.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import os
import platform
import shlex
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from loadtests.bench.turn import turn

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / ".artifacts" / "bench"


class Tee:
    """Standard output that is also kept."""

    def __init__(self, shown: TextIO, kept: TextIO) -> None:
        self._shown = shown
        self._kept = kept

    def write(self, text: str) -> int:
        self._kept.write(text)
        return self._shown.write(text)

    def flush(self) -> None:
        self._kept.flush()
        self._shown.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._shown, name)


def wrapped(entry: str) -> str:
    """One entry of a list of figures in a page."""
    return textwrap.fill(entry, 118, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def hardware() -> str:
    """Cores, processor, memory."""
    model, memory_gb = platform.machine(), 0
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        model = next(names, model)
        memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024**3
    return f"{os.cpu_count()} cores, {model}{f', {memory_gb} GB' if memory_gb else ''}"


def machine() -> str:
    """One line: the hardware, the system, Python."""
    return f"{hardware()}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def commit() -> str:
    """The short hash, with "+" for a tree that differs from it; "unknown" without git."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "--short=8", "HEAD") + ("+" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def run(
    name: str,
    arguments: Sequence[str],
    folder: Path,
    check: Callable[[argparse.Namespace], None] = lambda _options: None,
) -> int:
    """Run the benchmark `name` in this process and note it in `folder`; returns its exit code.

    Wrong options, and those that `check` raises for, are refused before the machine's turn is waited for; the note of the
    run before stays then.
    """
    module = importlib.import_module(f"loadtests.bench.{name.replace('-', '_')}")
    options = module.parsed(arguments)
    check(options)
    folder.mkdir(parents=True, exist_ok=True)
    note: dict[str, object] = {
        "command": shlex.join(["scripts/bench", name, *arguments]),
        "began": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "commit": commit(),
    }
    began_s, code = time.monotonic(), 1
    with (folder / "output.txt").open("w", encoding="utf-8") as kept:
        shown = sys.stdout
        sys.stdout = Tee(shown, kept)
        try:
            with turn():
                code = int(module.main(options))
        except SystemExit as ended:
            code = _code_of(ended)
        finally:
            sys.stdout = shown
            note |= {"exit": code, "seconds": round(time.monotonic() - began_s, 1)}
            (folder / "run.json").write_text(json.dumps(note, indent=1), encoding="utf-8")
    return code


def _code_of(ended: SystemExit) -> int:
    if isinstance(ended.code, str):
        print(ended.code, file=sys.stderr)
        return 1
    return ended.code or 0
