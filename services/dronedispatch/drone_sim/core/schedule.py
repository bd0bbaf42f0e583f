"""When the next tick is due: a monotonic schedule that neither drifts nor catches up in bursts."""

from __future__ import annotations

from dataclasses import dataclass

ELAPSED_TICKS_MAX = 5  # a process that was stopped for a minute does not let its drones jump by a kilometre


@dataclass(frozen=True, slots=True)
class Beat:
    """A tick that began: `late_s` after it was due, `elapsed_s` of motion since the one before, `skipped` ticks left out."""

    late_s: float
    elapsed_s: float
    skipped: int
    next_due_s: float


def beat(*, due_s: float, began_s: float, previous_s: float | None, period_s: float) -> Beat:
    """The beat of a tick that was due at `due_s` and began at `began_s` (monotonic seconds, as `previous_s`).

    The next one is due on the same grid: a late tick delays none after it, and whole periods that passed are
    skipped, not flown one by one. Motion covers what has really elapsed, at most ELAPSED_TICKS_MAX periods.
    """
    late_s = max(0.0, began_s - due_s)
    skipped = int(late_s / period_s)
    elapsed_s = period_s if previous_s is None else max(0.0, began_s - previous_s)
    return Beat(
        late_s=late_s,
        elapsed_s=min(elapsed_s, ELAPSED_TICKS_MAX * period_s),
        skipped=skipped,
        next_due_s=due_s + (skipped + 1) * period_s,
    )
