"""When is a gateway left out, and for how long. Pure.

Passive: the traffic itself is the evidence. *Hard* failures (refused, reset, garbage) are the gateway's own; *soft*
ones (502, 503, 504, no answer in time) may be those of what lies behind it, which every gateway shares, so they never
cost more than half of the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONSECUTIVE_MAX: Final = 5
BASE_S: Final = 30.0
TIMES_MAX: Final = 10
FORGIVEN_S: Final = 300.0


@dataclass(slots=True)
class EjectionRecord:
    """What the door remembers of one gateway id; it survives that id's absence from the catalogue."""

    consecutive: int = 0
    times: int = 0
    until_s: float = 0.0
    hard: bool = False
    on_probation: bool = False

    def ejected(self, now_s: float) -> bool:
        return now_s < self.until_s


def succeeded(record: EjectionRecord, now_s: float) -> None:
    """An answer that speaks for the gateway: what it did before counts no more."""
    record.consecutive = 0
    record.on_probation = False
    if record.times and now_s - record.until_s > FORGIVEN_S:
        record.times = 0


def failed(record: EjectionRecord, now_s: float, *, hard: bool) -> bool:
    """Note a failure; True when the gateway ought to be ejected: five in a row, or the first after an ejection."""
    if record.ejected(now_s):
        return False
    record.consecutive += 1
    record.hard = hard
    return record.consecutive >= CONSECUTIVE_MAX or record.on_probation


def why_not_eject(total: int, ejected: int, *, hard: bool) -> str | None:
    """None when one more of `total` may be left out."""
    if total - ejected <= 1:
        return "the last one is always kept"
    if not hard and (ejected + 1) * 2 > total:
        return "soft failures never cost more than half"
    return None


def eject(record: EjectionRecord, now_s: float) -> float:
    """Leave it out for 30 s times the number of ejections; returns until when."""
    record.times = min(record.times + 1, TIMES_MAX)
    record.until_s = now_s + BASE_S * record.times
    record.consecutive = 0
    record.on_probation = True
    return record.until_s


def readmit(record: EjectionRecord, now_s: float) -> None:
    """A probe found it alive: in again, on probation."""
    record.until_s = min(record.until_s, now_s)
    record.on_probation = True
