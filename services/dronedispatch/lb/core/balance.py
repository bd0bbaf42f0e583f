"""Which gateway gets the next request. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol, TypeVar


class Candidate(Protocol):
    in_flight: int
    since_s: float  # when it joined; a new one starts slowly
    credit: float

    @property
    def id(self) -> str: ...


C = TypeVar("C", bound=Candidate)


def warmth(since_s: float, now_s: float, slow_start_s: float) -> float:
    """The share of its turn that a gateway gets: from 0.1 when it joins to 1.0 after `slow_start_s`."""
    if slow_start_s <= 0 or now_s - since_s >= slow_start_s:
        return 1.0
    return 0.1 + 0.9 * max(0.0, now_s - since_s) / slow_start_s


class RoundRobin:
    """Each in turn; while one is still warming up, in proportion to warmth (nginx's smooth weighted round robin)."""

    def __init__(self, slow_start_s: float) -> None:
        self._slow_start_s = slow_start_s
        self._turn = 0

    def pick(
        self, active: Sequence[C], tried: Collection[str], in_flight_max: int, now_s: float, *, warming: bool
    ) -> C | None:
        """One of `active` that was not `tried` and has room for one more; None if there is none."""
        if warming:
            return self._pick_by_warmth(active, tried, in_flight_max, now_s)
        count = len(active)
        turn = self._turn
        for _ in range(count):
            turn += 1
            if turn >= count:
                turn = 0
            candidate = active[turn]
            if candidate.in_flight < in_flight_max and candidate.id not in tried:
                self._turn = turn
                return candidate
        return None

    def _pick_by_warmth(
        self, active: Sequence[C], tried: Collection[str], in_flight_max: int, now_s: float
    ) -> C | None:
        best: C | None = None
        total = 0.0
        for candidate in active:
            if candidate.in_flight >= in_flight_max or candidate.id in tried:
                continue
            share = warmth(candidate.since_s, now_s, self._slow_start_s)
            candidate.credit += share
            total += share
            if best is None or candidate.credit > best.credit:
                best = candidate
        if best is not None:
            best.credit -= total
        return best


class LeastInFlight:
    """The least busy, after its warmth; in turn among equals."""

    def __init__(self, slow_start_s: float) -> None:
        self._slow_start_s = slow_start_s
        self._turn = 0

    def pick(
        self, active: Sequence[C], tried: Collection[str], in_flight_max: int, now_s: float, *, warming: bool
    ) -> C | None:
        """One of `active` that was not `tried` and has room for one more; None if there is none."""
        self._turn += 1
        count = len(active)
        best: C | None = None
        least = 0.0
        for place in range(count):
            candidate = active[(self._turn + place) % count]
            if candidate.in_flight >= in_flight_max or candidate.id in tried:
                continue
            load = candidate.in_flight + 1.0
            if warming:
                load /= warmth(candidate.since_s, now_s, self._slow_start_s)
            if best is None or load < least:
                best, least = candidate, load
        return best


Balancer = RoundRobin | LeastInFlight
