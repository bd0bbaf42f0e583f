"""What an order's log lines cost: each transition is logged once, by the process that has stored it.

An order that is delivered leaves four lines (`dronedispatch logs --order`). They are written here as the services write
them, to a file, by a process that does nothing else; its CPU counts, not the time. H is the CPU of one GET through HAProxy
in the same run. Ends with 1 above --at-most.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise

import structlog
from loadtests.bench.orders_cost import measure_h
from scripts.local.words import positive

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, move_delivery, transition_fields
from dronedispatch.runtime import logs
from dronedispatch.testing.fleet import AT, a_delivery

LIFE = (DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS, DeliveryStatus.DELIVERED)


def life() -> list[Delivery]:
    """One order as it was stored, from pending to delivered."""
    steps = [a_delivery()]
    for to in LIFE:
        drone = "drone-00001" if to is DeliveryStatus.ASSIGNED else None
        steps.append(move_delivery(steps[-1], to, at=AT, cause="test", drone_id=drone))
    return steps


def write_lines(orders: int) -> None:
    """Every line of so many orders to standard output; the CPU of one order, in microseconds, to standard error."""
    logs.configure("dispatcher", "dispatcher-1")
    log = structlog.get_logger()
    steps = life()
    moves = list(pairwise(steps))
    began_s = time.process_time()
    for _ in range(orders):
        log.info("transition", delivery_id=steps[0].id, to="pending", request_id="35ecc04dca92-10")
        for before, after in moves:
            log.info("transition", **transition_fields(before, after))
    print(f"{1e6 * (time.process_time() - began_s) / orders:.2f}", file=sys.stderr)


def cost_us(orders: int) -> tuple[float, int]:
    """CPU of an order's lines, and how many there were of one order."""
    words = [sys.executable, "-m", "loadtests.bench.log_lines", "--write", str(orders)]
    with tempfile.TemporaryFile() as lines:
        done = subprocess.run(words, stdout=lines, stderr=subprocess.PIPE, text=True, check=True)
        lines.seek(0)
        written = sum(1 for _ in lines)
    return float(done.stderr), written // orders


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--orders", type=positive(int), default=5000, help="whose lines are written (default: %(default)s)"
    )
    parser.add_argument(
        "--at-most", type=positive(float), default=3.0, metavar="H", help="an order (default: %(default)s)"
    )
    parser.add_argument("--write", type=int, help=argparse.SUPPRESS)
    return parser.parse_args(words)


def main(given: argparse.Namespace) -> int:
    """Print the figures."""
    if given.write is not None:
        write_lines(given.write)
        return 0
    h_us = 1e6 * measure_h()
    order_us, lines = cost_us(given.orders)
    print(f"H = {h_us:.1f} us (CPU of one GET through HAProxy)")
    print(
        f"{lines} lines an order: {order_us:.1f} us = {order_us / h_us:.2f} H an order (at most {given.at_most:g} H)"
    )
    return 0 if order_us <= given.at_most * h_us else 1


if __name__ == "__main__":
    sys.exit(main(parsed(sys.argv[1:])))
