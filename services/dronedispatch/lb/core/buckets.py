"""Token buckets, for each client and for all, on a monotonic clock and refilled lazily. Pure.

A bucket is one number: the time at which it will be full again (GCRA, the generic cell rate algorithm of ATM Forum
UNI 3.1, which equals a token bucket). A client whose bucket is full is the same as one never seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CLIENTS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s` requests a second in the long run, `burst` at once."""

    per_s: float
    burst: float

    def __post_init__(self) -> None:
        if self.per_s <= 0 or self.burst < 1:
            raise ValueError(f"a rate of {self.per_s}/s with a burst of {self.burst}: need > 0 and >= 1")

    def shared_by(self, processes: int) -> Rate:
        """What one of `processes` equal shares may let through; the sum never exceeds the whole by more than rounding."""
        return Rate(self.per_s / processes, max(1.0, self.burst / processes))


class Limiter:
    """Both limits at once: a request takes a token from its client and one from all, or none at all.

    At most `clients_max` clients are remembered, in two generations of half as many: when the young one is full it
    becomes the old one and the old one is forgotten. A forgotten client starts with a full bucket.
    """

    __slots__ = ("_all", "_all_full_s", "_client", "_generation_max", "_old", "_young")

    def __init__(self, client: Rate | None, everyone: Rate | None, *, clients_max: int = CLIENTS_MAX) -> None:
        self._client = client
        self._all = everyone
        self._all_full_s = 0.0
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}
        self._generation_max = max(1, clients_max // 2)

    @property
    def clients(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, client: str, now_s: float) -> float:
        """0.0 if the request may pass, else the seconds until one token is there. A refusal costs nothing."""
        full_s = now_s
        rate = self._client
        if rate is not None:
            known_s = self._young.get(client)
            if known_s is None:
                known_s = self._old.get(client, 0.0)
            if known_s > now_s:
                full_s = known_s
            wait_s = full_s - now_s - (rate.burst - 1.0) / rate.per_s
            if wait_s > 1e-9:
                return wait_s
        everyone = self._all
        if everyone is not None:
            all_full_s = self._all_full_s if self._all_full_s > now_s else now_s
            wait_s = all_full_s - now_s - (everyone.burst - 1.0) / everyone.per_s
            if wait_s > 1e-9:
                return wait_s
            self._all_full_s = all_full_s + 1.0 / everyone.per_s
        if rate is not None:
            young = self._young
            young[client] = full_s + 1.0 / rate.per_s
            if len(young) >= self._generation_max:
                self._old = young
                self._young = {}
        return 0.0
