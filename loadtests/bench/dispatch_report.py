"""What a run measured, and tables of it: means over paired seeds, ratios with paired 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from loadtests.bench.dispatch_world import Simulation

WARM_DELIVERIES = 150  # of a saturated run: the fleet starts full and spread out
# 97.5 % quantiles of Student's t for 1..30 degrees of freedom; the normal one beyond
T_QUANTILES = (
    12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13,
    2.12, 2.11, 2.10, 2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04,
)  # fmt: skip


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
    freedom = len(ratios) - 1
    quantile = T_QUANTILES[freedom - 1] if freedom <= len(T_QUANTILES) else 1.96
    return Ratio(float(ratios.mean()), quantile * float(ratios.std(ddof=1)) / math.sqrt(len(ratios)))


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
            return self.mean(policy, load, lambda run: float(getattr(run, figure)))

        stranded = sum(int(n) for n in self.values(policy, load, lambda run: run.stranded))
        never = sum(int(n) for n in self.values(policy, load, lambda run: run.never))
        return (
            f"| {policy} | {of('per_hour'):.1f} | {of('empty_ratio'):.3f} | {of('to_assigned'):.1f} |"
            f" {of('to_picked_up'):.1f} | {of('mean'):.1f} | {of('median'):.1f} | {of('p95'):.1f} |"
            f" {of('longest'):.0f} | {of('oldest_over_mean'):.1f} | {of('in_an_hour'):.3f} |"
            f" {of('km_spread'):.2f} | {of('swaps_per_order'):.2f} | {stranded} | {never} |"
            f" {of('round_p50_ms'):.2f}, {of('round_p99_ms'):.2f} |"
        )

    def ratio_lines(self, ours: str) -> list[str]:
        """Ours over every other policy, by load: mean and p95 (below 1: ours is faster), deliveries an hour (above 1)."""
        lines = ["", f"### {ours} over each other, paired by seed, ± 95 %", ""]
        others = [policy for policy in self.policies if policy != ours]
        lines += ["| load | figure | " + " | ".join(others) + " |", "|" + "---|" * (2 + len(others))]
        figures: Mapping[str, Callable[[Measured], float]] = {
            "mean": lambda run: run.mean,
            "p95": lambda run: run.p95,
            "per hour": lambda run: run.per_hour,
        }
        for load in self.loads:
            for name, figure in figures.items():
                if (name == "per hour") != (load is None):
                    continue
                cells = [str(self.ratio(load, figure, ours, other)) for other in others]
                lines.append(
                    f"| {'saturation' if load is None else f'{load:g}'} | {name} | "
                    + " | ".join(cells)
                    + " |"
                )
        return lines

    def as_rows(self) -> list[dict[str, object]]:
        return [asdict(run) for run in self.runs]
