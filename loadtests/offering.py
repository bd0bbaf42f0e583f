"""What a run offers: when each customer acts, and how much of the rate that was asked for really went out."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

BEHIND_MAX_S = 5.0  # of acts that are made up for; older ones are given up, and counted as not offered
GRACE_S = 1.0  # behind by less at the end is no loss: the act is under way


class Schedule:
    """When one customer acts: at random moments, whether or not the system is quick. Times are monotonic seconds."""

    def __init__(self, rng: random.Random, now_s: float) -> None:
        self._rng = rng
        self._began_s = self._due_s = now_s
        self._given_up_s = 0.0
        self._ended_s: float | None = None

    def wait_s(self, acts_per_s: float, now_s: float) -> float:
        """Seconds until the next act; 0 when it is due already."""
        if now_s - self._due_s > BEHIND_MAX_S:
            self._given_up_s += now_s - BEHIND_MAX_S - self._due_s
            self._due_s = now_s - BEHIND_MAX_S
        self._due_s += self._rng.expovariate(acts_per_s)
        return max(0.0, self._due_s - now_s)

    def begin_anew(self, now_s: float) -> None:
        """What was before counts no more; what is due stays due."""
        self._began_s, self._given_up_s = now_s, 0.0

    def end(self, now_s: float) -> None:
        """The customer leaves; what was due later is nobody's loss."""
        if self._ended_s is None:
            self._ended_s = now_s

    def spent(self, now_s: float) -> tuple[float, float]:
        """(seconds on duty until `now_s`, those of them whose acts did not go out)."""
        until_s = now_s if self._ended_s is None else min(now_s, self._ended_s)
        behind_s = until_s - self._due_s
        return until_s - self._began_s, self._given_up_s + (behind_s if behind_s > GRACE_S else 0.0)


def acts_per_s(orders_per_minute: float, acts_an_order: int, customers: int) -> float:
    """Of one customer, when all of them, in every process, share `orders_per_minute`."""
    return acts_an_order * orders_per_minute / 60.0 / max(1, customers)


@dataclass(slots=True)
class Tally:
    """What one load process saw. Locust rounds times to two digits (504 ms becomes 500); these are exact."""

    requests: int = 0
    failures: int = 0
    duty_s: float = 0.0
    lost_s: float = 0.0
    posts_ms: array[float] = field(default_factory=lambda: array("d"))

    def took(self, post_ms: float | None, *, failed: bool) -> None:
        """A request has ended; `post_ms`: its time, if it was an order."""
        self.requests += 1
        self.failures += failed
        if post_ms is not None:
            self.posts_ms.append(post_ms)

    def attend(self, schedules: Iterable[Schedule], now_s: float) -> None:
        """Count anew how long customers have been on duty, and behind."""
        spent = [one.spent(now_s) for one in schedules]
        self.duty_s, self.lost_s = sum(duty for duty, _ in spent), sum(lost for _, lost in spent)

    def report(self, posts_told: int) -> dict[str, Any]:
        """For the master: totals, and the times after the first `posts_told`."""
        return {
            "requests": self.requests,
            "failures": self.failures,
            "duty_s": self.duty_s,
            "lost_s": self.lost_s,
            "posts_told": posts_told,
            "posts_ms": self.posts_ms[posts_told:].tolist(),
        }

    def hear(self, report: dict[str, Any]) -> None:
        """Take over what a worker reports; the same times told twice count once."""
        for name in ("requests", "failures", "duty_s", "lost_s"):
            setattr(self, name, report[name])
        del self.posts_ms[report["posts_told"] :]
        self.posts_ms.extend(report["posts_ms"])


def together(tallies: Iterable[Tally]) -> Tally:
    """The sum."""
    whole = Tally()
    for one in tallies:
        whole.requests += one.requests
        whole.failures += one.failures
        whole.duty_s += one.duty_s
        whole.lost_s += one.lost_s
        whole.posts_ms.extend(one.posts_ms)
    return whole


def offered_share(tally: Tally) -> float | None:
    """How much of the asked rate went out, 0 to 1; None: nobody was on duty."""
    return max(0.0, 1.0 - tally.lost_s / tally.duty_s) if tally.duty_s > 0 else None
