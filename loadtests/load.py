"""`scripts/load`: Locust with its web UI, or a measured test with a verdict."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from loadtests import stored
from loadtests.slo import THRESHOLDS
from scripts.local.home import DEFAULT, Home, named
from scripts.local.ports import Ports, is_taken
from scripts.local.system import of_home
from scripts.local.trouble import Trouble, from_os_error, run_command
from scripts.local.words import between, positive

from dronedispatch.runtime.addresses import host_port

ORDERS_A_DRONE_HOUR = 2.6  # of 18 drones over 20 x 19 km at 60 km/h, at saturation
ORDERS_MIN = 12
RATE_MAX = 1200.0
COUNT_MAX = 1_000_000
PROCESSES_MAX = 256
LOCUSTFILE = Path(__file__).parent / "locustfile.py"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="scripts/load",
        description="Orders, status and lists against a running system: by Locust's web UI, or --headless with a verdict.",
        epilog="Exit codes with --headless: 0 all thresholds hold, 1 one is violated, 2 there is no verdict, "
        "or the run is invalid (it could not offer its rate).",
    )
    add_system(command)
    add = command.add_argument
    count, processes = between(int, 1, COUNT_MAX), between(int, 1, PROCESSES_MAX)
    minutes, settle_s = between(float, 0.01, 10_080), between(float, 0.0, 86_400)
    add("--headless", action="store_true", help="no web UI: run for --minutes, judge, exit")
    add("--minutes", type=minutes, default=1.0, metavar="N", help="length of a headless test (default: 1)")
    half = "over all users (default: half of what the fleet that is found there can fly)"
    add("--orders-per-minute", type=positive(float), metavar="R", help=half)
    add("--orders", type=count, metavar="N", help="end before --minutes are over, once N orders are placed")
    add("--users", type=count, default=10, metavar="N", help="customers (default: 10)")
    shared = "load processes, which share users and rate (default: 1; one makes about 600 requests a second)"
    add("--processes", type=processes, default=1, metavar="N", help=shared)
    add("--html", type=Path, metavar="FILE", help="write Locust's report, with the verdict on top")
    add("--settle-s", type=settle_s, default=10.0, metavar="S", help="wait for the last orders (default: 10)")
    port = "of the web UI (default: the home's, 8089 for the default ports)"
    add("--web-port", type=between(int, 1, 65535), metavar="N", help=port)
    add("--web-host", default="127.0.0.1", metavar="ADDR", help="of the web UI (default: this machine only)")
    return command


def add_system(command: argparse.ArgumentParser) -> None:
    """Which system is judged, and by which thresholds."""
    add = command.add_argument
    add("--host", metavar="URL", help="an lb of any system (default: that of --home)")
    add("--home", type=named, metavar="DIR", help="which system of this machine (default: .run)")
    told = "thresholds (default: loadtests/slo.toml)"
    add("--slo", type=Path, default=THRESHOLDS, metavar="FILE", help=told)


def orders_per_minute(drones: int, speed: float, minutes: float) -> float:
    """Half of what the fleet can fly, but enough orders in `minutes` for a verdict.

    More than the fleet can fly would measure the backlog, and violate every threshold however good the system is.
    """
    flown = drones * ORDERS_A_DRONE_HOUR * speed / 60.0
    return round(min(RATE_MAX, max(flown / 2.0, ORDERS_MIN / minutes)), 1)


def locust_arguments(options: argparse.Namespace) -> list[str]:
    """What Locust is started with."""
    told = {
        "locustfile": LOCUSTFILE,
        "host": options.host.rstrip("/"),
        "users": options.users,
        "spawn-rate": options.users,
        "orders-per-minute": options.orders_per_minute,
        "processes": options.processes if options.processes > 1 else None,
        "html": options.html,
        "settle-s": options.settle_s,
        "slo": options.slo,
    }
    if not options.headless:
        return _words(told | {"web-host": options.web_host, "web-port": str(options.web_port)})
    run_time = f"{max(1, round(options.minutes * 60))}s"
    told |= {"run-time": run_time, "orders": options.orders, "stop-timeout": 10}
    return [*_words(told), "--headless", "--only-summary", "--reset-stats"]


def _words(told: Mapping[str, object]) -> list[str]:
    pairs = ((f"--{name}", str(value)) for name, value in told.items() if value is not None)
    return [word for pair in pairs for word in pair]


def find_door(options: argparse.Namespace) -> Ports:
    """Fill in --host: the home's, or the default one (a cluster's is forwarded to it); the ports of that system.

    Raises Trouble when nothing was ever started in a home that was named.
    """
    if options.host is not None:
        return Ports()
    home = Home(options.home or DEFAULT)
    try:
        running = None if options.home is None and home.recall() is None else of_home(home)
    except OSError as error:
        raise from_os_error(error, home.root) from error
    if running is None:
        options.host = f"http://127.0.0.1:{Ports().lb}"
        return Ports()
    options.host = running.url
    os.environ[stored.CERTIFICATE] = running.certificate  # Locust's processes read it too
    return running.options.ports


def locate(options: argparse.Namespace) -> None:
    """Fill in the door and the web UI's port. Raises Trouble."""
    ports = find_door(options)
    if options.web_port is None:
        options.web_port = ports.locust


