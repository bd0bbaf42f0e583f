"""The command behind `scripts/simulate`."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Sequence
from types import FrameType

from dronedispatch.replication.rules import Rules, without
from dronedispatch.testing.simulation.campaign import campaign, why_idle
from dronedispatch.testing.simulation.run import simulate

EXAMPLES = """examples:
  scripts/simulate                          5,000 seeds, as in CI
  scripts/simulate --seeds 100000           the long campaign
  scripts/simulate --seed 4711              one seed again, with its journal
  scripts/simulate --rule-off 13 --seeds 10000   switch a rule off: how many seeds until that is noticed
rules:
"""
IDLE_SEEDS_MIN = 500
"""Campaigns from this size on must have met everything."""


def main(arguments: Sequence[str]) -> int:
    """0: no seed failed (with --rule-off: one did, as it should). 1: the opposite. 2: wrong arguments."""
    options = _options(arguments)
    try:
        without(options.rule_off)
    except ValueError as exc:
        _say(str(exc))
        return 2
    if options.seed is not None:
        return _one(options.seed, options.rule_off)
    before = signal.signal(signal.SIGTERM, _end)  # so that the worker processes end, too
    try:
        return _many(options)
    finally:
        signal.signal(signal.SIGTERM, before)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    rules = "\n".join(f"  {number:2}  {name}" for number, name in enumerate(Rules._fields, 1))
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description="Simulates whole store clusters, one per seed, and checks every answer for linearizability.",
        epilog=EXAMPLES + rules,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seeds", type=int, default=5_000, help="how many seeds (default: 5000)")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed (default: 0)")
    parser.add_argument("--seed", type=int, help="run this seed alone and print its journal")
    parser.add_argument("--rule-off", type=int, default=0, metavar="N", help="run without rule N (1..16)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)"
    )
    options = parser.parse_args(arguments)
    for name, low in (("seeds", 1), ("jobs", 1), ("first", 0), ("seed", 0)):
        given = getattr(options, name)
        if given is not None and given < low:
            parser.error(f"--{'from' if name == 'first' else name} must be at least {low}")
    return options


def _one(seed: int, rule_off: int) -> int:
    verdict = simulate(seed, without(rule_off), journal=True)
    for line in verdict.journal or ():
        _say(line)
    _say(f"seed {seed}: {verdict.operations} operations, {dict(verdict.counts)}")
    _say(f"safety:   {verdict.safety or 'every answer was possible'}")
    _say(f"liveness: {verdict.liveness or 'the cluster came back to full health'}")
    return 1 if verdict.safety or verdict.liveness else 0


def _many(options: argparse.Namespace) -> int:
    started_s, told_s = time.monotonic(), -math.inf  # the first part is told at once
    counts: Counter[str] = Counter()
    seeds = 0
    failures: list[tuple[int, str, str]] = []
    for part in campaign(options.first, options.seeds, jobs=options.jobs, rule_off=options.rule_off):
        seeds += part.seeds
        counts += part.counts
        found = [each for each in part.failures if each[1] == "safety" or not options.rule_off]
        for seed, kind, _ in found[: max(0, 3 - len(failures))]:
            _say(f"seed {seed}: {kind}; see it again: {_again(seed, options.rule_off)}")
        failures += found
        if options.rule_off and failures:
            break
        if time.monotonic() - told_s > 5.0:
            told_s = time.monotonic()
            _say(
                f"{seeds} of {options.seeds} seeds, {counts['operations']} operations, {len(failures)} failures"
            )
    took_s = time.monotonic() - started_s
    _say(f"{seeds} seeds, {counts['operations']} operations, {counts['events']} events in {took_s:.1f} s")
    if options.rule_off:
        return _rule_off(options.rule_off, failures)
    return _verdict(options, seeds, counts, failures)


def _rule_off(rule_off: int, failures: Sequence[tuple[int, str, str]]) -> int:
    name = Rules._fields[rule_off - 1]
    if not failures:
        _say(f"rule {rule_off} ({name}) is off and nothing noticed it")
        return 1
    _say(f"rule {rule_off} ({name}) is off and seed {min(failures)[0]} noticed it")
    return 0


def _verdict(
    options: argparse.Namespace, seeds: int, counts: Counter[str], failures: Sequence[tuple[int, str, str]]
) -> int:
    for word, times in sorted(counts.items()):
        _say(f"  {word:20} {times}")
    if failures:
        seed, kind, reason = min(failures)
        simulated = simulate(seed, journal=True)
        for line in simulated.journal or ():
            _say(line)
        _say(f"{kind} of seed {seed}: {reason}")
        _say(f"{len(failures)} failures; see this one again: {_again(seed, 0)}")
        return 1
    idle = why_idle(counts) if seeds >= IDLE_SEEDS_MIN else None
    if idle is not None:
        _say(f"no answer was wrong, but {idle}")
        return 1
    _say(f"no answer was wrong in {seeds} seeds, and every cluster came back to full health")
    return 0


def _again(seed: int, rule_off: int) -> str:
    return f"scripts/simulate --seed {seed}" + (f" --rule-off {rule_off}" if rule_off else "")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
