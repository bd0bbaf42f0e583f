"""`scripts/down`: stop everything that a home runs, in order; the data is kept."""

from __future__ import annotations

import argparse
import sys
import time

from scripts.local import leftovers, system
from scripts.local.home import DEFAULT, Home, named
from scripts.local.system import home_argument
from scripts.local.trouble import run_command


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        prog="scripts/down", description="Stop the system of a home; its data is kept."
    )
    parser.add_argument(
        "--home", type=named, default=DEFAULT, metavar="DIR", help="which system (default: .run)"
    )
    home = Home(parser.parse_args(sys.argv[1:]).home)

    def command() -> int:
        if not home.root.is_dir():
            ended = leftovers.end(home)  # of a home that was deleted while it ran
            print(f"Ended {ended} processes." if ended else f"Nothing was ever started in {home.root}.")
            return 0
        with home.claim():
            if home.recall() is None:
                leftovers.end(home)
                print(f"Nothing runs in {home.root}.")
                return 0
            running = system.of_home(home)
            if not running.supervisor.answers() and not leftovers.pids_of(home):
                print(f"Nothing runs in {home.root}.")
                return 0
            began_s = time.monotonic()
            try:
                running.stop(print)
            except KeyboardInterrupt:
                rest = f"what still runs is stopped by scripts/down{home_argument(home)}"
                raise KeyboardInterrupt(rest) from None
            print(f"Stopped after {time.monotonic() - began_s:.1f} s; the data in {home.root} is kept.")
        return 0

    run_command(command, lambda: home.root)


if __name__ == "__main__":
    main()