def prepare(options: argparse.Namespace) -> None:
    """Everything that Locust would stumble over: no system, no rate, a taken port. Raises Trouble."""
    try:
        figures = stored.get(options.host, "/figures")
        drones, speed = sum(figures["drones"].values()), figures["speed"]
    except (stored.NoAnswer, KeyError, TypeError, AttributeError) as exc:
        raise Trouble(f"no verdict: no DroneDispatch answers ({exc}): start one with scripts/up") from exc
    if options.orders_per_minute is None:
        options.orders_per_minute = orders_per_minute(drones, speed, options.minutes)
        print(
            f"{options.orders_per_minute:g} orders a minute for {drones} drones at speed {speed:g}",
            flush=True,
        )
    if not options.headless:
        try:
            taken = is_taken(options.web_host, options.web_port)
        except OSError as exc:
            raise Trouble(
                f"cannot listen on {options.web_host}:{options.web_port} ({exc.strerror}): choose --web-host and --web-port"
            ) from exc
        if taken:
            raise Trouble(
                f"port {options.web_port}, wanted for Locust's web UI, is taken: stop the program that listens there, "
                "or choose another with --web-port N"
            )


def parsed(arguments: Sequence[str], command: argparse.ArgumentParser | None = None) -> argparse.Namespace:
    """The command line, checked; argparse ends the process on a mistake."""
    command = command or parser()
    options = command.parse_args(arguments)
    if options.host is not None and "://" not in options.host:
        command.error(f"--host {options.host!r} is no URL, such as http://127.0.0.1:8080")
    if not options.slo.is_file():
        command.error(f"--slo {options.slo}: no such file")
    return options


def without_a_verdict(work: Callable[[], int]) -> int:
    """What `work` returns; 2 and a sentence for Trouble: 1 is a violated threshold."""
    try:
        return work()
    except Trouble as trouble:
        print(f"error: {trouble}", file=sys.stderr)
        return 2


def become_locust(options: argparse.Namespace) -> int:
    """Comes back by an exception only. Raises Trouble when there can be no verdict."""
    locate(options)
    prepare(options)
    if not options.headless:
        print(
            f"Locust's web UI: http://{host_port(options.web_host, options.web_port)} (Ctrl-C ends it)",
            flush=True,
        )
    command = [sys.executable, "-m", "locust", *locust_arguments(options)]
    return os.execv(command[0], command)


def main() -> None:
    """Entry point."""
    options = parsed(sys.argv[1:])
    run_command(lambda: without_a_verdict(lambda: become_locust(options)), lambda: options.home or DEFAULT)


if __name__ == "__main__":
    main()
