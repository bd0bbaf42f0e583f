"""The figures of the last hours: one small record a minute in the store, and the points that a reader asks for.

What is counted (orders, ends) belongs to the minute in which it happened. What stands (open orders, drones) is as of the
minute's end. A minute that nobody recorded is unknown: it is in no sum, and a point made of such minutes alone is null.
"""

from __future__ import annotations

import csv
import io
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dronedispatch.fleet.deliveries import DeliveryStatus
from dronedispatch.fleet.documents import encode, stamp, unstamp
from dronedispatch.fleet.drones import DroneStatus
from dronedispatch.gateway.core.fields import Moment
from dronedispatch.gateway.core.parameters import parameters
from dronedispatch.gateway.core.refusal import BadParameter

FIGURES_PREFIX = "figures:"
MINUTE_S = 60
KEPT_MINUTES = 7 * 24 * 60
POINTS_MAX = 1500
SPAN_DEFAULT_S = 3 * 3600
FIRST_S = unstamp("0001-01-01T00:00:00Z")  # of what our stamps can say
POINTS_DEFAULT = 360  # without a `step`, the shortest of STEPS_S that makes no more
STEPS_S = (60, 300, 600, 1800, 3600, 21_600, 86_400)
STEP_MAX_S = STEPS_S[-1]
FLOWS_KEPT = 10  # minutes whose events are remembered until they are recorded


class FigureMinute(msgspec.Struct, frozen=True, kw_only=True):
    """As stored. `minute`: of the UTC epoch. Times are sums in seconds, over `assignments` and `delivered` orders.

    `whole`: the gateway that recorded it heard every change of this minute; else what ended unheard may be missing.
    """

    minute: int
    pending: int
    assigned: int
    in_progress: int
    orders: int
    assignments: int
    delivered: int
    cancelled: int
    failed: int
    to_assign_s: float
    to_deliver_s: float
    drones: dict[str, int]
    whole: bool


class FiguresPoint(msgspec.Struct, frozen=True, kw_only=True):
    """A step that begins `at`. Counts are over the step; open orders and drones are as of its last recorded minute.

    `minutes`: how many of its minutes were recorded; 0: nothing is known, all is null. `whole`: nothing may be missing
    from the counts. Means in seconds over the orders that came to it in this step; null: none did.
    """

    at: str
    minutes: int
    whole: bool
    pending: int | None
    assigned: int | None
    in_progress: int | None
    orders: int | None
    delivered: int | None
    cancelled: int | None
    failed: int | None
    to_assign_mean_s: float | None
    to_deliver_mean_s: float | None
    drones: dict[str, int] | None


class FiguresSeries(msgspec.Struct, frozen=True, kw_only=True):
    """The figures of the past, oldest first: every step of the span has its point."""

    from_: str = msgspec.field(name="from")
    to: str
    step_s: int
    points: list[FiguresPoint]


def _why_no_step(step: int) -> str | None:
    return None if step % MINUTE_S == 0 else f"is {step}, which is no whole number of minutes"


Step = Annotated[
    int,
    Meta(
        ge=MINUTE_S,
        le=STEP_MAX_S,
        multiple_of=MINUTE_S,
        description=f"Seconds a point; a span has at most {POINTS_MAX:,} points",
        extra={"check": _why_no_step},
    ),
]


class FiguresParameters(msgspec.Struct, frozen=True, kw_only=True):
    """GET /figures: with any of these, the past."""

    from_: (
        Annotated[Moment, Meta(description="Begin of the span; 3 hours before its end if not given")]
        | UnsetType
    ) = msgspec.field(default=UNSET, name="from")
    to: Annotated[Moment, Meta(description="End of the span; now if not given")] | UnsetType = UNSET
    step: Step | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class HistoryQuery:
    """UTC epoch seconds on the grid of `step_s`: `to_s` is not in it any more."""

    from_s: int
    to_s: int
    step_s: int


