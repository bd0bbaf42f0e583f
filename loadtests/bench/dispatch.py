"""Our dispatcher and the baselines in virtual time, on paired seeds: tables, ratios with intervals, plots.

The world of every run is dispatch_world.py's; the policies are dispatch_baselines.py's and the production core.
Results go to the `--out` folder: `dispatch.md`, `dispatch.json` and, with matplotlib, `dispatch.png`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
from loadtests.bench import dispatch_log
from loadtests.bench.dispatch_baselines import BASELINES, OURS
from loadtests.bench.dispatch_demand import Scenario, benchmark_flight, demand
from loadtests.bench.dispatch_hindsight import hindsight_lines
from loadtests.bench.dispatch_log import Case
from loadtests.bench.dispatch_report import Measured, Table, measure
from loadtests.bench.dispatch_scale import growth_exponent, time_kept, time_rounds
from loadtests.bench.dispatch_world import simulate
from loadtests.bench.runs import ARTIFACTS
from scripts.local.words import positive

from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.fleet.city import City, default_city

LOADS = (12.0, 18.0, 24.0, 30.0, 36.0, 42.0)
OURS_NAME = "ours"
BACKLOG_PER_DRONE = 2  # orders that always wait, in a saturated run
KEPT_DRONES = 3_000
DRONES_OF_LOADS = 18  # the loads are for so many drones, and grow with the fleet


def city_of(case: Case) -> City:
    """Rome; without a number of chargers every drone finds a place."""
    city = default_city() if case.no_fly else default_city().open_sky()
    return city.with_capacity(case.drones if case.chargers is None else case.chargers)


def scenario_of(case: Case) -> Scenario:
    """The same orders and starts for every policy of one seed and load."""
    city, scale = city_of(case), case.drones / DRONES_OF_LOADS
    rng = np.random.default_rng([case.seed, 1])
    orders = demand(city, rng, case.orders, (case.load or 60.0) * scale, clustered=case.clustered)
    backlog = BACKLOG_PER_DRONE * case.drones if case.load is None else None
    return Scenario(city, benchmark_flight(), case.drones, orders, case.seed, backlog=backlog)


def run_case(case: Case) -> Measured:
    """Simulate it to the end of its orders; a saturated run ends while its backlog is still full."""
    scenario = scenario_of(case)
    until = None if scenario.backlog is None else case.orders - scenario.backlog
    policy = OURS if case.policy == OURS_NAME else BASELINES[case.policy]()
    tuning = Tuning(autoscale=False, swap_guard_s=30.0)
    return measure(case.policy, case.load, simulate(scenario, policy, tuning, until_delivered=until))


def cases_of(args: argparse.Namespace) -> list[Case]:
    """Seed by seed, so that an interrupted benchmark has whole pairs."""
    loads: list[float | None] = [*args.loads, *([] if args.no_saturation else [None])]
    return [
        Case(policy, load, seed, args.orders, args.drones, args.clustered, args.no_fly, args.chargers)
        for seed in range(args.first_seed, args.first_seed + args.seeds)
        for load in loads
        for policy in args.policies
    ]


def run_all(cases: Sequence[Case], workers: int, log: Path, *, resume: bool = False) -> list[Measured]:
    """With a line of progress for every twentieth run; each result goes to `log` at once. `resume`: what it has is kept."""
    code = dispatch_log.code_digest()
    runs = dispatch_log.known(log, cases, code) if resume else {}
    missing = [case for case in cases if case not in runs]
    if resume:
        print(f"{len(runs)} of {len(cases)} runs are known", file=sys.stderr, flush=True)
    with ProcessPoolExecutor(workers) as pool, log.open("a" if resume else "w") as lines:
        for case, measured in zip(missing, pool.map(run_case, missing), strict=True):
            runs[case] = measured
            dispatch_log.write(lines, case, measured, code)
            if len(runs) % 20 == 0 or len(runs) == len(cases):
                print(f"{len(runs)} of {len(cases)} runs", file=sys.stderr, flush=True)
    return [runs[case] for case in cases]


def parsed(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench dispatch", description=__doc__)
    names = [*BASELINES, OURS_NAME]
    add = parser.add_argument
    flag = partial(add, action="store_true")
    add("--seeds", type=positive(int), default=50)
    add("--first-seed", type=int, default=0)
    add("--orders", type=positive(int), default=900)
    add("--drones", type=positive(int), default=DRONES_OF_LOADS)
    load = positive(float)
    add("--loads", type=load, nargs="*", default=list(LOADS), help="orders an hour for 18 drones")
    add("--policies", nargs="+", choices=names, default=names)
    flag("--no-saturation")
    flag("--clustered", help="demand in quarters instead of uniform")
    flag("--no-fly", help="with the no-fly areas of the default city")
    add("--chargers", type=positive(int), help="places a charge point (default: no limit)")
    add("--hindsight", type=int, default=0, metavar="SEEDS", help="compare with all orders known")
    flag("--scale", help="time a round at 1,000 and 10,000 drones as well")
    add("--workers", type=positive(int), default=1)
    flag("--resume", help="keep the results of an interrupted benchmark in --out")
    add("--out", type=Path, default=ARTIFACTS / "dispatch")
    return parser.parse_args(words)


def scale_lines() -> list[str]:
    """CPU of a round as the fleet grows; of the smaller fleets so many rounds that a p99 is more than the slowest."""
    timings = [time_rounds(n, n // 2, max(20, 300_000 // n)) for n in (1_000, 3_000, 10_000)]
    lines = ["", "### CPU of one round", "", "| drones | pending | p50 ms | p99 ms |", "|---|---|---|---|"]
    lines += [f"| {t.drones} | {t.pending} | {t.p50_ms:.1f} | {t.p99_ms:.1f} |" for t in timings]
    afresh_ms, kept_ms = time_kept(KEPT_DRONES, 100)
    return [
        *lines,
        "",
        f"growth: n^{growth_exponent(timings):.2f}",
        "",
        f"{KEPT_DRONES} drones of which few change: {afresh_ms:.1f} ms, with what the last round has kept {kept_ms:.1f} ms",
    ]


def main(args: argparse.Namespace) -> int:
    """Returns 1 when a drone was stranded, or an order of ours never delivered: that is no matter of figures."""
    args.out.mkdir(parents=True, exist_ok=True)
    demand_name = "clustered" if args.clustered else "uniform"
    lines = [
        f"# Dispatch: {args.seeds} paired seeds, {args.orders} orders, {args.drones} drones, {demand_name} demand",
    ]
    log = args.out / "dispatch.jsonl"
    table = Table(run_all(cases_of(args), args.workers, log, resume=args.resume))
    if table.runs:
        lines += table.lines()
        (args.out / "dispatch.json").write_text(json.dumps([asdict(run) for run in table.runs], indent=1))
        if OURS_NAME in table.policies:
            lines += table.ratio_lines(OURS_NAME)
        table.plot(args.out / "dispatch.png")
    if args.hindsight:
        lines += hindsight_lines(args.hindsight, args.first_seed)
    if args.scale:
        lines += scale_lines()
    text = "\n".join(lines) + "\n"
    (args.out / "dispatch.md").write_text(text)
    print(text)
    wrong = any(run.stranded or (run.never and run.policy == OURS_NAME) for run in table.runs)
    return 1 if wrong else 0
