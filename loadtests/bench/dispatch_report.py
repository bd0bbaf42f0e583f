"""What a run measured, and tables of it: means over paired seeds, ratios with paired 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

import numpy as np
from loadtests.bench.dispatch_world import Simulation
from loadtests.bench.plots import picture
from scipy import stats

WARM_DELIVERIES = 150  # of a saturated run: the fleet starts full and spread out


@dataclass(frozen=True)
class Measured:
    """One run. Minutes, except where the name says otherwise; `load` None: saturation."""

    policy: str
    load: float | None
    seed: int
    per_hour: float
    to_assigned: float
    to_picked_up: float
    mean: float
    median: float
    p95: float
    longest: float
    oldest_over_mean: float
    empty_ratio: float
    in_an_hour: float  # share delivered within 60 min
    km_spread: float  # standard deviation over mean of the drones' kilometres
    stranded: int
    legs: int
    swaps_per_order: float
    round_p50_ms: float
    round_p99_ms: float
    never: int = 0  # orders that would wait for ever; no other figure counts them


def measure(policy: str, load: float | None, run: Simulation) -> Measured:
    """The figures of a finished run."""
    done = [life for life in run.lives if life.delivered_s is not None]
    waits = np.array([(life.delivered_s or 0.0) - life.created_s for life in done]) / 60.0
    assigned = [(life.assigned_s or 0.0) - life.created_s for life in done]
    picked = [(life.picked_s or 0.0) - life.created_s for life in done]
    ends = np.sort([life.delivered_s or 0.0 for life in done])
    warm = min(WARM_DELIVERIES, len(ends) // 3)
    per_hour = (len(ends) - warm - 1) / (ends[-1] - ends[warm]) * 3600.0
    kilometres = np.array([drone.empty_m + drone.loaded_m for drone in run.drones.values()])
    rounds_ms = np.array(run.round_s) * 1000.0
    return Measured(
        policy=policy,
        load=load,
        seed=run.scenario.seed,
        per_hour=float(per_hour),
        to_assigned=float(np.mean(assigned)) / 60.0,
        to_picked_up=float(np.mean(picked)) / 60.0,
        mean=float(waits.mean()),
        median=float(np.median(waits)),
        p95=float(np.percentile(waits, 95)),
        longest=float(waits.max()),
        oldest_over_mean=float(waits.max() / waits.mean()),
        empty_ratio=run.empty_ratio(),
        in_an_hour=float((waits <= 60.0).mean()),
        km_spread=float(kilometres.std() / kilometres.mean()),
        stranded=run.stranded,
        legs=run.flights,
        swaps_per_order=float(np.mean([life.undone for life in done])),
        round_p50_ms=float(np.percentile(rounds_ms, 50)),
        round_p99_ms=float(np.percentile(rounds_ms, 99)),
        never=run.never,
    )


@dataclass(frozen=True)
class Ratio:
    """Mean of the paired ratios, and half the width of its 95 % interval (nan for one seed)."""

    mean: float
    half: float

    def __str__(self) -> str:
        return f"{self.mean:.3f}" if math.isnan(self.half) else f"{self.mean:.3f} ± {self.half:.3f}"


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Seed by seed; both in the same order of seeds. Raises ValueError when the lengths differ or are 0."""
    if len(ours) != len(theirs) or not ours:
        raise ValueError("a paired ratio needs the same seeds on both sides")
    ratios = np.array(ours) / np.array(theirs)
    if len(ratios) == 1:
        return Ratio(float(ratios[0]), math.nan)
    quantile = stats.t.ppf(0.975, len(ratios) - 1)
    return Ratio(float(ratios.mean()), float(quantile * stats.sem(ratios)))


class Table:
    """All runs of a benchmark."""

    def __init__(self, runs: Sequence[Measured]) -> None:
        self.runs = list(runs)
        self.policies = list(dict.fromkeys(run.policy for run in runs))
        self.loads = list(dict.fromkeys(run.load for run in runs))

    def values(self, policy: str, load: float | None, figure: Callable[[Measured], float]) -> list[float]:
        found = [run for run in self.runs if run.policy == policy and run.load == load]
        return [figure(run) for run in sorted(found, key=lambda run: run.seed)]

    def mean(self, policy: str, load: float | None, figure: Callable[[Measured], float]) -> float:
        return float(np.mean(self.values(policy, load, figure)))

    def ratio(self, load: float | None, figure: Callable[[Measured], float], of: str, to: str) -> Ratio:
        return paired_ratio(self.values(of, load, figure), self.values(to, load, figure))

    def lines(self) -> list[str]:
        """Markdown: one table a load."""
        lines: list[str] = []
        head = (
            "| policy | per hour | empty | assigned | picked up | mean | median | p95 | max | max/mean |"
            " in 1 h | km spread | swaps | stranded | never | round p50, p99 ms |"
        )
        for load in self.loads:
            name = "saturation" if load is None else f"{load:g} orders an hour"
            lines += ["", f"### {name}", "", head, "|" + "---|" * 16]
            lines += [self._line(policy, load) for policy in self.policies]
        return lines

    def _line(self, policy: str, load: float | None) -> str:
        def of(figure: str) -> float:
            return self.mean(policy, load, attrgetter(figure))

        stranded = sum(self.values(policy, load, attrgetter("stranded")))
        never = sum(self.values(policy, load, attrgetter("never")))
        return (
            f"| {policy} | {of('per_hour'):.1f} | {of('empty_ratio'):.3f} | {of('to_assigned'):.1f} |"
            f" {of('to_picked_up'):.1f} | {of('mean'):.1f} | {of('median'):.1f} | {of('p95'):.1f} |"
            f" {of('longest'):.0f} | {of('oldest_over_mean'):.1f} | {of('in_an_hour'):.3f} |"
            f" {of('km_spread'):.2f} | {of('swaps_per_order'):.2f} | {stranded:g} | {never:g} |"
            f" {of('round_p50_ms'):.2f}, {of('round_p99_ms'):.2f} |"
        )

    def ratio_lines(self, ours: str) -> list[str]:
        """Ours over every other policy, by load: mean and p95 (below 1: ours is faster), deliveries an hour (above 1)."""
        lines = ["", f"### {ours} over each other, paired by seed, ± 95 %", ""]
        others = [policy for policy in self.policies if policy != ours]
        lines += ["| load | figure | " + " | ".join(others) + " |", "|" + "---|" * (2 + len(others))]
        for load in self.loads:
            for name in ("per_hour",) if load is None else ("mean", "p95"):
                cells = [str(self.ratio(load, attrgetter(name), ours, other)) for other in others]
                first = "saturation" if load is None else f"{load:g}"
                lines.append(f"| {first} | {name.replace('_', ' ')} | {' | '.join(cells)} |")
        return lines

    def plot(self, path: Path) -> None:
        """Mean and p95 over load, by policy, as a PNG; nothing when all runs are saturated."""
        loads = [load for load in self.loads if load is not None]
        if not loads:
            return
        with picture(path, 1, 2, (11, 4.5), sharex=True) as axes:
            for axis, name, figure in zip(axes, ("mean", "95th percentile"), ("mean", "p95"), strict=True):
                for policy in self.policies:
                    values = [self.mean(policy, load, attrgetter(figure)) for load in loads]
                    width = 2.5 if policy == "ours" else 1.2
                    axis.plot(loads, values, marker="o", linewidth=width, label=policy)
                axis.set(xlabel="orders an hour", ylabel=f"minutes to delivery, {name}", yscale="log")
                axis.grid(visible=True, alpha=0.3)
            axes[0].legend()
