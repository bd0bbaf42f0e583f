"""`scripts/down`: stop everything that a home runs, in order; the data is kept."""

from __future__ import annotations

import argparse
import sys
import time

from scripts.local import leftovers, system
from scripts.local.home import DEFAULT, Home, named
from scripts.local.system import home_argument
from scripts.local.trouble import Trouble, from_os_error, run_command


def stop(home: Home) -> str:
    """Stop its processes in order; the sentence of what was done. Raises OSError, Trouble."""
    if not home.root.is_dir():
        ended = leftovers.end(home)  # of a home that was deleted while it ran
        return f"Ended {ended} processes." if ended else f"Nothing was ever started in {home.root}."
    with home.claim():
        try:
            running = None if home.recall() is None else system.of_home(home)
        except Trouble as damaged:
            if leftovers.pids_of(home):
                return at_once(home, damaged)
            running = None
        if running is None:
            leftovers.end(home)
            return f"Nothing runs in {home.root}."
        if not running.supervisor.answers() and not leftovers.pids_of(home):
            return f"Nothing runs in {home.root}."
        began_s = time.monotonic()
        try:
            running.stop(print)
        except KeyboardInterrupt:
            rest = f"what still runs is stopped by scripts/down{home_argument(home)}"
            raise KeyboardInterrupt(rest) from None
        return f"Stopped after {time.monotonic() - began_s:.1f} s; the data in {home.root} is kept."


def at_once(home: Home, why: Trouble) -> str:
    """Where the home does not say how its processes stop, the kernel still names them. Raises `why` if none runs."""
    ended = leftovers.end(home)
    if not ended:
        raise why
    return f"Ended {ended} process(es) at once: {why}"


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
        try:
            said = stop(home)
        except OSError as error:
            said = at_once(home, from_os_error(error, home.root))
        print(said)
        return 0

    run_command(command, lambda: home.root)


if __name__ == "__main__":
    main()
