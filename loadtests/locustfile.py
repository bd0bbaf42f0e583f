"""Customers of the system, and a verdict at the end.

The world that this imitates: customers who come at random moments whether or not the system is quick (open arrivals:
each user's next act is due an exponential time after the last one was *due*, so that a slow answer does not slow the
demand down). All customers of all processes share the rate that was asked for. One act in five is an order with an
Idempotency-Key; the rest follow an order's state, read lists and the fleet. An answer counts as good only if its
content is right.

By itself (`locust -f loadtests/locustfile.py --host URL`) or by scripts/load. When the test stops, the stored
timestamps are read and judged by slo.toml; the exit code says how it ended, and so do the log, the tab "SLO verdict" of the
web UI and the HTML report.
"""

from __future__ import annotations

import logging
import random
import sys
import time
import uuid
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, events, runners, task
from locust.env import Environment
from locust.runners import STATE_CLEANUP, STATE_STOPPED, STATE_STOPPING, MasterRunner, WorkerRunner

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from loadtests import locust_page, slo, stored, verdict_page
from loadtests.city import city_of, order
from loadtests.measured_run import END, REPORT, MeasuredRun
from loadtests.offering import Schedule, acts_per_s

ORDER_SHARE = 5  # one act in so many is an order
PLACED, CUSTOMERS = "slo_placed", "slo_customers"  # messages between a master and its workers
HEARTBEATS = 15  # a second each; with Locust's own 3, a machine with much else to do loses workers that only wait for it
ENDED = frozenset({STATE_STOPPED, STATE_STOPPING, STATE_CLEANUP})
STATES = ("pending", "assigned", "in-progress", "delivered", "cancelled", "failed")
log = logging.getLogger("slo")


def add_options(parser: ArgumentParser, **_: Any) -> None:
    """Our own options; each is in the web UI too."""
    add, rate = parser.add_argument, "ORDERS_PER_MINUTE"
    add("--orders-per-minute", type=float, default=10.0, help="over all users (default: 10)", env_var=rate)
    add("--orders", type=int, default=0, help="end once so many are placed (default: 0, go on)")
    late = "how long the orders placed last may take before the verdict (default: 10)"
    add("--settle-s", type=float, default=10.0, help=late)
    add("--slo", default=str(slo.THRESHOLDS), help="thresholds (default: loadtests/slo.toml)")


class Customer(FastHttpUser):
    """Places orders and looks what becomes of them."""

    connection_timeout = 15.0
    network_timeout = 15.0

    def on_start(self) -> None:
        self.rng = random.Random()
        self.schedule = Schedule(self.rng, time.monotonic())
        _current[0].schedules.append(self.schedule)
        self.placed: list[str] = []
        with self.client.get("/zones", catch_response=True) as answer:
            self.city = city_of(answer.json())
            answer.success()
        gevent.sleep(self.wait_time())

    def on_stop(self) -> None:
        self.schedule.end(time.monotonic())

    def wait_time(self) -> float:
        """Seconds until this user's next act: its schedule does not wait for answers."""
        options: Any = self.environment.parsed_options
        rate = acts_per_s(options.orders_per_minute, ORDER_SHARE, _customers(self.environment))
        return self.schedule.wait_s(rate, time.monotonic())

    @task(1)
    def place(self) -> None:
        body = order(self.city, self.rng, self.rng.uniform(0.2, 10.0))
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
            _one_more(self.environment)

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
        def newest_first(told: Any) -> bool:
            ids = [one["id"] for one in told["deliveries"]]
            return ids == sorted(ids, reverse=True)

        self._read("/deliveries?limit=20", newest_first, "a list that is not newest first")

    @task(1)
    def list_drones(self) -> None:
        def none_is_empty(told: Any) -> bool:
            return all(one["battery_pct"] is None or one["battery_pct"] > 0 for one in told["drones"])

        self._read("/drones?limit=100", none_is_empty, "a drone with an empty battery")

    def _read(self, target: str, right: Callable[[Any], bool], wrong: str) -> None:
        with self.client.get(target, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"{answer.status_code} instead of 200")
            elif not right(answer.json()):
                answer.failure(wrong)


_current: list[MeasuredRun] = []  # one: the test that runs, or ran last


def _customers(environment: Environment) -> int:
    """Over all processes: a worker's own runner knows its share only."""
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        return int(getattr(environment.parsed_options, CUSTOMERS, runner.target_user_count))
    return runner.target_user_count if runner is not None else 1


def _one_more(environment: Environment) -> None:
    """One more order is placed; with --orders the last one ends the test."""
    if isinstance(environment.runner, WorkerRunner):
        environment.runner.send_message(PLACED)
        return
    options: Any = environment.parsed_options
    _current[0].placed += 1
    if _current[0].placed == options.orders and environment.runner is not None:
        gevent.spawn(environment.runner.quit)  # it waits for the users, and this may be one


