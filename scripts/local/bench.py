"""`scripts/bench NAME`: one benchmark, which ends in figures or in a sentence."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from loadtests.bench import record
from loadtests.bench.runs import ARTIFACTS, run
from scripts.local.home import Home
from scripts.local.supervisor import Supervisor
from scripts.local.system import not_running
from scripts.local.trouble import run_command

BENCHMARKS = {
    "lb": "our load balancer, HAProxy, nginx and a Sanic + aiohttp proxy before the same back ends",
    "kv": "our store, etcd, Consul KV and Redis",
    "dispatch": "our dispatcher and the baselines, in virtual time, on paired seeds",
    "fleet": "a live fleet at 1 Hz through the real store, with orders arriving",
    "finished": "what 100,000 finished deliveries cost a round, a POST and a list",
    "chaos": "kill -9 at random under orders, judged by an independent checker",
    "orders": "what an order costs from POST to delivered, by process, and the rate that is sustained",
    "promises": "what is promised in seconds: a second start, a takeover, a killed process that is back",
    "page": "frames a second, CPU a frame and memory of the dashboard with 100, 1,000 and 5,000 drones",
    "page-live": "how old a change is when an open page of a running system has it and shows it, and what the page keeps",
    "log-lines": "what the log lines of an order cost",
    "city": "what the largest legal city costs each process, and POST p99 while it is put under orders",
    "growth": "what one more gateway, coordinator, drone or finished delivery adds to an order and to a look",
}
NAMES = tuple(BENCHMARKS)
RECORD = "the last run of NAME becomes an entry of docs/benchmarks.md, with machine, date, commit and command"


def usage() -> str:
    """For people."""
    told = "".join(f"  {name:<10} {what}\n" for name, what in BENCHMARKS.items())
    return (
        f"usage: scripts/bench {'|'.join(NAMES)} [options]\n"
        "       scripts/bench record NAME --what TITLE --lines REGEX\n\n"
        f"{told}\n  {'record':<10} {RECORD}\n\n"
        "Each has --help. Figures and plots go to .artifacts/bench/<name>/."
    )


def main() -> int:
    """NAME and its own arguments."""
    name, *arguments = sys.argv[1:] or [""]
    if name in {"-h", "--help"}:
        print(usage())
        return 0
    if name == "record":
        return record.main(arguments)
    if name not in NAMES:
        known = f"{', '.join(NAMES[:-1])} and {NAMES[-1]}"
        print(f"error: no benchmark {name!r}: there are {known}" if name else usage(), file=sys.stderr)
        return 2
    return run(name, arguments, ARTIFACTS / name, refuse_no_system)


def refuse_no_system(options: argparse.Namespace) -> None:
    """Raises Trouble where --running names a home in which nothing runs."""
    folder = getattr(options, "running", None)
    if folder is not None and not Supervisor(home := Home(folder)).answers():
        raise not_running(home)


if __name__ == "__main__":
    run_command(main, Path.cwd)
