"""`tests/slo_watch.sh`: how a running system keeps its promises, without sending it one order.

Failures and the time of POST come from the lb's access log, created -> assigned and created -> delivered from the
timestamps in the store; both of the last `--minutes`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from loadtests import access_log, load, slo, stored
from scripts.local.home import DEFAULT
from scripts.local.trouble import run_command
from scripts.local.words import between


def parser() -> argparse.ArgumentParser:
    """The command line."""
    command = argparse.ArgumentParser(
        prog="tests/slo_watch.sh",
        description="Watch the SLOs of a running system passively, from the lb's access log and the stored timestamps.",
        epilog="Exit codes with --once: 0 all thresholds hold, 1 one is violated, 2 there is no verdict.",
    )
    load.add_system(command)
    add = command.add_argument
    add("--log", type=Path, metavar="FILE", help="the lb's access log (default: logs/access.log of --home)")
    minutes, every_s = between(float, 0.01, 525_600), between(float, 0.1, 86_400)
    add("--minutes", type=minutes, default=10.0, metavar="N", help="how far to look back (default: 10)")
    add("--every", type=every_s, default=5.0, metavar="S", help="seconds between two looks (default: 5)")
    add("--once", action="store_true", help="look once and end with an exit code")
    return command


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line, checked; argparse ends the process on a mistake."""
    return load.parsed(arguments, parser())


def locate(options: argparse.Namespace) -> None:
    """Fill in the door and its log: the home's. Raises Trouble when nothing was ever started in a home that was named."""
    load.find_door(options)
    options.log = options.log or (options.home or DEFAULT) / "logs" / "access.log"


def look(host: str, log: Path, minutes: float) -> slo.Measured:
    """Raises OSError (no log) or NoAnswer."""
    now = datetime.now(UTC)
    began = now - timedelta(minutes=minutes)
    requests = access_log.since(access_log.tail(log), began)
    posts = [
        one.total_ms for one in requests if (one.method, one.path, one.status) == ("POST", "/deliveries", 201)
    ]
    assigned, delivered, waiting = slo.spans(stored.since(host, began), now)
    return slo.Measured(
        requests=len(requests),
        failures=sum(one.failed for one in requests),
        post_p95_ms=slo.percentile(posts, 0.95),
        to_assigned_s=assigned,
        to_delivered_s=delivered,
        waiting=waiting,
        speed=stored.speed(host),
    )


def report(measured: slo.Measured, lines: list[slo.Line]) -> str:
    """Means beside the verdict on the percentiles."""
    means = [
        f"created -> {name}: mean {_seconds(slo.mean(spans))}, p95 {_seconds(slo.percentile(spans, 0.95))}"
        for name, spans in (("assigned", measured.to_assigned_s), ("delivered", measured.to_delivered_s))
    ]
    return "\n".join([slo.table(lines), "", *means])


def watch(options: argparse.Namespace) -> int:
    """Returns the exit code of --once; without it, goes on until Ctrl-C."""
    locate(options)
    while True:
        try:
            thresholds = slo.load_slo(options.slo)
            measured = look(options.host, options.log, options.minutes)
        except FileNotFoundError as exc:
            where = exc.filename or options.log
            code, text = (
                2,
                f"no verdict: {where} is not there: start a system with scripts/up, or name its --home or --log",
            )
        except (OSError, ValueError, stored.NoAnswer) as exc:
            code, text = 2, f"no verdict: {exc}"
        else:
            lines = slo.judge(thresholds, measured)
            code, text = slo.exit_code(lines), report(measured, lines)
        clear = "" if options.once or not sys.stdout.isatty() else "\x1b[H\x1b[2J"
        print(
            f"{clear}{datetime.now(UTC):%H:%M:%S} UTC, the last {options.minutes:g} min of {options.host}\n\n{text}\n",
            flush=True,
        )
        if options.once:
            return code
        time.sleep(options.every)


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g} s" if value < 100 else f"{value:.0f} s"


def main() -> None:
    """Entry point."""
    options = parsed(sys.argv[1:])
    run_command(lambda: load.without_a_verdict(lambda: watch(options)), lambda: options.home or DEFAULT)


if __name__ == "__main__":
    main()
