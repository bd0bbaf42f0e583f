"""How far this machine's clock is from the server's: orders are stamped by the server, and a test begins and ends here.

A `Date` header says a whole second, so that one answer tells the offset within a second and the answer's time. Several
answers at different parts of a second narrow it down: each gives an interval, and the offset lies in all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

LOOKS = 7
LOOK_EVERY_S = 0.15  # seven of them see a second from all sides


@dataclass(frozen=True, slots=True)
class Offset:
    """Server minus this machine lies from `low_s` to `high_s`."""

    low_s: float
    high_s: float

    @property
    def certain(self) -> bool:
        """Whether the clocks differ beyond what was measured with."""
        return self.low_s > 0.0 or self.high_s < 0.0

    @property
    def best_s(self) -> float:
        """What to add to this machine's time; 0 while nothing shows that the clocks differ."""
        return (self.low_s + self.high_s) / 2.0 if self.certain else 0.0

    def earliest(self, now: datetime) -> datetime:
        """The earliest that it may be at the server when it is `now` here: it stamps nothing before that from now on."""
        return now + timedelta(seconds=self.low_s)

    def sentence(self) -> str | None:
        """For people; None when the clocks agree."""
        if not self.certain:
            return None
        word = "behind" if self.best_s > 0 else "ahead of"
        margin_s = (self.high_s - self.low_s) / 2.0
        return (
            f"this machine's clock is {abs(self.best_s):.1f} s {word} the server's (within {margin_s:.1f} s): "
            "corrected in this verdict; set the clock right"
        )


def interval(date: str, asked: datetime, answered: datetime) -> Offset:
    """From one answer: the server said `date` at some moment between the two. Raises ValueError."""
    said = parsedate_to_datetime(date)
    if said.tzinfo is None:
        said = said.replace(tzinfo=UTC)
    return Offset((said - answered).total_seconds(), (said - asked).total_seconds() + 1.0)


def narrowed(looks: Iterable[Offset]) -> Offset:
    """What all looks agree on; where they contradict each other (a clock was set meanwhile), the widest that holds all.

    Raises ValueError without a look.
    """
    found = list(looks)
    low_s, high_s = max(one.low_s for one in found), min(one.high_s for one in found)
    if low_s > high_s:
        return Offset(min(one.low_s for one in found), max(one.high_s for one in found))
    return Offset(low_s, high_s)


def measure(look: Callable[[], str], now: Callable[[], datetime], pause: Callable[[float], None]) -> Offset:
    """Ask for LOOKS dates. Raises what `look` raises, and ValueError for a date that is none."""
    looks = []
    for _ in range(LOOKS):
        asked = now()
        date = look()
        looks.append(interval(date, asked, now()))
        pause(LOOK_EVERY_S)
    return narrowed(looks)