def ready(environment: Environment, **_: Any) -> None:
    """Before any test: messages between processes, the tab, and the loop's idea of now.

    --run-time counts from that idea: without this, from before Locust's imports, seconds too early.
    """
    _current[:] = [MeasuredRun(environment)]
    runner = environment.runner
    if isinstance(runner, WorkerRunner):
        runner.register_message(END, lambda environment, msg: environment.runner.stop(), concurrent=True)
        runner.register_message(
            CUSTOMERS,
            lambda environment, msg: setattr(environment.parsed_options, CUSTOMERS, msg.data["all"]),
        )
    elif isinstance(runner, MasterRunner):
        runner.register_message(PLACED, lambda environment, msg: _one_more(environment))
        runner.register_message(
            REPORT, lambda environment, msg: _current[0].hear(msg.node_id, msg.data, last=True)
        )
    locust_page.add_tab(environment, lambda: _verdict(environment), lambda: _judging(environment))
    gevent.get_hub().loop.update_now()


def started(environment: Environment, **_: Any) -> None:
    """Orders from now on are judged."""
    _current[:] = [MeasuredRun(environment)]
    environment.process_exit_code = None
    if isinstance(environment.runner, MasterRunner):  # goes to the workers with the order to spawn
        setattr(environment.parsed_options, CUSTOMERS, environment.runner.target_user_count)
    _current[0].start()


def all_are_here(environment: Environment, **_: Any) -> None:
    """Every customer has come."""
    if isinstance(environment.runner, MasterRunner):
        environment.runner.send_message(CUSTOMERS, {"all": environment.runner.target_user_count})
    if environment.reset_stats:
        _current[0].again()


def asked(
    request_type: str, name: str, response_time: float, exception: BaseException | None, **_: Any
) -> None:
    """A request has ended."""
    _current[0].took(request_type, name, response_time, failed=exception is not None)


def stopped(environment: Environment, **_: Any) -> None:
    """A worker says its last word; else: read the stored timestamps, say the verdict, decide on the exit code."""
    run = _current[0]
    if run.began is None:
        return  # the web UI was closed before a test began
    run.stopping()
    if isinstance(environment.runner, WorkerRunner):
        environment.process_exit_code = 0  # the master's verdict counts
        environment.runner.send_message(REPORT, run.report())
        return
    options: Any = environment.parsed_options
    try:
        run.judge(slo.load_slo(Path(options.slo)), options.settle_s)
    except (ValueError, stored.NoAnswer) as exc:
        run.said = f"no verdict: {exc}"
        log.error(run.said)
        environment.process_exit_code = 2
        return
    finally:
        run.judged = True
    environment.process_exit_code = slo.exit_code(run.lines)
    log.log(logging.ERROR if environment.process_exit_code else logging.INFO, "SLO verdict: %s", run.said)
    for line in slo.table(run.lines).splitlines():
        log.info(line)
    print(f"\n{slo.table(run.lines)}\n", flush=True)


def ended(**_: Any) -> None:
    """Locust has written what it writes: the verdict goes on top of its HTML report."""
    run = _current[0]
    options: Any = run.environment.parsed_options
    if run.began is None or not run.judges or not getattr(options, "html_file", None):
        return
    try:
        verdict_page.add_to_file(Path(options.html_file), run.began_ns, run.said, run.lines)
    except OSError as exc:
        log.error("the verdict is not in the HTML report: %s", exc)


def _judging(environment: Environment) -> bool:
    """Whether the test has ended without a verdict so far."""
    run = _current[0]
    if run.began is None or run.judged or environment.runner is None:
        return False
    return environment.runner.state in ENDED


def _verdict(environment: Environment) -> tuple[str, list[slo.Line]]:
    """For the web UI: the last test's, or what is known of the one that runs."""
    run = _current[0]
    if run.lines or run.began is None or environment.runner is None:
        return run.said, run.lines
    if environment.runner.state in ENDED:
        return run.said, run.lines
    try:
        lines = run.so_far(slo.load_slo(Path(getattr(environment.parsed_options, "slo", slo.THRESHOLDS))))
    except ValueError as exc:
        return f"no verdict: {exc}", []
    return verdict_page.RUNNING, lines


runners.HEARTBEAT_LIVENESS = HEARTBEATS
_HOOKS: tuple[tuple[Any, Any], ...] = (  # Any: Locust's hooks are untyped
    (events.init_command_line_parser, add_options),
    (events.init, ready),
    (events.test_start, started),
    (events.spawning_complete, lambda user_count, **_: all_are_here(_current[0].environment)),
    (events.request, asked),
    (events.test_stopping, lambda environment, **_: _current[0].stopping()),
    (events.test_stop, stopped),
    (events.quit, ended),
    (events.report_to_master, lambda client_id, data: data.update({REPORT: _current[0].report()})),
    (events.worker_report, lambda client_id, data: _current[0].hear(client_id, data[REPORT])),
)
for hook, listener in _HOOKS:
    hook.add_listener(listener)
