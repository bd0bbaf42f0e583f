"""The tables and the plot of `scripts/bench orders`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtests.bench.arrivals import share
from loadtests.bench.orders_client import Outcome
from loadtests.bench.orders_cost import FIGURES, PURPOSES, Cost
from loadtests.bench.plots import picture
from loadtests.bench.running import print_table, say


@dataclass(frozen=True)
class Row:
    """One rate. Times in milliseconds; `cpu_ms`, `figures` and `purposes_ms` are for each order, idle subtracted."""

    rate: float
    h_s: float
    accepted: int
    refused: Mapping[str, int]
    post_ms: tuple[float, float]
    assigned_ms: tuple[float, float]
    ended_ms: tuple[float, float]
    cpu_ms: Mapping[str, float]
    client_ms: float
    figures: Mapping[str, float]
    purposes_ms: Mapping[str, float]
    still_open: int
    resets: int
    read_again: int
    took_s: float

    @classmethod
    def of(
        cls,
        rate: float,
        outcome: Outcome,
        cost: Cost,
        idle_a_s: Callable[[str], float],
        h_s: float,
        client_ms: float,
        took_s: float,
    ) -> Row:
        """`idle_a_s`: what a counter grows by in an idle second."""

        def spread(values: list[float], high: float) -> tuple[float, float]:
            return 1000 * share(values, 0.5), 1000 * share(values, high)

        return cls(
            rate=rate,
            h_s=h_s,
            accepted=len(outcome.created_s),
            refused=outcome.refused,
            post_ms=spread(outcome.post_s, 0.99),
            assigned_ms=spread(outcome.to_assigned_s(), 0.95),
            ended_ms=spread(outcome.to_ended_s(), 0.95),
            cpu_ms=cost.cpu_ms(),
            client_ms=client_ms,
            figures={name: cost.an_order(prefix, idle_a_s(prefix)) for name, prefix in FIGURES.items()},
            purposes_ms={
                name: 1000 * cost.an_order(prefix, idle_a_s(prefix)) for name, prefix in PURPOSES.items()
            },
            still_open=len(outcome.open_orders),
            resets=outcome.resets,
            read_again=outcome.read_again,
            took_s=took_s,
        )

    @property
    def total_ms(self) -> float:
        """Of all processes."""
        return sum(self.cpu_ms.values())

    def in_h(self, ms: float) -> float:
        """Milliseconds as a multiple of H."""
        return ms / 1000 / self.h_s


def print_row(row: Row) -> None:
    """A table on the terminal."""
    told = [(name, row.cpu_ms[name]) for name in sorted(row.cpu_ms, key=lambda name: -row.cpu_ms[name])]
    told += [("all", row.total_ms), ("(the client)", row.client_ms)]
    title = f"{row.rate:g} orders a second offered, {row.accepted} accepted"
    costs = [(name, f"{ms:.2f}", f"{row.in_h(ms):.0f}") for name, ms in told]
    print_table(("CPU an order", "ms", "H"), costs, title)
    counted = {**row.figures, **{f"{name}, ms of wall time": ms for name, ms in row.purposes_ms.items()}}
    figures = [(name, f"{value:.2f}") for name, value in counted.items()]
    print_table(("what", "an order"), figures, "counted for each order, idle subtracted")
    for name, (middle, high), of in (
        ("POST", row.post_ms, "p99"),
        ("created -> assigned", row.assigned_ms, "p95"),
        ("created -> ended", row.ended_ms, "p95"),
    ):
        say(f"{name}: p50 {middle:.0f} ms, {of} {high:.0f} ms")
    say(
        f"refused {dict(row.refused) or 0}, not ended {row.still_open}, resets {row.resets}, "
        f"read again {row.read_again}, {row.took_s:.0f} s"
    )


def markdown(rows: Sequence[Row]) -> str:
    """The budget of an order as a Markdown table."""
    names = [name for name in rows[0].cpu_ms if any(row.cpu_ms[name] >= 0.005 for row in rows)]
    head = ["", *(f"{row.rate:g}/s" for row in rows)]
    lines: list[list[str]] = [
        ["H, us", *(f"{1e6 * row.h_s:.1f}" for row in rows)],
        ["POST p50, p99, ms", *(f"{row.post_ms[0]:.0f}, {row.post_ms[1]:.0f}" for row in rows)],
        [
            "created to assigned p50, p95, ms",
            *(f"{row.assigned_ms[0]:.0f}, {row.assigned_ms[1]:.0f}" for row in rows),
        ],
        ["CPU an order, ms (H)", *(f"{row.total_ms:.2f} ({row.in_h(row.total_ms):.0f})" for row in rows)],
    ]
    lines += [
        [name, *(f"{row.cpu_ms[name]:.2f} ({row.in_h(row.cpu_ms[name]):.0f})" for row in rows)]
        for name in names
    ]
    lines += [
        [f"{name}, an order", *(f"{row.figures[name]:.2f}" for row in rows)] for name in rows[0].figures
    ]
    table = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in table) + "\n"


def draw(rows: Sequence[Row], path: Path) -> None:
    """CPU of an order in H, by service, one bar a rate."""
    with picture(path, 1, 1, (9, 5)) as axes:
        bottom = [0.0] * len(rows)
        for name in rows[0].cpu_ms:
            values = [row.in_h(row.cpu_ms[name]) for row in rows]
            axes.bar([f"{row.rate:g}/s" for row in rows], values, bottom=bottom, label=name)
            bottom = [low + value for low, value in zip(bottom, values, strict=True)]
        axes.set_ylabel("CPU of an order, in H (one GET through HAProxy)")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
