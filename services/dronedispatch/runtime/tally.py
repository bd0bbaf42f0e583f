"""Counters and histograms for hot paths, in plain integers of one thread: prometheus_client's own take 1 to 3 us a time."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import REGISTRY
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry


class TallyCounter(Collector):
    """Counts by the values of its labels; `name` without `_total`."""

    def __init__(
        self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._name, self._text, self._labels = name, text, labels
        self._counts: dict[tuple[str, ...], int] = {}
        registry.register(self)

    def add(self, *values: str, count: int = 1) -> None:
        """`count` more for the labels' `values`."""
        self._counts[values] = self._counts.get(values, 0) + count

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        family = CounterMetricFamily(self._name, self._text, labels=self._labels)
        for values, count in self._counts.items():
            family.add_metric(values, count)
        yield family


class TallyHistogram(Collector):
    """How often a value was at most each of `bounds`."""

    def __init__(
        self, name: str, text: str, bounds: Sequence[float], registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._name, self._text, self._bounds = name, text, tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        """One more."""
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[Metric]:
        """See prometheus_client."""
        family = HistogramMetricFamily(self._name, self._text)
        names = [*(str(float(bound)) for bound in self._bounds), "+Inf"]
        sums = itertools.accumulate(self._counts)
        family.add_metric([], [(n, float(c)) for n, c in zip(names, sums, strict=True)], self._sum)
        yield family
