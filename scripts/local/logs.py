"""`scripts/logs`: what the processes of a home say."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
from collections import deque
from pathlib import Path

from scripts.local import transitions
from scripts.local.home import DEFAULT, Home, named
from scripts.local.system import home_argument
from scripts.local.trouble import Trouble, run_command
from scripts.local.words import between

POLL_S = 0.2
FIRST = ("at", "level", "event")
HIDDEN = {*FIRST, "service", "instance", "logger"}


def readable(line: str) -> str:
    """A structured line as a person reads it; any other line as it is."""
    try:
        fields = json.loads(line)
    except ValueError:
        return line
    if not isinstance(fields, dict):
        return line
    head = " ".join(str(fields[name]) for name in FIRST if name in fields)
    rest = " ".join(f"{name}={value}" for name, value in fields.items() if name not in HIDDEN)
    return f"{head} {rest}".rstrip()


def matching(home: Home, names: list[str]) -> list[Path]:
    """The log files of the processes named (`gateway` means every gateway); all of them when none is named."""
    files = sorted(path for path in home.logs.glob("*.log"))
    if not names:
        return files
    return [
        path
        for path in files
        if any(path.stem == name or path.stem.rpartition("-")[0] == name for name in names)
    ]


def chosen(home: Home, names: list[str]) -> list[Path]:
    """The same. Raises Trouble when there is none."""
    files = matching(home, names)
    if not files:
        known = ", ".join(sorted(path.stem for path in home.logs.glob("*.log")))
        if not known:
            raise Trouble(f"nothing was ever started in {home.root}: run scripts/up{home_argument(home)}")
        raise Trouble(f"no log of {' '.join(names)} in {home.logs}: there are {known}")
    return files


class Tail:
    """One file, followed over its rotation."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._handle: io.TextIOWrapper | None = None
        self._inode = 0

    def last(self, count: int) -> list[str]:
        """The last lines; what comes after them is new."""
        self._open()
        return list(deque(self._handle, maxlen=min(count, sys.maxsize))) if self._handle else []

    def new(self) -> list[str]:
        """Lines since the last call."""
        lines = self._handle.readlines() if self._handle else []
        if not lines:
            with contextlib.suppress(FileNotFoundError):  # it is being rotated, or was removed
                if self._path.stat().st_ino != self._inode:
                    self._open()
                    lines = self._handle.readlines() if self._handle else []
        return lines

    def close(self) -> None:
        """Let the file go."""
        if self._handle is not None:
            self._handle.close()

    def _open(self) -> None:
        self.close()
        self._handle = self._path.open(encoding="utf-8", errors="replace")
        self._inode = self._path.stat().st_ino


class Logs:
    """The processes named, those included that come later. Raises Trouble when there is none now."""

    def __init__(self, home: Home, names: list[str]) -> None:
        self._home = home
        self._names = names
        self._tails = {path: Tail(path) for path in chosen(home, names)}

    @property
    def several(self) -> bool:
        """Whether a line must say whose it is."""
        return len(self._tails) > 1

    def last(self, count: int) -> list[tuple[str, list[str]]]:
        """The last lines of each; what comes after them is new."""
        return [(path.stem, tail.last(count)) for path, tail in self._tails.items()]

    def new(self) -> list[tuple[str, list[str]]]:
        """The lines of each since the last call: of a new one, all."""
        for path in matching(self._home, self._names):
            self._tails.setdefault(path, Tail(path))
        return [(path.stem, tail.new()) for path, tail in self._tails.items()]

    def close(self) -> None:
        """Let the files go."""
        for tail in self._tails.values():
            tail.close()


def show_order(home: Home, order: str, *, as_json: bool) -> int:
    """One line a transition of one order. Raises Trouble when there is none."""
    found = transitions.of_order(home.logs, order)
    if not found:
        raise Trouble(
            f"no log in {home.logs} tells of order {order}: is the id whole, and is it younger than the logs?"
        )
    transitions.tell(found, as_json=as_json)
    return 0


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="scripts/logs", description="Show what the processes say.")
    add, count = parser.add_argument, between(int, 0, 10**18)
    add("names", nargs="*", metavar="NAME", help="gateway-1, or gateway for all of them (default: all)")
    add("-f", "--follow", action="store_true", help="go on until Ctrl-C")
    add("-n", "--lines", type=count, default=20, metavar="N", help="of each process (default: 20)")
    add("--json", action="store_true", help="the lines as they were written")
    add("--order", metavar="ID", help="only the transitions of this order, of all processes, by time")
    add("--home", type=named, default=DEFAULT, metavar="DIR", help="which system (default: .run)")
    arguments = parser.parse_args(sys.argv[1:])
    home = Home(arguments.home)

    def command() -> int:
        logs = Logs(home, arguments.names)
        if arguments.order is not None:
            return show_order(home, arguments.order, as_json=arguments.json)

        def show(said: list[tuple[str, list[str]]]) -> None:
            for name, lines in said:
                for line in lines:
                    text = line.rstrip("\n")
                    prefix = f"{name:<14}" if logs.several else ""
                    print(prefix + (text if arguments.json else readable(text)), flush=arguments.follow)

        show(logs.last(arguments.lines))
        while arguments.follow:
            show(logs.new())
            time.sleep(POLL_S)
        return 0

    run_command(command, lambda: home.root)


if __name__ == "__main__":
    main()
