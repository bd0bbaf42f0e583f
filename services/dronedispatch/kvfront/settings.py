"""What a kvfront is told: KVFRONT_... in the environment."""

from __future__ import annotations

from dataclasses import dataclass, field

from dronedispatch.replication.patience import PING_S
from dronedispatch.runtime.settings import ProcessSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """Times of one operation: `call_timeout_s` for one call to a replica, `deadline_s` for all of it with its retries.

    Where answers have lately taken long, calls and pings wait longer than this (replication/patience.py).
    """

    process: ProcessSettings = field(default_factory=ProcessSettings)
    call_timeout_s: float = 0.5  # then the replica is silent, and probed before it is voted out
    ping_timeout_s: float = PING_S  # two of them, before the second opinion
    opinion_timeout_s: float = 0.4  # the peer pings too
    deadline_s: float = 3.0
    min_in_sync: int = 1  # refuse writes (503) while fewer replicas of the slot are in sync
    hint_flush_s: float = 2.0
    survey_s: float = 2.0  # how often the replicas are asked how they are
    sweep_s: float = 300.0  # purge tombstones; one coordinator at a time is enough, a lost race does no harm
    sweep_keys_max: int = 1_000
    disputed_s: float = (
        2.0  # at most so long unready after a peer reached a replica that this coordinator did not
    )
    operations_max: int = 20_000  # under way at a time; more are refused (503) before anything is done

    def __post_init__(self) -> None:
        for name in (
            "call_timeout_s",
            "ping_timeout_s",
            "opinion_timeout_s",
            "deadline_s",
            "hint_flush_s",
            "survey_s",
            "sweep_s",
        ):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        if self.deadline_s <= self.call_timeout_s:
            raise ValueError(
                "deadline_s must be above call_timeout_s: one silent replica must not use it all up"
            )
        if self.opinion_timeout_s <= self.ping_timeout_s:
            raise ValueError(
                "opinion_timeout_s must be above ping_timeout_s: the peer pings before it answers"
            )
        if self.min_in_sync < 1 or self.sweep_keys_max < 1 or self.operations_max < 1:
            raise ValueError("min_in_sync, sweep_keys_max and operations_max must be at least 1")
