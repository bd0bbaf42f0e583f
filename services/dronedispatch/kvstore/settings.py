"""What a kvstore is told: KVSTORE_... in the environment."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dronedispatch.kvstore.disk import MAP_BYTES, MAP_BYTES_MIN
from dronedispatch.runtime.settings import ProcessSettings


@dataclass(frozen=True, slots=True)
class Settings:
    """Bounds hold at every moment; `name` is the replica's for ever (default: the instance's, else one of its disk's)."""

    data_dir: Path
    name: str | None = None
    process: ProcessSettings = field(default_factory=ProcessSettings)
    cache_items_max: int = 50_000
    cache_bytes_max: int = 40 * 1024**2
    disk_reserve_bytes: int = 64 * 1024**2  # stays free for promises: a full disk must not forget them
    map_bytes: int = MAP_BYTES  # the most that the data file may grow to; it can be raised at any start
    changes_max: int = 100_000  # keys remembered for a joiner; more behind than that and it compares again
    hint_bytes_max: int = 64 * 1024**2
    hint_age_max_s: float = 86_400.0
    commit: Literal["auto", "inline", "threaded"] = (
        "auto"  # auto: by the time of a sync, measured at the start
    )
    call_timeout_s: float = 3.0  # a joiner's calls
    leave_linger_s: float = 0.5  # a stopping replica still answers operations that began in an older view
    membership_s: float = 1.0  # how often a replica looks at what it lacks, beside every change of the view

    def __post_init__(self) -> None:
        for name in ("cache_items_max", "cache_bytes_max", "changes_max", "hint_bytes_max"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.map_bytes < MAP_BYTES_MIN:
            raise ValueError(f"map_bytes must be at least {MAP_BYTES_MIN}")
        if self.disk_reserve_bytes < 0:
            raise ValueError("disk_reserve_bytes cannot be negative")
        if self.name is not None and (
            not self.name.isascii() or not 1 <= len(self.name) <= 60 or "/" in self.name
        ):
            raise ValueError(f"name {self.name!r}: 1 to 60 ASCII characters without a slash")
        if self.call_timeout_s <= 0 or self.membership_s <= 0 or self.leave_linger_s < 0:
            raise ValueError("call_timeout_s and membership_s must be positive, leave_linger_s not negative")
