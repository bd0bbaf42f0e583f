"""What `scripts/up` can be asked for."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from pathlib import Path

from scripts.local.home import DEFAULT, named
from scripts.local.ports import BASE_DEFAULT, Ports

from dronedispatch.runtime.home import whole

INSTANCES_MAX = 32


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """One system: how many of each process, and the world that it simulates."""

    port_base: int = BASE_DEFAULT
    listen: str = "127.0.0.1"  # the public door only; everything else stays on loopback
    kvstores: int = 3
    kvfronts: int = 2
    gateways: int = 3
    dispatchers: int = 1
    drone_sims: int = 1
    rf: int = 2
    drones: int = 36
    tick_ms: int = 1000
    speed: float = 1.0
    seed: int = 1
    orders_per_minute: float = 0.0
    city: str = ""  # the path of a city document; empty: the one in the store, at first the default city

    def __post_init__(self) -> None:
        Ports(self.port_base)
        for name in ("kvstores", "kvfronts", "gateways", "dispatchers", "drone_sims"):
            if not 1 <= getattr(self, name) <= INSTANCES_MAX:
                raise ValueError(
                    f"--{name.replace('_', '-')} {getattr(self, name)} is outside 1..{INSTANCES_MAX}"
                )
        if not 1 <= self.rf <= self.kvstores:
            raise ValueError(f"--rf {self.rf} is outside 1..{self.kvstores}, the number of kvstores")
        if not 1 <= self.drones <= 20_000:
            raise ValueError(f"--drones {self.drones} is outside 1..20000")
        if not 50 <= self.tick_ms <= 60_000:
            raise ValueError(f"--tick-ms {self.tick_ms} is outside 50..60000")
        if not (math.isfinite(self.speed) and 0 < self.speed <= 1000):
            raise ValueError(f"--speed {self.speed} is not above 0 and at most 1000")
        if ":" in self.listen or not _is_name(self.listen):
            raise ValueError(f"--listen {self.listen} is no IPv4 address and no name")
        if not (math.isfinite(self.orders_per_minute) and 0 <= self.orders_per_minute <= 6000):
            raise ValueError(f"--orders-per-minute {self.orders_per_minute} is outside 0..6000")

    @property
    def ports(self) -> Ports:
        """The fixed ports of this system."""
        return Ports(self.port_base)


def _is_name(text: str) -> bool:
    """Whether a socket takes it for one: it has a TypeError for what is none, and no OSError."""
    try:
        return bool(text.encode("idna"))
    except UnicodeError:
        return False


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """The parsed command line: the options given (None: not given), and how to run."""

    home: Path
    detach: bool
    fresh: bool
    given: dict[str, int | float | str]


_CITY = "a city document, stored at the start (make one with scripts/city import; default: the stored one, or Rome)"
_EPILOG = """\
Any setting of a service can be given in the environment, with the service's prefix:
  KVFRONT_HINT_FLUSH_S=1 scripts/up --detach
AMQP_URL=amqp://... takes a broker of yours instead of a private one.
kvstores and rf belong to the data: a later start of the same home keeps them.
"""


def parser() -> argparse.ArgumentParser:
    """The command line of scripts/up."""
    command = argparse.ArgumentParser(
        prog="scripts/up",
        description="Start the whole system on this machine, install what is missing, and go on until Ctrl-C.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = command.add_argument
    add("--detach", action="store_true", help="leave it running and return (stop it with scripts/down)")
    where = "where data, logs and secrets live (default: .run)"
    add("--home", type=named, default=DEFAULT, metavar="DIR", help=where)
    add("--fresh", action="store_true", help="start empty: forget data, logs and secrets of this home")
    add("--check", action="store_true", help="say what would be installed, change nothing")
    _add_system(command)
    return command


def _add_system(command: argparse.ArgumentParser) -> None:
    """The options that describe the system itself; each is the field of Options with its name."""
    default = Options()
    for name, kind, metavar, told in (
        ("port-base", int, "N", f"every port derives from it (default: {default.port_base})"),
        ("listen", str, "ADDR", f"address of the public port (default: {default.listen}, this machine only)"),
        ("drones", int, "N", f"size of the fleet (default: {default.drones})"),
        ("tick-ms", int, "N", f"between two positions of a drone (default: {default.tick_ms})"),
        ("speed", float, "X", "simulated seconds in a second (default: 1)"),
        ("seed", int, "N", f"of the fleet's places and of the demonstration (default: {default.seed})"),
        ("city", _file, "FILE", _CITY),
        ("orders-per-minute", float, "R", "demonstration traffic (default: 0, none)"),
        ("rf", int, "N", f"copies of every record (default: {default.rf})"),
        ("kvstores", int, "N", f"replicas (default: {default.kvstores})"),
        ("kvfronts", int, "N", f"store coordinators (default: {default.kvfronts})"),
        ("gateways", int, "N", f"API servers (default: {default.gateways})"),
        ("dispatchers", int, "N", "one is active, the others stand by (default: 1)"),
        ("drone-sims", int, "N", "processes that share the fleet (default: 1)"),
    ):
        command.add_argument(f"--{name}", type=kind, metavar=metavar, help=told)


def _file(text: str) -> str:
    return str(whole(text))


def parse(arguments: list[str]) -> Request:
    """Read the command line; argparse ends the process on a mistake."""
    parsed = parser().parse_args(arguments)
    names = [field.name for field in dataclasses.fields(Options)]
    given = {name: getattr(parsed, name) for name in names if getattr(parsed, name) is not None}
    return Request(home=parsed.home, detach=parsed.detach, fresh=parsed.fresh, given=given)


if __name__ == "__main__":  # scripts/up --help, and a look at its options before anything is installed
    parse(sys.argv[1:])
