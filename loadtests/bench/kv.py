"""scripts/bench kv: our store beside etcd, Consul KV and Redis, and the numbers that its promises are held to."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from loadtests.bench import kv_commit, kv_events, kv_kills
from loadtests.bench.kv_client import Outcome, Peer, Plan
from loadtests.bench.kv_peers import TOKEN, Peers
from loadtests.bench.kv_plot import plot
from loadtests.bench.runs import ARTIFACTS
from scripts.local.words import listed, one_of, positive

KEYS = 10_000
VALUE_BYTES = 300
CONNECTIONS = 64
PARTS = ("peers", "batch", "commit", "failover", "kills", "rejoin", "memory")
PROGRAMS = {"etcd": "etcd", "consul": "consul", "redis": "redis-server"}


def say(text: str) -> None:
    """One line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run_client(plan: Plan) -> Outcome:
    """One plan in a process of its own. Raises RuntimeError."""
    command = [sys.executable, "-m", "loadtests.bench.kv_client"]
    done = subprocess.run(
        command, input=msgspec.json.encode(plan), capture_output=True, check=False, timeout=300
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode()[-1_000:])
    try:
        return msgspec.json.decode(done.stdout, type=Outcome)
    except msgspec.DecodeError as error:
        said = f"{len(done.stdout)} bytes, the last {done.stdout[-80:]!r}; {done.stderr.decode()[-300:]!r}"
        raise RuntimeError(
            f"{plan.peer} {plan.verb}: the client's answer is unreadable ({error}): {said}"
        ) from error


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
    rates: dict[tuple[str, str], list[float]] = {}
    cpu_us: dict[tuple[str, str], list[float]] = {}
    latencies: dict[tuple[str, str], list[int]] = {}
    for peer in names:
        run_client(_plan(peers, peer, "put", 0.0, fill=True))
    for round_number in range(options.rounds):
        order = list(names) if round_number % 2 == 0 else list(reversed(names))
        for verb in ("put", "get"):
            for peer in order:
                before_s = peers.cpu_s(peer)
                outcome = run_client(_plan(peers, peer, verb, options.seconds, seed=round_number + 2))
                used_s = peers.cpu_s(peer) - before_s
                if outcome.errors:
                    raise RuntimeError(f"{peer} {verb}: {outcome.errors} wrong answers")
                key = (peer, verb)
                rates.setdefault(key, []).append(outcome.operations / outcome.seconds)
                cpu_us.setdefault(key, []).append(used_s / outcome.operations * 1e6)
                latencies.setdefault(key, []).extend(outcome.latencies_us)
    for (name, verb), found in sorted(rates.items()):
        ordered = sorted(latencies[name, verb])
        p50, p99 = (ordered[int(len(ordered) * share)] / 1_000 for share in (0.5, 0.99))
        cpu = statistics.median(cpu_us[name, verb])
        say(
            f"{name:<8}{verb}   {statistics.median(found):>9,.0f}/s (rounds {', '.join(f'{r:,.0f}' for r in found)})"
            f"   {cpu:5.0f} us CPU/op   p50 {p50:.2f} ms   p99 {p99:.2f} ms"
        )
    for peer in names:
        if peer == "ours":
            continue
        for verb in ("put", "get"):
            ratios = [
                mine / theirs for mine, theirs in zip(rates["ours", verb], rates[peer, verb], strict=True)
            ]
            least = 1.0 if peer == "etcd" else None
            figures.add(
                f"{verb.upper()}: ours / {peer} (median of the rounds' ratios)",
                statistics.median(ratios),
                "x",
                least=least,
            )
    plot(latencies, rates, cpu_us, out / "kv_peers.png")


def _plan(peers: Peers, peer: Peer, verb: Any, seconds: float, *, seed: int = 1, fill: bool = False) -> Plan:
    token = TOKEN if peer == "ours" else ""
    return Plan(
        peer, verb, peers.addresses[peer], CONNECTIONS, seconds, KEYS, VALUE_BYTES, token, seed, fill=fill
    )


def measure_batch(peers: Peers, options: Any, figures: Figures) -> None:
    """POST /kv/batch with 200 operations, 8 connections."""
    for verb, least in (("put", 15_000.0), ("get", 30_000.0)):
        rates = []
        for seed in range(options.rounds):
            plan = Plan(
                "ours",
                "put",
                peers.addresses["ours"],
                8,
                options.seconds,
                KEYS,
                VALUE_BYTES,
                TOKEN,
                seed + 1,
                200,
            )
            plan.verb = "put" if verb == "put" else "get"
            outcome = run_client(plan)
            rates.append(outcome.operations / outcome.seconds)
        figures.add(
            f"batched {verb.upper()}s (200 a request, 8 connections)",
            statistics.median(rates),
            "/s",
            least=least,
        )


def measure_commit(folder: Path, figures: Figures) -> None:
    """On the engine alone."""
    single = max(kv_commit.records_a_second(folder / "commit", 1) for _ in range(3))
    grouped = max(kv_commit.records_a_second(folder / "commit", 64) for _ in range(3))
    say(f"engine: {single:,.0f} records/s one by one, {grouped:,.0f} records/s in groups of 64")
    figures.add("group commit / one by one", grouped / single, "x", least=8.0)


async def measure_failover(peers: Peers, options: Any, figures: Figures) -> None:
    """The worst of several."""
    kills = [await kv_events.gap_after(peers, "kill") for _ in range(options.kills)]
    figures.add(
        f"gap without a write after kill -9 (worst of {len(kills)})", max(kills) * 1_000, "ms", most=500.0
    )
    pauses = [await kv_events.gap_after(peers, "pause") for _ in range(options.kills)]
    figures.add(
        f"gap without a write after SIGSTOP (worst of {len(pauses)})", max(pauses) * 1_000, "ms", most=1_500.0
    )


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
    worst = max(kv_events.anonymous_bytes(peers.replica(n).pid) for n in range(1, peers.replicas + 1))
    figures.add(f"RssAnon of a kvstore at {options.keys:,} keys (worst)", worst / 1e6, "MB", most=150.0)


def parsed(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench kv", description=__doc__)
    parser.add_argument(
        "--parts",
        type=listed(one_of(PARTS)),
        default=",".join(PARTS),
        help=f"of {', '.join(PARTS)} (default: all)",
    )
    parser.add_argument(
        "--peers",
        type=listed(one_of(PROGRAMS)),
        default="etcd,consul,redis",
        help="to compare with (default: all that are installed)",
    )
    parser.add_argument("--rounds", type=positive(int), default=5)
    parser.add_argument("--seconds", type=positive(float), default=4.0, help="of each measurement in a round")
    parser.add_argument("--replicas", type=positive(int), default=3)
    parser.add_argument("--fronts", type=positive(int), default=2)
    parser.add_argument("--rf", type=positive(int), default=2)
    parser.add_argument(
        "--kills", type=positive(int), default=5, help="of each kind in failover; cycles of kills"
    )
    parser.add_argument("--keys", type=positive(int), default=100_000, help="for rejoin and memory")
    parser.add_argument("--out", type=Path, default=ARTIFACTS / "kv")
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
