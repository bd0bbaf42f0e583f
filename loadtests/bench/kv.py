"""scripts/bench kv: our store beside etcd, Consul KV and Redis, and the numbers that its promises are held to."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from loadtests.bench import kv_commit, kv_events, kv_kills, kv_load
from loadtests.bench.kv_load import VERBS, Peer, Round, Verb
from loadtests.bench.kv_peers import Peers
from loadtests.bench.plots import picture
from loadtests.bench.running import say
from loadtests.bench.runs import ARTIFACTS
from scripts.local.words import listed, one_of, positive

PARTS = ("peers", "batch", "commit", "failover", "kills", "rejoin", "memory")
PROGRAMS = {"etcd": "etcd", "consul": "consul", "redis": "redis-server"}
ETCD_TIMES_MIN: dict[Verb, float] = {"put": 1.1, "get": 3.5}
Found = dict[tuple[Peer, Verb], list[tuple[Round, float]]]
"""The rounds of each peer, each with its CPU microseconds an operation."""


class Figures:
    """What was measured, each with the bound that it is held to."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, float, str, float | None, bool | None]] = []

    def add(
        self, name: str, value: float, unit: str, *, least: float | None = None, most: float | None = None
    ) -> None:
        """Note and print one figure; `least` and `most` are the issue's bounds."""
        fine = None
        if least is not None or most is not None:
            fine = (least is None or value >= least) and (most is None or value <= most)
        bound = least if least is not None else most
        self.rows.append((name, value, unit, bound, fine))
        word = "" if fine is None else f"   {'ok' if fine else 'MISSED'} (bound {bound:g})"
        say(f"{name:<58}{value:>12,.2f} {unit}{word}")


def measure_peers(peers: Peers, names: Sequence[Peer], options: Any, figures: Figures, out: Path) -> None:
    """Alternating rounds of PUTs and GETs, each peer with its own data on the same disk."""
    found: Found = {(peer, verb): [] for peer in names for verb in VERBS}
    for peer in names:
        kv_load.fill(peer, peers.ports[peer])
    for number in range(options.rounds):
        order = names if number % 2 == 0 else names[::-1]
        for verb, peer in ((verb, peer) for verb in VERBS for peer in order):
            before_s = peers.cpu_s(peer)
            told = kv_load.measure(peer, verb, peers.ports[peer], options.seconds)
            if told.errors:
                raise RuntimeError(f"{peer} {verb}: {told.errors} wrong answers")
            found[peer, verb].append((told, (peers.cpu_s(peer) - before_s) / told.operations * 1e6))
    for (name, verb), rounds in sorted(found.items()):
        per_s, cpu_us, p50, p99 = _medians(rounds)
        say(
            f"{name:<8}{verb}   {per_s:>9,.0f}/s (rounds {', '.join(f'{one.per_s:,.0f}' for one, _ in rounds)})"
            f"   {cpu_us:5.0f} us CPU/op   p50 {p50:.2f} ms   p99 {p99:.2f} ms"
        )
    for peer, verb in ((peer, verb) for peer in names if peer != "ours" for verb in VERBS):
        pairs = zip(found["ours", verb], found[peer, verb], strict=True)
        ratio = statistics.median(mine.per_s / theirs.per_s for (mine, _), (theirs, _) in pairs)
        least = ETCD_TIMES_MIN[verb] if peer == "etcd" else None
        figures.add(f"{verb.upper()}: ours / {peer} (median of the rounds' ratios)", ratio, "x", least=least)
    plot(found, names, out / "kv_peers.png")


def _medians(rounds: Iterable[tuple[Round, float]]) -> list[float]:
    """Of operations a second, CPU an operation, p50 and p99."""
    figures = ((one.per_s, cpu_us, one.p50_ms, one.p99_ms) for one, cpu_us in rounds)
    return [statistics.median(some) for some in zip(*figures, strict=True)]


def plot(found: Found, names: Sequence[Peer], path: Path) -> None:
    """Each figure of each peer."""
    titles = ("operations a second", "CPU an operation, us", "p50, ms", "p99, ms")
    with picture(path, 2, 2, (13, 9)) as axes:
        for number, (plot, title) in enumerate(zip(axes.flat, titles, strict=True)):
            for place, verb in enumerate(VERBS):
                values = [_medians(found[peer, verb])[number] for peer in names]
                bars = plot.bar(
                    [n + place * 0.4 for n in range(len(names))], values, 0.38, label=verb.upper()
                )
                plot.bar_label(bars, fmt="{:,.4g}", fontsize=8)
            plot.set_xticks([n + 0.2 for n in range(len(names))], names)
            plot.set_title(title)
            plot.legend()


def measure_batch(peers: Peers, options: Any, figures: Figures) -> None:
    """POST /kv/batch with 200 operations, 8 connections."""
    for verb, least in zip(VERBS, (15_000.0, 30_000.0), strict=True):
        ports = peers.ports["ours"]
        rounds = [kv_load.measure_batches(verb, ports, options.seconds) for _ in range(options.rounds)]
        name = f"batched {verb.upper()}s (200 a request, 8 connections)"
        figures.add(name, statistics.median(one.per_s for one in rounds), "/s", least=least)


