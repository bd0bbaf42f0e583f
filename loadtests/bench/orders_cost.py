"""What an order costs a running system: CPU by process and by purpose, operations, messages, bytes; and H, the unit.

H is the CPU of one GET through HAProxy, measured in the same run: it makes figures of two machines comparable.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from loadtests.bench.lb_load import run_wrk
from loadtests.bench.lb_peers import haproxy
from loadtests.bench.lb_throughput import backends
from loadtests.bench.processes import NotInstalled, pins
from loadtests.bench.running import Running, say

from dronedispatch.runtime.http.errors import HttpError

SERVICES = ("dispatcher", "gateway", "rabbitmq", "kvstore", "kvfront", "drone-sim", "lb", "consul")
MEASURED = ("gateway", "kvfront", "kvstore", "dispatcher", "drone-sim")
H_SECONDS = 3.0
H_CONNECTIONS = 64

# figure -> the samples that it is the sum of, by the start of their names
FIGURES = {
    "messages published": 'dd_amqp_published_total{outcome="confirmed"',
    "bytes published": "dd_amqp_published_bytes_total",
    "messages handled": 'dd_amqp_consumed_total{outcome="done"',
    "store batches to replicas": "dd_kv_link_batches_total",
    "store calls at replicas": "dd_kvstore_calls_total",
    "store commits": "dd_kvstore_commits_total",
    "rounds of dispatch": 'dd_dispatch_round_seconds_count{step="plan"}',
    "drones told in telemetry": 'dd_dispatch_telemetry_total{news="yes"}',
}
# purpose -> the loop or step whose seconds it sums; wall time, which bounds its CPU from above
PURPOSES = {
    "dispatcher: read": 'dd_dispatch_round_seconds_sum{step="read"}',
    "dispatcher: plan": 'dd_dispatch_round_seconds_sum{step="plan"}',
    "dispatcher: write": 'dd_dispatch_round_seconds_sum{step="write"}',
    "drone-sim: read": 'dd_sim_tick_seconds_sum{phase="read"}',
    "drone-sim: fly": 'dd_sim_tick_seconds_sum{phase="fly"}',
    "drone-sim: write": 'dd_sim_tick_seconds_sum{phase="write"}',
}


def measure_h() -> float:
    """Seconds of CPU that HAProxy uses for one GET. Raises NotInstalled, RuntimeError."""
    proxy_pin, rest_pin = pins()
    with backends(rest_pin, count=1) as ports, haproxy(ports, proxy_pin) as peer:
        runs = [run_wrk(peer, "get", H_CONNECTIONS, H_SECONDS, rest_pin) for _ in range(3)]
    return statistics.median(run.cpu_us for run in runs) / 1e6


def told_h() -> float:
    """The same, said on standard output. Raises SystemExit where it cannot be measured."""
    try:
        h_s = measure_h()
    except (NotInstalled, RuntimeError) as exc:
        raise SystemExit(f"nothing was measured: {exc}") from exc
    say(f"H = {1e6 * h_s:.1f} us (CPU of one GET through HAProxy)")
    return h_s


@dataclass(frozen=True)
class Sample:
    """`cpu_s` by process name; `counted`: every sample of every process that is measured, summed by name."""

    cpu_s: Mapping[str, float]
    counted: Mapping[str, float]

    def starting_with(self, prefix: str) -> float:
        """The sum of the samples whose name starts so."""
        return sum(value for name, value in self.counted.items() if name.startswith(prefix))


async def sample(running: Running) -> Sample:
    """Of now. A process that does not answer counts with its CPU alone."""
    counted: dict[str, float] = defaultdict(float)
    endpoints = [one for service in MEASURED for one in running.endpoints(service)]
    for found in await asyncio.gather(*map(running.metrics, endpoints), return_exceptions=True):
        if isinstance(found, HttpError):
            continue
        if isinstance(found, BaseException):
            raise found
        for name, value in found.items():
            counted[name] += value
    return Sample(running.cpu_s(), dict(counted))


@dataclass(frozen=True)
class Still:
    """What a second costs while nobody orders."""

    before: Sample
    after: Sample
    seconds: float

    @property
    def cpu_a_s(self) -> dict[str, float]:
        """Seconds of CPU a second, by process."""
        return {
            name: (used - self.before.cpu_s.get(name, 0.0)) / self.seconds
            for name, used in self.after.cpu_s.items()
        }

    def grown_a_s(self, prefix: str) -> float:
        """What the samples that start so grow by in a second."""
        return (self.after.starting_with(prefix) - self.before.starting_with(prefix)) / self.seconds


@dataclass(frozen=True)
class Cost:
    """Between two samples, what was used while nobody ordered subtracted; per `orders`."""

    before: Sample
    after: Sample
    seconds: float
    orders: int
    still: Still

    def cpu_ms(self) -> dict[str, float]:
        """Milliseconds an order, by service; never below 0 for the noise of an idle second."""
        used: dict[str, float] = dict.fromkeys(SERVICES, 0.0)
        idle = self.still.cpu_a_s
        for name, after_s in self.after.cpu_s.items():
            spent = after_s - self.before.cpu_s.get(name, 0.0) - idle.get(name, 0.0) * self.seconds
            used[service_of(name)] = used.get(service_of(name), 0.0) + spent
        return {name: 1000.0 * max(0.0, value) / max(1, self.orders) for name, value in used.items()}

    def an_order(self, prefix: str) -> float:
        """How much the samples that start so have grown for each order."""
        grown = self.after.starting_with(prefix) - self.before.starting_with(prefix)
        return max(0.0, grown - self.still.grown_a_s(prefix) * self.seconds) / max(1, self.orders)


def service_of(process: str) -> str:
    """ "gateway-2" -> "gateway"."""
    head, _, tail = process.rpartition("-")
    return head if tail.isdigit() else process
