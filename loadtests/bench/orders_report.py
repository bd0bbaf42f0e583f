"""The tables and the plot of `scripts/bench orders`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from loadtests.bench.arrivals import share
from loadtests.bench.orders_client import Outcome
from loadtests.bench.orders_cost import FIGURES, PURPOSES, Cost
from loadtests.bench.plots import picture
from loadtests.bench.running import print_table, say


@dataclass(frozen=True)
class Run:
    """One rate: what the client saw, and what it cost. `client_s`: CPU of the client; `took_s`: until the last delivery."""

    rate: float
    h_s: float
    outcome: Outcome
    cost: Cost
    client_s: float
    took_s: float

    @cached_property
    def cpu_ms(self) -> dict[str, float]:
        """Of an order, by service."""
        return self.cost.cpu_ms()

    @property
    def total_ms(self) -> float:
        """Of all processes."""
        return sum(self.cpu_ms.values())

    @property
    def client_ms(self) -> float:
        """Of the client, for an order."""
        return 1000 * self.client_s / max(1, len(self.outcome.created_s))

    def in_h(self, ms: float) -> float:
        """Milliseconds as a multiple of H."""
        return ms / 1000 / self.h_s

    @cached_property
    def figures(self) -> dict[str, float]:
        """What was counted for each order."""
        return {name: self.cost.an_order(prefix) for name, prefix in FIGURES.items()}

    @property
    def times_ms(self) -> dict[str, tuple[float, float, str]]:
        """p50, and a high percentile with its name."""
        outcome = self.outcome
        return {
            "POST": (*_spread(outcome.post_s, 0.99), "p99"),
            "created -> assigned": (*_spread(outcome.to_assigned_s(), 0.95), "p95"),
            "created -> ended": (*_spread(outcome.to_ended_s(), 0.95), "p95"),
        }


def _spread(values: list[float], high: float) -> tuple[float, float]:
    return 1000 * share(values, 0.5), 1000 * share(values, high)


def print_run(run: Run) -> None:
    """Tables on the terminal."""
    told = [(name, run.cpu_ms[name]) for name in sorted(run.cpu_ms, key=lambda name: -run.cpu_ms[name])]
    told += [("all", run.total_ms), ("(the client)", run.client_ms)]
    title = f"{run.rate:g} orders a second offered, {len(run.outcome.created_s)} accepted"
    costs = [(name, f"{ms:.2f}", f"{run.in_h(ms):.0f}") for name, ms in told]
    print_table(("CPU an order", "ms", "H"), costs, title)
    purposes = {f"{name}, ms of wall time": 1000 * run.cost.an_order(one) for name, one in PURPOSES.items()}
    figures = [(name, f"{value:.2f}") for name, value in (run.figures | purposes).items()]
    print_table(("what", "an order"), figures, "counted for each order, idle subtracted")
    for name, (middle, high, of) in run.times_ms.items():
        say(f"{name}: p50 {middle:.0f} ms, {of} {high:.0f} ms")
    outcome = run.outcome
    say(
        f"refused {outcome.refused or 0}, not ended {len(outcome.open_orders)}, resets {outcome.resets}, "
        f"read again {outcome.read_again}, {run.took_s:.0f} s"
    )


def markdown(runs: Sequence[Run]) -> str:
    """The budget of an order as a Markdown table."""
    names = [name for name in runs[0].cpu_ms if any(run.cpu_ms[name] >= 0.005 for run in runs)]

    def cost(run: Run, ms: float) -> str:
        return f"{ms:.2f} ({run.in_h(ms):.0f})"

    def times(run: Run, name: str) -> str:
        middle, high, _ = run.times_ms[name]
        return f"{middle:.0f}, {high:.0f}"

    table = [
        ["", *(f"{run.rate:g}/s" for run in runs)],
        ["---"] * (1 + len(runs)),
        ["H, us", *(f"{1e6 * run.h_s:.1f}" for run in runs)],
        ["POST p50, p99, ms", *(times(run, "POST") for run in runs)],
        ["created to assigned p50, p95, ms", *(times(run, "created -> assigned") for run in runs)],
        ["CPU an order, ms (H)", *(cost(run, run.total_ms) for run in runs)],
        *([name, *(cost(run, run.cpu_ms[name]) for run in runs)] for name in names),
        *([f"{name}, an order", *(f"{run.figures[name]:.2f}" for run in runs)] for name in FIGURES),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in table) + "\n"


def draw(runs: Sequence[Run], path: Path) -> None:
    """CPU of an order in H, by service, one bar a rate."""
    with picture(path, 1, 1, (9, 5)) as axes:
        bottom = [0.0] * len(runs)
        for name in runs[0].cpu_ms:
            values = [run.in_h(run.cpu_ms[name]) for run in runs]
            axes.bar([f"{run.rate:g}/s" for run in runs], values, bottom=bottom, label=name)
            bottom = [low + value for low, value in zip(bottom, values, strict=True)]
        axes.set_ylabel("CPU of an order, in H (one GET through HAProxy)")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
