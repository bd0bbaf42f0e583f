"""`scripts/load`: Locust with its web UI, or a measured test with a verdict."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from loadtests import stored
from loadtests.slo import THRESHOLDS

ORDERS_A_DRONE_HOUR = 2.6  # of 18 drones over 20 x 19 km at 60 km/h, at saturation
ORDERS_MIN = 12
RATE_MAX = 1200.0
LOCUSTFILE = Path(__file__).parent / "locustfile.py"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="scripts/load",
        description="Orders, status and lists against a running system: by Locust's web UI, or --headless with a verdict.",
        epilog="Exit codes with --headless: 0 all thresholds hold, 1 one is violated, 2 there is no verdict.",
    )
    add = command.add_argument
    add(
        "--host",
        default="http://127.0.0.1:8080",
        metavar="URL",
        help="an lb of any system (default: %(default)s)",
    )
    add("--headless", action="store_true", help="no web UI: run for --minutes, judge, exit")
    add("--minutes", type=float, default=1.0, metavar="N", help="length of a headless test (default: 1)")
    add(
        "--orders-per-minute",
        type=float,
        metavar="R",
        help="over all users (default: half of what the fleet that is found there can fly)",
    )
    add("--users", type=int, default=10, metavar="N", help="customers (default: 10)")
    add("--settle-s", type=float, default=10.0, metavar="S", help="wait for the last orders (default: 10)")
    add(
        "--slo",
        type=Path,
        default=THRESHOLDS,
        metavar="FILE",
        help="thresholds (default: loadtests/slo.toml)",
    )
    add("--web-port", type=int, default=8089, metavar="N", help="of the web UI (default: 8089)")
    add("--web-host", default="127.0.0.1", metavar="ADDR", help="of the web UI (default: this machine only)")
    return command


def orders_per_minute(drones: int, speed: float, minutes: float) -> float:
    """Half of what the fleet can fly, but enough orders in `minutes` for a verdict.

    More than the fleet can fly would measure the backlog, and violate every threshold however good the system is.
    """
    flown = drones * ORDERS_A_DRONE_HOUR * speed / 60.0
    return round(min(RATE_MAX, max(flown / 2.0, ORDERS_MIN / minutes)), 1)


def locust_arguments(options: argparse.Namespace) -> list[str]:
    """What Locust is started with."""
    common = [
        "--locustfile",
        str(LOCUSTFILE),
        "--host",
        options.host.rstrip("/"),
        "--users",
        str(options.users),
    ]
    common += ["--spawn-rate", str(options.users), "--orders-per-minute", str(options.orders_per_minute)]
    common += ["--settle-s", str(options.settle_s), "--slo", str(options.slo)]
    if not options.headless:
        return [*common, "--web-host", options.web_host, "--web-port", str(options.web_port)]
    seconds = max(1, round(options.minutes * 60))
    return [
        *common,
        "--headless",
        "--run-time",
        f"{seconds}s",
        "--stop-timeout",
        "10",
        "--only-summary",
        "--reset-stats",
    ]


def main(arguments: list[str]) -> None:
    """Becomes Locust."""
    command = parser()
    options = command.parse_args(arguments)
    for name in ("minutes", "orders_per_minute", "users"):
        if getattr(options, name) is not None and not getattr(options, name) > 0:
            command.error(f"--{name.replace('_', '-')} must be above 0")
    if "://" not in options.host:
        command.error(f"--host {options.host!r} is no URL, such as http://127.0.0.1:8080")
    if options.orders_per_minute is None:
        try:
            figures = stored.get(options.host, "/figures")
        except stored.NoAnswer as exc:
            print(f"no verdict: {exc}", file=sys.stderr)
            sys.exit(2)
        drones = sum(figures["drones"].values())
        options.orders_per_minute = orders_per_minute(drones, figures["speed"], options.minutes)
        print(
            f"{options.orders_per_minute:g} orders a minute for {drones} drones at speed {figures['speed']:g}",
            flush=True,
        )
    if not options.headless:
        print(f"Locust's web UI: http://{options.web_host}:{options.web_port} (Ctrl-C ends it)", flush=True)
    os.execv(sys.executable, [sys.executable, "-m", "locust", *locust_arguments(options)])


if __name__ == "__main__":
    main(sys.argv[1:])
