"""The data plane's numbers as Prometheus families, made when asked for: nothing is paid for them by a request."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from dronedispatch.lb.core.counters import BUCKETS_S
from dronedispatch.lb.proxy_core import ProxyCore


class ProxyCollector(Collector):
    """Register it once a process."""

    def __init__(self, core: ProxyCore) -> None:
        self._core = core

    def collect(self) -> Iterator[Metric]:
        counters, pool = self._core.books, self._core.backends
        requests = CounterMetricFamily("dd_lb_requests", "Requests by status class", labels=["status"])
        for hundred, count in enumerate(counters.statuses):
            if hundred:
                requests.add_metric([f"{hundred}xx"], count)
        yield requests
        ended = CounterMetricFamily("dd_lb_ended", "Requests by how they ended", labels=["how"])
        for how, count in sorted(counters.ended.items()):
            ended.add_metric([how], count)
        yield ended
        yield self._seconds()
        yield CounterMetricFamily("dd_lb_retries", "Tries after the first", value=counters.retries)
        yield CounterMetricFamily(
            "dd_lb_resent", "Sent again after a kept connection closed", value=counters.resent
        )
        yield CounterMetricFamily("dd_lb_retries_refused", "No budget left", value=counters.without_budget)
        yield CounterMetricFamily("dd_lb_ejections", "Gateways left out", value=pool.ejections)
        yield CounterMetricFamily("dd_lb_connections", "Clients' connections", value=counters.connections)
        yield CounterMetricFamily(
            "dd_lb_connections_evicted", "Closed without a request, to make room", value=counters.evicted
        )
        yield CounterMetricFamily("dd_lb_bytes_in", "Bytes of request bodies", value=counters.bytes_in)
        yield CounterMetricFamily("dd_lb_bytes_out", "Bytes of response bodies", value=counters.bytes_out)
        yield GaugeMetricFamily(
            "dd_lb_connections_open", "Clients connected", value=len(self._core.connections)
        )
        yield GaugeMetricFamily("dd_lb_waiting", "Requests waiting for room", value=len(pool.waiting))
        if counters.access_log is not None:
            yield CounterMetricFamily(
                "dd_lb_access_log_lost", "Lines not written", value=counters.access_log.lost
            )
        yield from self._gateways()

    def _seconds(self) -> Metric:
        counters = self._core.books
        total, buckets = 0, []
        for bound, count in zip((*map(str, BUCKETS_S), "+Inf"), counters.buckets, strict=True):
            total += count
            buckets.append((bound, float(total)))
        seconds = HistogramMetricFamily("dd_lb_seconds", "From the first byte of a request to its end")
        seconds.add_metric([], buckets=buckets, sum_value=counters.seconds)
        return seconds

    def _gateways(self) -> Iterator[Metric]:
        now_s = self._core.now()
        in_flight = GaugeMetricFamily("dd_lb_gateway_in_flight", "Requests there now", labels=["gateway"])
        ejected = GaugeMetricFamily("dd_lb_gateway_ejected", "1 while left out", labels=["gateway"])
        requests = CounterMetricFamily("dd_lb_gateway_requests", "Tries sent there", labels=["gateway"])
        failures = CounterMetricFamily(
            "dd_lb_gateway_failures", "Tries that failed there", labels=["gateway"]
        )
        for gateway in self._core.backends.members.values():
            in_flight.add_metric([gateway.id], gateway.in_flight)
            ejected.add_metric([gateway.id], gateway.record.ejected(now_s))
            requests.add_metric([gateway.id], gateway.requests)
            failures.add_metric([gateway.id], gateway.failures)
        yield from (in_flight, ejected, requests, failures)
