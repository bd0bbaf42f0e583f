"""`scripts/bench NAME`: one benchmark, which ends in figures or in a sentence."""

from __future__ import annotations

import argparse
import sys

from loadtests.bench.runs import ARTIFACTS, run
from scripts.local.home import Home
from scripts.local.supervisor import Supervisor
from scripts.local.system import not_running
from scripts.local.trouble import run_command

NAMES = (
    "lb",
    "kv",
    "dispatch",
    "fleet",
    "finished",
    "chaos",
    "orders",
    "promises",
    "page",
    "page-live",
    "log-lines",
    "city",
    "growth",
)


def main() -> None:
    """Entry point: NAME and its own arguments."""
    name, *arguments = sys.argv[1:]
    if name not in NAMES:
        raise SystemExit(f"error: no benchmark {name!r}: there are {', '.join(NAMES)}")

    def command() -> int:
        return run(name, arguments, ARTIFACTS / name, refuse_no_system)

    run_command(command, lambda: ARTIFACTS)


def refuse_no_system(options: argparse.Namespace) -> None:
    """Raises Trouble where --running names a home in which nothing runs."""
    folder = getattr(options, "running", None)
    if folder is not None and not Supervisor(home := Home(folder)).answers():
        raise not_running(home)


if __name__ == "__main__":
    main()
