"""`scripts/simulate`: the store's simulation, ended by Ctrl-C in a sentence."""

from __future__ import annotations

import sys

from scripts.local.home import CHECKOUT
from scripts.local.trouble import run_command


def main() -> None:
    """Entry point."""
    from dronedispatch.testing.simulation.command import main as simulate

    run_command(lambda: simulate(sys.argv[1:]), lambda: CHECKOUT)


if __name__ == "__main__":
    main()
