"""`scripts/bench NAME`: one benchmark, which ends in figures or in a sentence."""

from __future__ import annotations

import sys

from loadtests.bench.runs import ARTIFACTS, run
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
)


def main() -> None:
    """Entry point: NAME and its own arguments."""
    name, *arguments = sys.argv[1:]
    if name not in NAMES:
        raise SystemExit(f"error: no benchmark {name!r}: there are {', '.join(NAMES)}")

    run_command(lambda: run(name, arguments, ARTIFACTS / name), lambda: ARTIFACTS)


if __name__ == "__main__":
    main()