def measure_commit(folder: Path, figures: Figures) -> None:
    """On the engine alone."""
    single = max(kv_commit.records_a_second(folder / "commit", 1) for _ in range(3))
    grouped = max(kv_commit.records_a_second(folder / "commit", 64) for _ in range(3))
    say(f"engine: {single:,.0f} records/s one by one, {grouped:,.0f} records/s in groups of 64")
    figures.add("group commit / one by one", grouped / single, "x", least=8.0)


async def measure_failover(peers: Peers, options: Any, figures: Figures) -> None:
    """The worst of several."""
    for how, word, most_ms in (("kill", "kill -9", 500.0), ("pause", "SIGSTOP", 1_500.0)):
        gaps = [await kv_events.gap_after(peers, how) for _ in range(options.kills)]
        name = f"gap without a write after {word} (worst of {len(gaps)})"
        figures.add(name, max(gaps) * 1_000, "ms", most=most_ms)


async def measure_kills(peers: Peers, options: Any, figures: Figures) -> None:
    """Acknowledged writes after many deaths."""
    verdict = await kv_kills.kill_cycles(peers, options.kills, say)
    for line in verdict.lost[:20]:
        say(f"LOST {line}")
    counts = verdict.counts
    say(
        f"{counts.successes:,} writes acknowledged, {counts.unknown:,} unknown, {counts.refused:,} refused;"
        f" {verdict.checked:,} comparisons"
    )
    figures.add(
        f"acknowledged writes lost in {options.kills} kill -9 cycles", len(verdict.lost), "", most=0.0
    )
    figures.add("writes with an unknown outcome", 100.0 * counts.unknown / counts.writes, "%", most=5.0)


async def measure_rejoin(peers: Peers, options: Any, figures: Figures) -> None:
    """All keys are new when the replica comes back."""
    seconds = await kv_events.fill(peers, options.keys)
    say(f"filled {options.keys:,} keys in {seconds:.1f} s")
    joined_s, gap_s = await kv_events.rejoin(peers, options.keys)
    figures.add(f"in sync again, {options.keys:,} keys behind", joined_s, "s", most=10.0)
    figures.add("longest write gap while it joined", gap_s * 1_000, "ms", most=150.0)


def measure_memory(peers: Peers, options: Any, figures: Figures) -> None:
    """After everything else, so after all the traffic."""
    asyncio.run(kv_events.fill(peers, options.keys))
    worst = max(kv_events.anonymous_bytes(one.pid) for one in peers.replicas.values())
    figures.add(f"RssAnon of a kvstore at {options.keys:,} keys (worst)", worst / 1e6, "MB", most=150.0)


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench kv", description=__doc__)
    add = parser.add_argument
    count, every = positive(int), ",".join(PARTS)
    add("--parts", type=listed(one_of(PARTS)), default=every, help=f"of {', '.join(PARTS)} (default: all)")
    add(
        "--peers",
        type=listed(one_of(PROGRAMS)),
        default="etcd,consul,redis",
        help="to compare with (default: all that are installed)",
    )
    add("--rounds", type=count, default=5)
    add("--seconds", type=positive(float), default=4.0, help="of each measurement in a round")
    add("--replicas", type=count, default=3)
    add("--fronts", type=count, default=2)
    add("--rf", type=count, default=2)
    add("--kills", type=count, default=5, help="of each kind in failover; cycles of kills")
    add("--keys", type=count, default=100_000, help="for rejoin and memory")
    add("--out", type=Path, default=ARTIFACTS / "kv")
    return parser.parse_args(words)


def main(options: argparse.Namespace) -> int:
    """0: every bound was kept. 1: some was missed."""
    options.out.mkdir(parents=True, exist_ok=True)
    wanted = set(options.parts)
    others: list[Peer] = [peer for peer in options.peers if _installed(peer)]
    figures = Figures()
    folder = Path(tempfile.mkdtemp(prefix="dd-bench-kv-", dir=options.out))
    peers = Peers(folder / "peers", rf=options.rf, replicas=options.replicas, fronts=options.fronts)
    layout = f"{options.replicas} kvstores, {options.fronts} kvfronts"
    say(f"our store: {layout}; each write is synced on {options.rf} disks")
    steps: dict[str, Callable[[], object]] = {
        "peers": lambda: measure_peers(peers, ["ours", *others], options, figures, options.out),
        "batch": lambda: measure_batch(peers, options, figures),
        "commit": lambda: measure_commit(folder, figures),
        "failover": lambda: asyncio.run(measure_failover(peers, options, figures)),
        "kills": lambda: asyncio.run(measure_kills(peers, options, figures)),
        "rejoin": lambda: asyncio.run(measure_rejoin(peers, options, figures)),
        "memory": lambda: measure_memory(peers, options, figures),
    }
    try:
        peers.start(["ours", *(others if "peers" in wanted else [])])
        for name in PARTS:
            if name in wanted:
                steps[name]()
    finally:
        peers.stop()
        shutil.rmtree(folder, ignore_errors=True)
    (options.out / "figures.json").write_bytes(msgspec.json.encode(figures.rows))
    missed = [row[0] for row in figures.rows if row[4] is False]
    say("every bound kept" if not missed else f"missed: {'; '.join(missed)}")
    return 1 if missed else 0


def _installed(peer: str) -> bool:
    if shutil.which(PROGRAMS[peer]) is None:
        say(f"{peer} is not installed: left out")
        return False
    return True
