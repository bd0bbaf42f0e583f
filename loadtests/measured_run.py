"""One test from its start to its verdict, over all of Locust's processes: what they saw, put together and judged.

A worker counts and reports; the master, or the one process there is, judges. Workers report with Locust's own messages,
and a last time when their customers have gone; the master waits for that.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import gevent
from loadtests import server_clock, slo, stored
from loadtests.offering import Schedule, Tally, offered_share, together
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

REPORT = "slo"  # in what a worker tells its master, and the name of its last word
END = "slo_end"  # from the master: let the customers go, and say the last word
LAST_WORD_S = 15.0  # beyond Locust's own --stop-timeout
ME = "this process"

log = logging.getLogger("slo")


class MeasuredRun:
    """Of this process; begins anew with each test."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.schedules: list[Schedule] = []
        self.tallies: dict[str, Tally] = {ME: Tally()}
        self.lines: list[slo.Line] = []
        self.said = "no verdict: the test has not ended"
        self.judged = False
        self.began: datetime | None = None  # by the server's clock
        self.began_ns = time.time_ns()
        self.broken: list[str] = []
        self.placed = 0
        self._offset = server_clock.Offset(-0.5, 0.5)
        self._last: set[str] = set()
        self._workers: set[str] = set()
        self._told = 0
        self._ended_s: float | None = None

    @property
    def judges(self) -> bool:
        """Whether this process is the one that does."""
        return not isinstance(self.environment.runner, WorkerRunner)

    def start(self) -> None:
        """Orders from now on are judged."""
        if not self.judges:
            self.began = datetime.now(UTC)
            return
        if isinstance(self.environment.runner, MasterRunner):
            self._workers = {client.id for client in self.environment.runner.clients.all}
        try:
            self._offset = self._clock()
        except (stored.NoAnswer, ValueError) as exc:
            self.broken.append(f"the server's clock is not known: {exc}")
        if (difference := self._offset.sentence()) is not None:
            log.warning(difference)
        self.began = self._offset.earliest(datetime.now(UTC))

    def again(self) -> None:
        """Count from now on: Locust forgets what it saw while customers were coming (--reset-stats)."""
        now_s = time.monotonic()
        for schedule in self.schedules:
            schedule.begin_anew(now_s)
        self.tallies = {ME: Tally()}
        self._told = 0

    def took(self, kind: str, name: str, response_ms: float, failed: bool) -> None:
        """A request of this process has ended."""
        self.tallies[ME].took(response_ms if (name, kind) == ("/deliveries", "POST") else None, failed=failed)

    def stopping(self) -> None:
        """Customers are let go: from now on nothing is due."""
        if self._ended_s is None:
            self._ended_s = time.monotonic()

    # -- a worker's side ---------------------------------------------------------------------------------------

    def report(self) -> dict[str, Any]:
        """What this worker tells next."""
        mine = self.tallies[ME]
        mine.attend(self.schedules, self._now_s())
        told, self._told = self._told, len(mine.posts_ms)
        return mine.report(told)

    # -- the master's side -------------------------------------------------------------------------------------

    def hear(self, worker: str, report: dict[str, Any], *, last: bool = False) -> None:
        """A worker has reported."""
        self.tallies.setdefault(worker, Tally()).hear(report)
        self._workers.add(worker)
        if last:
            self._last.add(worker)

    def whole(self) -> Tally:
        """What all processes saw, as far as it is known here."""
        mine = self.tallies[ME]
        mine.attend(self.schedules, self._now_s())
        return together(self.tallies.values())

    def judge(self, thresholds: slo.Slo, settle_s: float) -> None:
        """Ask for the last words, read the stored timestamps, fill in `lines` and `said`. Raises NoAnswer, ValueError."""
        self._gather()
        self.lines = slo.judge(thresholds, self._measure(settle_s))
        self.said = slo.sentence(self.lines)

    def so_far(self, thresholds: slo.Slo) -> list[slo.Line]:
        """While the test runs: what this process knows without asking the server."""
        return slo.judge(thresholds, self._requests([], [], 0, 1.0))[:-3]

    def _gather(self) -> None:
        runner = self.environment.runner
        if not isinstance(runner, MasterRunner):
            return
        runner.send_message(END)
        deadline_s = time.monotonic() + LAST_WORD_S + self.environment.stop_timeout
        while self._workers - self._last and time.monotonic() < deadline_s:
            gevent.sleep(0.05)
        if lost := self._workers - self._last:
            self.broken.append(
                f"{len(lost)} of {len(self._workers)} load processes never told their last figures"
            )

    def _measure(self, settle_s: float) -> slo.Measured:
        host, began = self.environment.host, self.began
        assert host is not None
        assert began is not None
        deadline_s = time.monotonic() + settle_s
        while True:
            deliveries = stored.since(host, began)
            now = datetime.now(UTC) + timedelta(seconds=self._offset.best_s)
            assigned, delivered, waiting = slo.spans(deliveries, now)
            if not waiting or time.monotonic() > deadline_s:
                break
            time.sleep(min(1.0, settle_s / 10))
        self._look_for_a_set_clock()
        return self._requests(assigned, delivered, waiting, stored.speed(host))

    def _requests(
        self, assigned: list[float], delivered: list[float], waiting: int, speed: float
    ) -> slo.Measured:
        seen = self.whole()
        return slo.Measured(
            requests=seen.requests,
            failures=seen.failures,
            post_p95_ms=slo.percentile(seen.posts_ms, 0.95),
            to_assigned_s=assigned,
            to_delivered_s=delivered,
            waiting=waiting,
            speed=speed,
            offered_share=offered_share(seen),
            broken=self.broken,
        )

    def _look_for_a_set_clock(self) -> None:
        """A clock that was set while the test ran makes ages and the test's beginning wrong."""
        after = self._clock()
        if after.low_s > self._offset.high_s or after.high_s < self._offset.low_s:
            self.broken.append(
                f"a clock was set meanwhile: server minus this machine was {self._offset.best_s:+.1f} s, "
                f"now {after.best_s:+.1f} s"
            )

    def _clock(self) -> server_clock.Offset:
        host = self.environment.host
        assert host is not None
        return server_clock.measure(lambda: stored.date(host), lambda: datetime.now(UTC), time.sleep)

    def _now_s(self) -> float:
        return time.monotonic() if self._ended_s is None else self._ended_s
