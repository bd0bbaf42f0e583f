from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from dronedispatch.runtime.tally import TallyCounter, TallyHistogram

OBSERVED = (0.5, 1, 1.0001, 4, 100, 0)


def lines(registry: CollectorRegistry) -> list[str]:
    return [line for line in generate_latest(registry).decode().splitlines() if "_created" not in line]


def test_a_tally_is_exposed_as_prometheus_clients_own_metrics_are() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counter = TallyCounter("things", "Some", ["kind", "outcome"], ours)
    own_counter = Counter("things", "Some", ["kind", "outcome"], registry=theirs)
    histogram = TallyHistogram("sizes", "Sizes", (1, 4, 16), ours)
    own_histogram = Histogram("sizes", "Sizes", buckets=(1, 4, 16), registry=theirs)
    for kind, count in (("a", 1), ("b", 3), ("a", 2)):
        counter.add(kind, "ok", count=count)
        own_counter.labels(kind, "ok").inc(count)
    for value in OBSERVED:
        histogram.observe(value)
        own_histogram.observe(value)
    assert lines(ours) == lines(theirs)
