"""`scripts/bench lb`: the door beside HAProxy, nginx and a Sanic + aiohttp proxy, and its numbers under failure.

Without an option: throughput, CPU for each request and latency of all proxies, in turn, before the same back ends.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from functools import partial

import uvloop
from loadtests.bench.lb_fuzz import Findings, fuzz
from loadtests.bench.lb_hop import hop
from loadtests.bench.lb_judge import corpus, judge
from loadtests.bench.lb_peers import haproxy, nginx, ours
from loadtests.bench.lb_scenes import (
    Finding,
    all_failing,
    exchange_doors,
    failover,
    limiter,
    many_clients,
    silence,
    soak,
)
from loadtests.bench.lb_throughput import LOADS, Plan, keep, measure, show
from loadtests.bench.processes import NotInstalled
from loadtests.bench.runs import ARTIFACTS
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from scripts.local.words import a_wheel, listed, one_of, positive

from dronedispatch.testing.witness import witness

HOME = ARTIFACTS / "lb"


def parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench lb", description=__doc__)
    add = parser.add_argument
    scene, count = partial(add, action="store_true"), partial(add, type=positive(int), metavar="N")
    loads = listed(one_of(LOADS))
    add("--loads", type=loads, default="get,post,body,sse", help="some of get,post,body,sse")
    add("--connections", type=listed(positive(int)), default="16,64,256")
    add("--seconds", type=positive(float), default=5.0, help="of each run")
    add("--rounds", type=positive(int), default=3)
    wheel = (
        "a release's (.artifacts/release-NAME/own/*.whl): its door is compared as well, or is that of --soak"
    )
    add("--wheel", type=a_wheel, metavar="FILE", help=wheel)
    scene("--corpus", help="the smuggling payloads: our decisions beside the peers'")
    count("--fuzz", help="N generated requests, ours against the peers")
    add("--seed", type=int, default=1, help="of --fuzz")
    scene("--failover", help="gateways and doors end under load: what clients see")
    add("--every", type=positive(float), default=10.0, help="seconds between two kills of --failover")
    add("--minutes", type=positive(float), default=5.0, help="of --failover with kill -9")
    scene("--failing", help="every gateway fails: amplification and time to 503")
    scene("--silence", help="a gateway says nothing, as a host that was cut off: what clients see")
    scene("--limiter", help="what passes a rate limit in 60 s")
    count("--clients", help="N clients, each with a limit of its own: memory")
    count("--soak", help="N requests: growth of memory and descriptors")
    scene("--hop", help="an internal call by runtime/http and by aiohttp")
    return parser.parse_args(words)


def compare_throughput(options: argparse.Namespace, console: Console) -> int:
    plan = Plan(options.loads, options.connections, options.seconds, options.rounds, options.wheel)
    runs = measure(plan, console)
    misses = show(runs, console)
    keep(runs, HOME)
    console.print(f"figures: {HOME}/runs.json, plot: {HOME}/lb.png")
    for miss in misses:
        console.print(f"[red]missed[/red] {miss}")
    return 1 if misses else 0


async def compare_corpus(console: Console) -> int:
    """Every payload through every proxy: 0 when ours harms nobody and is nowhere laxer than a peer on what is illegal."""
    table = Table("payload", "ours", "haproxy", "nginx", "")
    bad = 0
    async with witness() as mine, witness() as first, witness() as second:
        with ours([mine.port]) as door, haproxy([first.port]) as one, nginx([second.port]) as two:
            for payload in corpus():
                verdict = await judge(door.port, mine, payload.data)
                theirs = [
                    await judge(one.port, first, payload.data, 0.3),
                    await judge(two.port, second, payload.data, 0.3),
                ]
                stricter = any(not other.forwarded for other in theirs)
                notes = list(verdict.faults)
                if verdict.forwarded and stricter and not payload.legal:
                    notes.append("laxer than a peer")
                bad += bool(notes)
                shown = [f"{other}{' FAULT' if other.faults else ''}" for other in theirs]
                table.add_row(payload.name, str(verdict), *shown, "; ".join(notes))
    console.print(table)
    console.print(f"{len(corpus())} payloads, {bad} with a fault of ours")
    return 1 if bad else 0


async def run_fuzz(cases: int, seed: int, console: Console) -> Findings:
    with Progress(console=console) as progress:
        task = progress.add_task("requests", total=cases)
        return await fuzz(cases, seed, lambda: progress.advance(task))


def compare_fuzz(options: argparse.Namespace, console: Console) -> int:
    findings = uvloop.run(run_fuzz(options.fuzz, options.seed, console))
    console.print(
        f"{findings.cases:,} requests, {findings.forwarded:,} forwarded by us; faults {len(findings.serious)}, "
        f"laxer than a peer {len(findings.laxer)}, read differently {len(findings.other_reading)}"
    )
    for reason, count in findings.explained.most_common():
        console.print(f"  {count} explained: {reason}")
    for peer, count in findings.peers_serious.most_common():
        console.print(f"  {count} that {peer} forwarded in a form that our witness refuses")
    found = findings.serious + findings.laxer + findings.other_reading
    for line in found[:20]:
        console.print(line, markup=False, highlight=False)
    return 1 if found else 0


async def fail_over(options: argparse.Namespace, console: Console) -> list[Finding]:
    """kill -9 for --minutes, then a rolling restart of the gateways, then one of two doors."""
    seconds = options.minutes * 60
    found = await failover(seconds, options.every, signal.SIGKILL, console.print)
    found += await failover(min(seconds, 6 * options.every), options.every, signal.SIGTERM, console.print)
    return found + await exchange_doors(3, console.print)


def compare_hop(console: Console) -> int:
    found = uvloop.run(hop())
    table = Table("calls at a time", "runtime/http, CPU us", "aiohttp, CPU us", "saved us")
    for at_a_time, (mine, theirs) in found.items():
        table.add_row(str(at_a_time), f"{mine:.1f}", f"{theirs:.1f}", f"{theirs - mine:.1f}")
    console.print(table)
    return 0 if all(mine < theirs for mine, theirs in found.values()) else 1


def judge_scene(found: Sequence[Finding], console: Console) -> int:
    table = Table("", "measured", "")
    for finding in found:
        table.add_row(finding.what, finding.figure, "ok" if finding.good else "[red]missed[/red]")
    console.print(table)
    return 0 if all(finding.good for finding in found) else 1


def main(given: argparse.Namespace) -> int:
    """0: every number reached; 1: one was missed; 2: a program is missing."""
    try:
        return run(given, Console(width=140))
    except NotInstalled as missing:
        sys.stderr.write(f"scripts/bench lb: {missing}\n")
        return 2


def run(options: argparse.Namespace, console: Console) -> int:
    """What was asked for."""
    if options.failover:
        return judge_scene(uvloop.run(fail_over(options, console)), console)
    if options.hop:
        return compare_hop(console)
    if options.failing:
        return judge_scene(uvloop.run(all_failing(5000)), console)
    if options.silence:
        return judge_scene(uvloop.run(silence(2, 20.0, console.print)), console)
    if options.clients:
        return judge_scene(many_clients(options.clients, console.print), console)
    if options.limiter:
        return judge_scene(limiter(60.0), console)
    if options.soak:
        return judge_scene(soak(options.soak, console.print, options.wheel), console)
    if options.corpus:
        return uvloop.run(compare_corpus(console))
    if options.fuzz:
        return compare_fuzz(options, console)
    return compare_throughput(options, console)
