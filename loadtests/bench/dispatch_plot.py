"""Mean and p95 over load, by policy."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from loadtests.bench.dispatch_report import Table

matplotlib.use("Agg")
from matplotlib import pyplot


def plot(table: Table, path: Path) -> None:
    """Writes a PNG; nothing when all runs are saturated."""
    loads = [load for load in table.loads if load is not None]
    if not loads:
        return
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.5), sharex=True)
    for policy in table.policies:
        means = [table.mean(policy, load, lambda run: run.mean) for load in loads]
        p95s = [table.mean(policy, load, lambda run: run.p95) for load in loads]
        for axis, values in zip(axes, (means, p95s), strict=True):
            axis.plot(loads, values, marker="o", linewidth=2.5 if policy == "ours" else 1.2, label=policy)
    for axis, name in zip(axes, ("mean", "95th percentile"), strict=True):
        axis.set(xlabel="orders an hour", ylabel=f"minutes to delivery, {name}", yscale="log")
        axis.grid(visible=True, alpha=0.3)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
