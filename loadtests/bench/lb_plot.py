"""The plot of `scripts/bench lb`: what a request costs each proxy, and how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from loadtests.bench.lb_load import Measure
from loadtests.bench.plots import picture

COLOURS = (
    "#1f77b4",
    "#888888",
    "#bbbbbb",
    "#e8b4b4",
    "#9ecae1",
)  # ours stands out, the others are the background


def draw(rows: Sequence[Measure], ours: str, path: Path) -> None:
    """CPU above, p99 below; a pair of numbers over our bars says how many times HAProxy's they are."""
    with picture(path, 2, 1, (13, 9), sharex=True) as (above, below):
        above.set_title(
            "One core each, before the same three back ends, load x connections; numbers: times HAProxy's"
        )
        _bars(above, rows, ours, lambda row: row.cpu_us)
        above.set_ylabel("CPU for each request (sse: event), us")
        above.legend(loc="upper left")
        _bars(below, rows, ours, lambda row: row.p99_us)
        below.set_ylabel("p99 (sse: delay of an event), us")
        below.set_yscale("log")


def _bars(axes: Any, rows: Sequence[Measure], ours: str, figure: Callable[[Measure], float]) -> None:
    places = list(dict.fromkeys((row.load, row.connections) for row in rows))
    names = list(dict.fromkeys(row.peer for row in rows))
    by_row = {(row.peer, row.load, row.connections): figure(row) for row in rows}
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        found = [(at, by_row[name, *place]) for at, place in enumerate(places) if (name, *place) in by_row]
        at = [place + (number - (len(names) - 1) / 2) * width for place, _ in found]
        bars = axes.bar(
            at, [value for _, value in found], width, label=name, color=COLOURS[number % len(COLOURS)]
        )
        if name == ours:
            theirs = [by_row.get(("haproxy", *places[place]), float("nan")) for place, _ in found]
            ratios = [f"{value / other:.2f}" for (_, value), other in zip(found, theirs, strict=True)]
            axes.bar_label(bars, ratios, fontsize=8, padding=2)
    labels = [f"{load.replace(' at ', chr(10))}\nx {connections}" for load, connections in places]
    axes.set_xticks(range(len(places)), labels, fontsize=9)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
