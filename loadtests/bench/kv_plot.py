"""The comparison as a picture: operations a second, CPU an operation, and the distribution of latencies."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

Table = Mapping[tuple[str, str], Sequence[float]]


def plot(
    latencies_us: Mapping[tuple[str, str], Sequence[int]], rates: Table, cpu_us: Table, path: Path
) -> None:
    """Write the PNG."""
    figure, axes = pyplot.subplots(2, 2, figsize=(13, 9))
    peers = sorted({peer for peer, _ in rates}, key=lambda peer: (peer != "ours", peer))
    for column, (table, title) in enumerate(
        ((rates, "operations a second"), (cpu_us, "CPU an operation, us"))
    ):
        for place, verb in enumerate(("put", "get")):
            values = [statistics.median(table[peer, verb]) for peer in peers]
            bars = axes[0][column].bar(
                [n + place * 0.4 for n in range(len(peers))], values, 0.38, label=verb.upper()
            )
            axes[0][column].bar_label(bars, fmt="{:,.0f}", fontsize=8)
        axes[0][column].set_xticks([n + 0.2 for n in range(len(peers))], peers)
        axes[0][column].set_title(title)
        axes[0][column].legend()
    for column, verb in enumerate(("put", "get")):
        for peer in peers:
            milliseconds = [latency / 1_000 for latency in latencies_us[peer, verb]]
            axes[1][column].hist(
                milliseconds, bins=200, range=(0, 25), histtype="step", density=True, label=peer
            )
        axes[1][column].set_title(f"{verb.upper()} latency, ms (64 connections)")
        axes[1][column].legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
