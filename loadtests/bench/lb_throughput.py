"""Our door, HAProxy, nginx and a Sanic + aiohttp proxy in front of the same three back ends, in turn."""

from __future__ import annotations

import asyncio
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
from loadtests.bench.lb_load import Measure, run_events, run_wrk
from loadtests.bench.lb_peers import OURS, Peer, haproxy, nginx, ours, ours_of, sanic
from loadtests.bench.lb_plot import draw
from loadtests.bench.processes import child, free_port, pins
from rich.console import Console
from rich.table import Table

CPU_RATIO_MAX = {("get", 64): 1.5, ("post", 64): 2.0}
CPU_RATIO_OTHERS_MAX = 2.5
RPS_RATIO_MIN = 0.4
P99_RATIO_MAX = 2.0
PACED = ("get", "post")  # also at half load, for p99
LOADS = ("get", "post", "body", "sse")
FIGURES = ("per_s", "cpu_us", "p50_us", "p99_us", "p999_us")


@dataclass(frozen=True)
class Plan:
    loads: tuple[str, ...] = LOADS
    connections: tuple[int, ...] = (16, 64, 256)
    seconds: float = 5.0
    rounds: int = 3
    wheel: Path | None = None


@contextmanager
def backends(pin: Sequence[str] = (), count: int = 3) -> Iterator[list[int]]:
    """Fast back ends, a process each; gives their ports."""
    ports = [free_port() for _ in range(count)]
    with ExitStack() as stack:
        for port in ports:
            stack.enter_context(
                child((*pin, sys.executable, "-m", "loadtests.bench.lb_backend", str(port)), port)
            )
        yield ports


def start_peers(stack: ExitStack, wheel: Path | None = None) -> tuple[list[Peer], list[Peer]]:
    """Three back ends, then every proxy, each pinned to the proxies' core.

    (for requests, for server-sent events): HAProxy wants another setting for the latter, and the Sanic proxy, which
    reads an answer to its end before it passes it on, cannot do them.
    """
    proxy_pin, rest_pin = pins()
    ports = stack.enter_context(backends(rest_pin))
    mine, theirs, other = (stack.enter_context(start(ports, proxy_pin)) for start in (ours, haproxy, nginx))
    peers = [mine, theirs, other, stack.enter_context(sanic(ports, proxy_pin))]
    if wheel is not None:
        peers.append(stack.enter_context(ours_of(wheel, ports, proxy_pin)))
    events = [mine, stack.enter_context(haproxy(ports, proxy_pin, events=True)), other]
    return peers, events


def measure(plan: Plan, console: Console) -> list[Measure]:
    """Every load at every number of connections: `rounds` times each proxy in turn, then half load for p99."""
    _, rest_pin = pins()
    found: list[Measure] = []
    with ExitStack() as stack:
        peers, events = start_peers(stack, plan.wheel)
        for load in plan.loads:
            for connections in plan.connections:
                runs = _in_turn(plan, events if load == "sse" else peers, load, connections, rest_pin)
                found += runs
                console.print(f"{load} x {connections}: " + ", ".join(_short(run) for run in middle(runs)))
        for load in plan.loads:
            if load in PACED:
                found += _half_load(plan, peers, load, found, rest_pin)
    return found


def _in_turn(
    plan: Plan, peers: Sequence[Peer], load: str, connections: int, pin: Sequence[str]
) -> list[Measure]:
    runs = []
    for number in range(plan.rounds):
        turn = [*peers[number % len(peers) :], *peers[: number % len(peers)]]
        for peer in turn:
            if load == "sse":
                runs.append(asyncio.run(run_events(peer, connections, plan.seconds)))
            else:
                runs.append(run_wrk(peer, load, connections, plan.seconds, pin))
    return runs


def _half_load(
    plan: Plan, peers: Sequence[Peer], load: str, found: Sequence[Measure], pin: Sequence[str]
) -> list[Measure]:
    """The same arrivals for everybody: half of what our door can do with 64 connections."""
    connections = 64
    mine = [run.per_s for run in found if run.peer == OURS and run.load == load]
    pace_ms = connections / (max(mine) / 2) * 1000
    return [
        run_wrk(peer, load, connections, plan.seconds, pin, pace_ms)
        for _ in range(plan.rounds)
        for peer in peers
    ]


def middle(runs: Sequence[Measure]) -> list[Measure]:
    """One for each (peer, load, connections): the median of every figure over the rounds."""
    groups: dict[tuple[str, str, int], list[Measure]] = {}
    for run in runs:
        groups.setdefault((run.peer, run.load, run.connections), []).append(run)

    found = []
    for group in groups.values():
        figures: dict[str, Any] = {name: statistics.median(map(attrgetter(name), group)) for name in FIGURES}
        found.append(replace(group[0], bad=sum(run.bad for run in group), **figures))
    return found


def _short(run: Measure) -> str:
    return f"{run.peer} {run.per_s:,.0f}/s {run.cpu_us:.1f} us"


def show(runs: Sequence[Measure], console: Console) -> list[str]:
    """Print the table with ratios to HAProxy; return what misses its number."""
    table = Table(
        "load", "conns", "proxy", "per s", "CPU us", "x HAProxy", "p50 us", "p99 us", "p99.9 us", "bad"
    )
    rows = middle(runs)
    base = {(row.load, row.connections): row for row in rows if row.peer == "haproxy"}
    misses = []
    for row in rows:
        theirs = base.get((row.load, row.connections))
        ratio = row.cpu_us / theirs.cpu_us if theirs else float("nan")
        table.add_row(
            row.load, str(row.connections), row.peer, f"{row.per_s:,.0f}", f"{row.cpu_us:.1f}", f"{ratio:.2f}",
            f"{row.p50_us:,.0f}", f"{row.p99_us:,.0f}", f"{row.p999_us:,.0f}", str(row.bad),
        )  # fmt: skip
        if theirs and row.peer == OURS:
            misses += why_missed(row, theirs)
    console.print(table)
    return misses


def why_missed(mine: Measure, theirs: Measure) -> list[str]:
    """The numbers of the door that this pair of measures misses."""
    where = f"{mine.load} x {mine.connections}"
    found = []
    cpu_ratio_max = CPU_RATIO_MAX.get((mine.load, mine.connections), CPU_RATIO_OTHERS_MAX)
    if mine.cpu_us > cpu_ratio_max * theirs.cpu_us:
        found.append(f"{where}: CPU {mine.cpu_us / theirs.cpu_us:.2f} x HAProxy, limit {cpu_ratio_max}")
    if mine.load in ("get", "post", "body") and mine.per_s < RPS_RATIO_MIN * theirs.per_s:
        found.append(
            f"{where}: {mine.per_s / theirs.per_s:.2f} x HAProxy's requests a second, limit {RPS_RATIO_MIN}"
        )
    if "half load" in mine.load and mine.p99_us > P99_RATIO_MAX * theirs.p99_us:
        found.append(f"{where}: p99 {mine.p99_us / theirs.p99_us:.2f} x HAProxy's, limit {P99_RATIO_MAX}")
    if mine.bad:
        found.append(f"{where}: {mine.bad} errors")
    return found


def keep(runs: Sequence[Measure], home: Path) -> None:
    """runs.json and lb.png under `home`."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "runs.json").write_bytes(msgspec.json.format(msgspec.json.encode(runs), indent=1))
    draw(middle(runs), OURS, home / "lb.png")
