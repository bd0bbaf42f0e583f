"""Customers of the system, and a verdict at the end.

The world that this imitates: customers who come at random moments whether or not the system is quick (open arrivals:
each user's next act is due an exponential time after the last one was *due*, so that a slow answer does not slow the
demand down). One act in five is an order with an Idempotency-Key; the rest follow an order's state, read lists and the
fleet. An answer counts as good only if its content is right.

By itself (`locust -f loadtests/locustfile.py --host URL`) or by scripts/load. When the test stops, the stored
timestamps are read and judged by slo.toml; the exit code says how it ended.
"""

from __future__ import annotations

import logging
import random
import sys
import time
import uuid
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, events, task
from locust.env import Environment

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from loadtests import slo, stored
from loadtests.city import city_of, order

ORDER_SHARE = 5  # one act in so many is an order
POST = ("/deliveries", "POST")
STATES = ("pending", "assigned", "in-progress", "delivered", "cancelled", "failed")
log = logging.getLogger("slo")


def add_options(parser: ArgumentParser, **_: Any) -> None:
    """Our own options; each is in the web UI too."""
    parser.add_argument(
        "--orders-per-minute",
        type=float,
        default=10.0,
        help="over all users (default: 10)",
        env_var="ORDERS_PER_MINUTE",
    )
    parser.add_argument(
        "--orders", type=int, default=0, help="end once so many are placed (default: 0, go on)"
    )
    parser.add_argument(
        "--settle-s",
        type=float,
        default=10.0,
        help="how long the orders placed last may take before the verdict (default: 10)",
    )
    parser.add_argument("--slo", default=str(slo.THRESHOLDS), help="thresholds (default: loadtests/slo.toml)")


class Customer(FastHttpUser):
    """Places orders and looks what becomes of them."""

    connection_timeout = 15.0
    network_timeout = 15.0

    def on_start(self) -> None:
        self.due_s = time.monotonic()
        self.rng = random.Random()
        self.placed: list[str] = []
        with self.client.get("/zones", catch_response=True) as answer:
            self.city = city_of(answer.json())
            answer.success()

    def wait_time(self) -> float:
        """Seconds until this user's next act: its schedule does not wait for answers."""
        options: Any = self.environment.parsed_options
        users = max(1, self.environment.runner.target_user_count if self.environment.runner else 1)
        acts_per_s = ORDER_SHARE * options.orders_per_minute / 60.0 / users
        now_s = time.monotonic()
        self.due_s = max(self.due_s, now_s - 5.0) + self.rng.expovariate(acts_per_s)
        return max(0.0, self.due_s - now_s)

    @task(1)
    def place(self) -> None:
        body = order(self.city, self.rng, weight_max_kg=10.0)
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        with self.client.post("/deliveries", json=body, headers=headers, catch_response=True) as answer:
            if answer.status_code != 201:
                answer.failure(f"{answer.status_code} instead of 201")
                return
            found = answer.json()
            if answer.headers["location"] != f"/deliveries/{found['id']}" or found["status"] != "pending":
                answer.failure("a 201 that is not about a pending delivery")
                return
            self.placed = [*self.placed[-50:], found["id"]]
            self._count()

    def _count(self) -> None:
        """One more order is placed; with --orders the last one ends the test."""
        _placed.append(self.placed[-1])
        options: Any = self.environment.parsed_options
        if len(_placed) == options.orders and self.environment.runner is not None:
            gevent.spawn(self.environment.runner.quit)  # it waits for the users, and this is one

    @task(2)
    def follow(self) -> None:
        if not self.placed:
            return
        wanted = self.rng.choice(self.placed)
        with self.client.get(f"/deliveries/{wanted}", name="/deliveries/[id]", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code}: an accepted order is not there")
                return
            found = answer.json()
            moments = [found[name] for name in ("created_at", "assigned_at", "picked_up_at", "delivered_at")]
            known = [moment for moment in moments if moment is not None]
            if found["id"] != wanted or found["status"] not in STATES or known != sorted(known):
                answer.failure("a delivery that contradicts itself")

    @task(1)
    def list_deliveries(self) -> None:
        with self.client.get("/deliveries?limit=20", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code} instead of 200")
                return
            ids = [one["id"] for one in answer.json()["deliveries"]]
            if ids != sorted(ids, reverse=True):
                answer.failure("a list that is not newest first")

    @task(1)
    def list_drones(self) -> None:
        with self.client.get("/drones?limit=100", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code} instead of 200")
                return
            if any(
                one["battery_pct"] is not None and one["battery_pct"] <= 0 for one in answer.json()["drones"]
            ):
                answer.failure("a drone with an empty battery")


_began: dict[str, datetime] = {}
_placed: list[str] = []


def ready(environment: Environment, **_: Any) -> None:
    """--run-time counts from the loop's idea of now: without this, from before Locust's imports, seconds too early."""
    gevent.get_hub().loop.update_now()


def started(environment: Environment, **_: Any) -> None:
    """Orders from now on are judged."""
    _began["at"] = datetime.now(UTC)


def stopped(environment: Environment, **_: Any) -> None:
    """Read the stored timestamps, print the table, decide on the exit code."""
    if "at" not in _began:
        return  # the web UI was closed before a test began
    options: Any = environment.parsed_options
    try:
        lines = slo.judge(slo.load_slo(Path(options.slo)), _measure(environment, options.settle_s))
    except (ValueError, stored.NoAnswer) as exc:
        log.error("no verdict: %s", exc)
        environment.process_exit_code = 2
        return
    environment.process_exit_code = slo.exit_code(lines)
    print(f"\n{slo.table(lines)}\n", flush=True)


def _measure(environment: Environment, settle_s: float) -> slo.Measured:
    host = environment.host
    assert host is not None
    deadline_s = time.monotonic() + settle_s
    while True:
        deliveries = stored.since(host, _began["at"])
        assigned, delivered, waiting = slo.spans(deliveries, datetime.now(UTC))
        if not waiting or time.monotonic() > deadline_s:
            break
        time.sleep(min(1.0, settle_s / 10))
    post = environment.stats.entries.get(POST)
    return slo.Measured(
        requests=environment.stats.total.num_requests,
        failures=environment.stats.total.num_failures,
        post_p95_ms=None if post is None else float(post.get_response_time_percentile(0.95)),
        to_assigned_s=assigned,
        to_delivered_s=delivered,
        waiting=waiting,
        speed=stored.speed(host),
    )


_HOOKS: tuple[tuple[Any, Any], ...] = (  # Any: Locust's hooks are untyped
    (events.init_command_line_parser, add_options),
    (events.init, ready),
    (events.test_start, started),
    (events.test_stop, stopped),
)
for hook, listener in _HOOKS:
    hook.add_listener(listener)
