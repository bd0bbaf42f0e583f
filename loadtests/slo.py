"""What was promised, what was measured, and whether the one holds against the other. Pure, but for reading the data file."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

THRESHOLDS = Path(__file__).parent / "slo.toml"


@dataclass(frozen=True, slots=True)
class Slo:
    """See slo.toml for the units."""

    failures_share_max: float
    post_p95_ms_max: float
    to_assigned_p95_s_max: float
    to_delivered_p95_s_max: float
    orders_min: int
    offered_share_min: float


@dataclass(frozen=True, slots=True)
class Measured:
    """`to_assigned_s`, `to_delivered_s`: one entry an order; an order that is not there yet counts with its age.

    So a stuck order pulls the percentile up as soon as it is late, and a young one does no harm. `waiting`: how many
    of the entries of `to_delivered_s` are such ages. `offered_share`: of the rate that was asked for; None: nobody asked.
    `broken`: why the measurement itself is worth nothing.
    """

    requests: int | None  # None: not known to a passive watcher
    failures: int
    post_p95_ms: float | None
    to_assigned_s: Sequence[float]
    to_delivered_s: Sequence[float]
    waiting: int
    speed: float
    offered_share: float | None = None
    broken: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One threshold's verdict; `holds` None: nothing to judge. `valid` False: with it the whole run is worth nothing."""

    name: str
    measured: str
    threshold: str
    holds: bool | None
    valid: bool = True

    @property
    def word(self) -> str:
        """For people."""
        if not self.valid:
            return "INVALID"
        return {True: "ok", False: "VIOLATED", None: "no verdict"}[self.holds]


def load_slo(path: Path = THRESHOLDS) -> Slo:
    """Raises ValueError, which names the file and what is wrong with it."""
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        return Slo(**found)
    except (OSError, TypeError, tomllib.TOMLDecodeError) as exc:
        raise ValueError(f"{path}: {exc}") from exc


def percentile(values: Iterable[float], share: float) -> float | None:
    """Nearest rank: the smallest value that at least `share` of all do not exceed; None without values."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def mean(values: Sequence[float]) -> float | None:
    """None without values."""
    return sum(values) / len(values) if values else None


def spans(deliveries: Iterable[Mapping[str, Any]], now: datetime) -> tuple[list[float], list[float], int]:
    """(created -> assigned, created -> delivered, how many of the latter are ages) in seconds, cancelled ones left out.

    Assigned is when the order got its first drone: a later, better one is the dispatcher's business.
    """
    to_assigned: list[float] = []
    to_delivered: list[float] = []
    waiting = 0
    for delivery in deliveries:
        if delivery["status"] == "cancelled":
            continue
        created = _moment(delivery["created_at"])
        assert created is not None
        assigned, delivered = _first_assigned(delivery), _moment(delivery["delivered_at"])
        to_assigned.append(((assigned or now) - created).total_seconds())
        to_delivered.append(((delivered or now) - created).total_seconds())
        waiting += delivered is None
    return to_assigned, to_delivered, waiting


def judge(slo: Slo, measured: Measured) -> list[Line]:
    """One line for each threshold; before them, whether the run is worth a verdict."""
    lines = [Line("the run", reason, "whole", None, valid=False) for reason in measured.broken]
    if measured.offered_share is not None:
        lines.append(_offered(measured.offered_share, slo.offered_share_min))
    if measured.requests is not None:
        lines.append(_failed(measured.failures, measured.requests, slo.failures_share_max))
    lines.append(_limit("POST p95", measured.post_p95_ms, slo.post_p95_ms_max, "ms"))
    count = len(measured.to_assigned_s)
    enough = count >= slo.orders_min
    lines.append(Line("orders", str(count), f"at least {slo.orders_min}", True if enough else None))
    assigned = percentile(measured.to_assigned_s, 0.95) if enough else None
    delivered = percentile(measured.to_delivered_s, 0.95) if enough else None
    lines.append(_limit("created -> assigned p95", assigned, slo.to_assigned_p95_s_max, "s"))
    limit_s = slo.to_delivered_p95_s_max / measured.speed
    note = f", {measured.waiting} on the way" if measured.waiting else ""
    lines.append(_limit("created -> delivered p95", delivered, limit_s, "s", note))
    return lines


def exit_code(lines: Sequence[Line]) -> int:
    """0: all hold; 1: one is violated; 2: something could not be judged, or the run is invalid, whatever it measured."""
    if any(not line.valid for line in lines):
        return 2
    if any(line.holds is False for line in lines):
        return 1
    return 2 if any(line.holds is None for line in lines) else 0


def sentence(lines: Sequence[Line]) -> str:
    """The verdict in one line."""
    for wanted, said in (
        ("INVALID", "invalid, this run says nothing"),
        ("VIOLATED", "violated"),
        ("no verdict", "no verdict"),
    ):
        names = [f"{line.name} ({line.measured})" for line in lines if line.word == wanted]
        if names:
            return f"{said}: {', '.join(names)}"
    return "all thresholds hold"


def table(lines: Sequence[Line]) -> str:
    """For people."""
    rows = [("", "measured", "threshold", "")]
    rows += [(line.name, line.measured, line.threshold, line.word) for line in lines]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _limit(name: str, value: float | None, limit: float, unit: str, note: str = "") -> Line:
    text = "nothing measured" if value is None else f"{told_apart(value, limit)} {unit}{note}"
    return Line(name, text, f"{limit:g} {unit}", _within(value, limit))


def told_apart(value: float, limit: float) -> str:
    """`value` in three digits, or in as many as show on which side of `limit` it lies: 504 beside 500, 500.04 beside 500."""
    shown = f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    for digits in range(4, 18):
        if (float(shown) <= limit) == (value <= limit) and (float(shown) == limit) == (value == limit):
            return shown
        shown = f"{value:.{digits}g}"
    return shown


def _failed(failures: int, requests: int, limit: float) -> Line:
    share = failures / requests if requests else None
    text = (
        "no requests"
        if share is None
        else f"{told_apart(share * 100, limit * 100)}% ({failures} of {requests})"
    )
    return Line("failed requests", text, f"{limit:.3%}", _within(share, limit))


def _offered(share: float, least: float) -> Line:
    text = f"{told_apart(share * 100, least * 100)}% of what was asked for"
    holds = share >= least
    return Line("offered rate", text, f"at least {least:.0%}", holds, valid=holds)


def _within(value: float | None, limit: float) -> bool | None:
    return None if value is None else value <= limit


def _first_assigned(delivery: Mapping[str, Any]) -> datetime | None:
    for line in delivery["history"]:
        if line["to"] == "assigned":
            return _moment(line["at"])
    return None


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