def history_query(args: Mapping[str, Sequence[str]], now_s: float) -> HistoryQuery:
    """Raises BadParameter, which names what is wrong."""
    found = parameters(FiguresParameters, args)
    to_s = now_s if isinstance(found.to, UnsetType) else min(now_s, unstamp(found.to.upper()))
    begin_s = max(FIRST_S, to_s - SPAN_DEFAULT_S)
    from_s = begin_s if isinstance(found.from_, UnsetType) else unstamp(found.from_.upper())
    if not from_s < to_s:
        raise BadParameter("from", "is not before `to`, and not before now")
    span_s = to_s - from_s
    if not isinstance(found.step, UnsetType):
        step_s = found.step
        if span_s / step_s > POINTS_MAX - 1:
            least_s = -(-int(span_s) // (POINTS_MAX - 1) // MINUTE_S) * MINUTE_S + MINUTE_S
            hint = f"a step of {least_s} or more" if least_s <= STEP_MAX_S else "a shorter span"
            raise BadParameter("step", f"makes more than {POINTS_MAX} points of this span: ask for {hint}")
    else:
        step_s = next((one for one in STEPS_S if span_s / one <= POINTS_DEFAULT), STEP_MAX_S)
        if span_s / step_s > POINTS_MAX - 1:
            raise BadParameter("from", f"makes a span of more than {POINTS_MAX} days")
    first_s = int(from_s // step_s) * step_s
    return HistoryQuery(first_s, max(first_s, int(-(-to_s // step_s)) * step_s), step_s)


def figures_key(minute: int) -> str:
    """Keys sort as minutes do."""
    return f"{FIGURES_PREFIX}{max(0, minute):010d}"


def series(query: HistoryQuery, minutes: Iterable[FigureMinute]) -> FiguresSeries:
    """The points of `query` from what is stored of it."""
    steps: dict[int, list[FigureMinute]] = {}
    for one in minutes:
        steps.setdefault(one.minute * MINUTE_S // query.step_s * query.step_s, []).append(one)
    points = [
        _point(at_s, steps.get(at_s, []), query.step_s // MINUTE_S)
        for at_s in range(query.from_s, query.to_s, query.step_s)
    ]
    return FiguresSeries(from_=stamp(query.from_s), to=stamp(query.to_s), step_s=query.step_s, points=points)


def _point(at_s: int, minutes: list[FigureMinute], expected: int) -> FiguresPoint:
    known = bool(minutes)
    last = max(minutes, key=lambda one: one.minute) if known else None

    def total(name: str) -> int | None:
        return sum(getattr(one, name) for one in minutes) if known else None

    return FiguresPoint(
        at=stamp(at_s),
        minutes=len(minutes),
        whole=len(minutes) == expected and all(one.whole for one in minutes),
        pending=None if last is None else last.pending,
        assigned=None if last is None else last.assigned,
        in_progress=None if last is None else last.in_progress,
        orders=total("orders"),
        delivered=total("delivered"),
        cancelled=total("cancelled"),
        failed=total("failed"),
        to_assign_mean_s=_mean(minutes, "to_assign_s", "assignments"),
        to_deliver_mean_s=_mean(minutes, "to_deliver_s", "delivered"),
        drones=None if last is None else last.drones,
    )


def _mean(minutes: list[FigureMinute], total: str, count: str) -> float | None:
    orders = sum(getattr(one, count) for one in minutes)
    return round(sum(getattr(one, total) for one in minutes) / orders, 3) if orders else None


PLAIN = (
    "at",
    "minutes",
    "whole",
    "pending",
    "assigned",
    "in_progress",
    "orders",
    "delivered",
    "cancelled",
    "failed",
    "to_assign_mean_s",
    "to_deliver_mean_s",
)


def series_csv(found: FiguresSeries) -> bytes:
    """RFC 4180, a line a point; what is not known is empty."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\r\n")
    states = [status.value for status in DroneStatus]
    out.writerow([*PLAIN, *(f"drones_{state}" for state in states)])
    for point in found.points:
        drones = point.drones
        plain = [getattr(point, name) for name in PLAIN]
        plain[2] = "true" if point.whole else "false"
        out.writerow([*plain, *(None if drones is None else drones.get(state, 0) for state in states)])
    return text.getvalue().encode()


def series_ndjson(found: FiguresSeries) -> bytes:
    """A line of JSON a point."""
    return b"".join(encode(point) + b"\n" for point in found.points)


@dataclass(slots=True)
class Flow:
    """What happened in one minute."""

    assignments: int = 0
    delivered: int = 0
    cancelled: int = 0
    failed: int = 0
    to_assign_s: float = 0.0
    to_deliver_s: float = 0.0


class Flows:
    """What this gateway has heard, by the minute in which it happened. The caller tells each assignment and end once."""

    def __init__(self) -> None:
        self._minutes: OrderedDict[int, Flow] = OrderedDict()
        self._unheard_s = float(
            "inf"
        )  # until when changes may have been missed; from the start: nothing is heard

    def hears(self, now_s: float) -> None:
        """From now on (monotonic) every change is heard."""
        self._unheard_s = now_s

    def of(self, minute: int) -> Flow:
        """What happened in it, as far as it was heard."""
        return self._minutes.get(minute, Flow())

    def heard_for(self, seconds: float, now_s: float) -> bool:
        """Whether every change of the last `seconds` was heard. `now_s`: monotonic; the wall clock may have been set."""
        return now_s - self._unheard_s >= seconds

    def assigned(self, at_s: float, took_s: float) -> None:
        flow = self._at(at_s)
        flow.assignments += 1
        flow.to_assign_s += took_s

    def ended(self, at_s: float, status: DeliveryStatus, took_s: float) -> None:
        flow = self._at(at_s)
        if status is DeliveryStatus.DELIVERED:
            flow.delivered += 1
            flow.to_deliver_s += took_s
        elif status is DeliveryStatus.CANCELLED:
            flow.cancelled += 1
        else:
            flow.failed += 1

    def _at(self, at_s: float) -> Flow:
        minute = int(at_s // MINUTE_S)
        flow = self._minutes.get(minute)
        if flow is None:
            flow = self._minutes[minute] = Flow()
            for old in sorted(self._minutes)[:-FLOWS_KEPT]:
                del self._minutes[old]
        return flow
