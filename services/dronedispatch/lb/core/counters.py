"""What the data plane counts, as plain numbers; metrics.py turns them into Prometheus families when asked."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class ProxyCounters:
    """`ended` counts requests by how they ended; `buckets` by total time, the last slot beyond BUCKETS_S."""

    __slots__ = (
        "buckets",
        "bytes_in",
        "bytes_out",
        "connections",
        "ended",
        "evicted",
        "resent",
        "retries",
        "seconds",
        "statuses",
        "without_budget",
    )

    def __init__(self) -> None:
        self.statuses = [0] * 6
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.seconds = 0.0
        self.ended: Counter[str] = Counter()
        self.connections = 0
        self.evicted = 0  # connections closed to make room for others
        self.bytes_in = 0
        self.bytes_out = 0
        self.retries = 0
        self.resent = 0
        self.without_budget = 0

    def answered(self, status: int, seconds: float, ended: str) -> None:
        self.statuses[min(status // 100, 5)] += 1  # what is no status counts as a 5xx (RFC 9110, section 15)
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds += seconds
        self.ended[ended] += 1
