"""Retry delays with full jitter (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015)."""

from __future__ import annotations

from random import Random


def full_jitter(attempt: int, *, base_s: float, cap_s: float, rng: Random) -> float:
    """Seconds to wait before retry number `attempt` (0, 1, ..): uniform in [0, min(cap_s, base_s * 2 ** attempt)]."""
    return rng.uniform(0.0, min(cap_s, base_s * 2.0 ** min(attempt, 32)))
