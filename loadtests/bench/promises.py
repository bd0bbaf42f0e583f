"""`scripts/bench promises`: what is promised in seconds, measured once each on a system of its own.

The suites show that each of these things happens; how fast it happens is the machine's affair as well as ours, and is
measured here. Starts a system with two dispatchers and demonstration traffic. Exit code 1: a promise was not kept.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.bench.running import command_line, say, started, words_of
from loadtests.stored import direct
from scripts.local.home import CHECKOUT, Home
from scripts.local.system import System, of_home

SPEED, DRONES, TICK_MS, GATEWAYS = 60, 72, 1000, 3
GIVE_UP_S = 300.0
PAUSE_S = 0.02
TICKS_S = 20.0
QUIET_S = 3.0
"""A gateway that got nothing for so long gets nothing any more."""


@dataclass(frozen=True)
class Promise:
    """What was measured, in seconds, and what it may be at most."""

    what: str
    measured_s: float
    at_most_s: float

    @property
    def kept(self) -> bool:
        return self.measured_s <= self.at_most_s

    def __str__(self) -> str:
        word = "kept" if self.kept else "MISSED"
        return f"{word:<7}{self.what:<58}{self.measured_s:>8.2f} s   at most {self.at_most_s:g} s"


class Measured:
    """The system of `home`, and the stopwatch."""

    def __init__(self, home: Path, arguments: list[str]) -> None:
        self.home = home
        self.arguments = arguments

    @property
    def system(self) -> System:
        """As it was last started."""
        return of_home(Home(self.home))

    def ask(self, url: str, token: str = "") -> Any:
        """A decoded answer; OSError where there is none."""
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        with direct().open(request, timeout=2) as answer:
            return json.load(answer)

    def pids(self) -> dict[str, int]:
        """Process -> pid."""
        return {state.name: state.pid for state in self.system.supervisor.states() if state.pid}

    def seconds_until(self, holds: Callable[[], object], what: str) -> float:
        """How long from now; a question that is not answered is a not-yet. Raises SystemExit when it never holds."""
        began_s = time.monotonic()
        while time.monotonic() - began_s < GIVE_UP_S:
            with contextlib.suppress(OSError, ValueError, KeyError):
                if holds():
                    return time.monotonic() - began_s
            time.sleep(PAUSE_S)
        raise SystemExit(f"scripts/bench promises: not within {GIVE_UP_S:g} s: {what}; see {self.home}/logs")

    def second_start(self) -> Promise:
        """Down, and up again on the same data."""
        scripts = CHECKOUT / "scripts"
        subprocess.run(
            [str(scripts / "down"), "--home", str(self.home)], check=True, stdout=subprocess.DEVNULL
        )
        began_s = time.monotonic()
        words = [str(scripts / "up"), "--detach", "--home", str(self.home), *self.arguments]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        return Promise("a second start, until every process is healthy", time.monotonic() - began_s, 25.0)

    def leaders(self) -> list[str]:
        """The dispatchers that say that they lead."""
        found = []
        url = f"http://127.0.0.1:{self.system.options.ports.consul_http}/v1/catalog/service/dispatcher"
        for entry in self.ask(url):
            with contextlib.suppress(OSError):
                if self.ask(f"http://127.0.0.1:{entry['ServicePort']}/health?live=1")["leader"]:
                    found.append(str(entry["ServiceID"]))
        return found

    def takeover(self) -> Promise:
        """From kill -9 of the leader, which nobody starts again meanwhile."""
        self.seconds_until(lambda: len(self.leaders()) == 1, "one dispatcher leads")
        [first] = self.leaders()
        pid, supervisor = self.pids()[first], self.system.supervisor.pid()
        os.kill(supervisor, signal.SIGSTOP)
        try:
            os.kill(pid, signal.SIGKILL)
            took_s = self.seconds_until(lambda: set(self.leaders()) - {first}, "the standby leads")
        finally:
            os.kill(supervisor, signal.SIGCONT)
        self.all_healthy()
        return Promise("the standby dispatcher leads after kill -9 of the leader", took_s, 5.0)

    def all_healthy(self) -> None:
        """Wait for it."""
        self.seconds_until(lambda: not self.system.unhealthy(), "every process is healthy")

    def returns(self) -> Iterator[Promise]:
        """Each process in turn: from kill -9 until another of its name is healthy."""
        for name, pid in sorted(self.pids().items()):
            if name == "traffic":
                continue
            os.kill(pid, signal.SIGKILL)
            took_s = self.seconds_until(
                lambda name=name, pid=pid: (  # type: ignore[misc]
                    self.pids().get(name, pid) != pid and name not in self.system.unhealthy()
                ),
                f"{name} is healthy again",
            )
            yield Promise(
                f"{name} is healthy after kill -9", took_s, 30.0 if name in {"rabbitmq", "consul"} else 10.0
            )
            self.all_healthy()

    def requests(self, gateway: str) -> int:
        """How many the lb has sent there; as many as before when it has left the table."""
        ports = self.system.options.ports
        token = Home(self.home).secret("operator").read_text(encoding="utf-8").strip()
        rows = self.ask(f"http://127.0.0.1:{ports.lb_control}/table", token)["gateways"]
        return next((int(row["requests"]) for row in rows if row["id"] == gateway), -1)

    def last_request(self) -> Promise:
        """From the stop of a gateway until the lb sends it nothing more, under traffic."""
        name = f"gateway-{GATEWAYS}"
        served = self.requests(name)
        self.seconds_until(lambda: self.requests(name) > served, f"{name} serves")
        count, began_s, grown_s = self.requests(name), time.monotonic(), 0.0
        self.system.supervisor.stop(name)
        while time.monotonic() - began_s < grown_s + QUIET_S:
            now = self.requests(name)
            if now > count:
                count, grown_s = now, time.monotonic() - began_s
        self.system.supervisor.start(name)
        self.all_healthy()
        return Promise("a stopped gateway's last request", grown_s, 1.0)

    def tick(self) -> Promise:
        """The mean time between two ticks of the fleet."""

        def newest() -> int:
            url = f"http://127.0.0.1:{self.system.options.ports.lb}/drones"
            return max(int(one["tick"] or 0) for one in self.ask(url)["drones"])

        self.seconds_until(newest, "the fleet is told")
        first, began_s = newest(), time.monotonic()
        time.sleep(TICKS_S)
        ticks = newest() - first
        return Promise(
            "between two ticks of 1 s", (time.monotonic() - began_s) / max(1, ticks), 1.25 * TICK_MS / 1000
        )


def measure(measured: Measured) -> Iterator[Promise]:
    """All of them, as they come."""
    yield measured.second_start()
    yield measured.tick()
    yield measured.last_request()
    yield measured.takeover()
    yield from measured.returns()


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    return command_line("promises", __doc__).parse_args(words)


def main(given: argparse.Namespace) -> int:
    """Exit code 0 when every promise was kept."""
    system = {"drones": DRONES, "speed": SPEED, "tick_ms": TICK_MS, "gateways": GATEWAYS}
    arguments = words_of(given, **system, dispatchers=2, orders_per_minute=600)
    kept = True
    with started("promises", arguments) as home:
        for promise in measure(Measured(home, arguments)):
            say(str(promise))
            kept = kept and promise.kept
    return 0 if kept else 1
