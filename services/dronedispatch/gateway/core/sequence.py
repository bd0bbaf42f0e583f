"""Whether batches of events follow each other without a hole: what a listener may believe that he has heard."""

from __future__ import annotations

from enum import Enum


class Follows(Enum):
    """How a batch stands to those before it."""

    NEXT = "next"  # nothing is missing between them
    HOLE = "hole"  # something may be: other batches, or what an earlier leader has not told to its end
    OLD = "old"  # heard already, or of a leader that is none any more


class Batches:
    """The term and the last number that were heard; None: whatever comes is the beginning."""

    def __init__(self) -> None:
        self._heard: tuple[int, int] | None = None

    def forget(self) -> None:
        """Our listening was interrupted (and that has been said): the next batch is a new beginning."""
        self._heard = None

    def take(self, term: int, first: int, last: int) -> Follows:
        """A batch of the events `first`..`last` of `term` (first = last + 1: of none)."""
        if self._heard is None:
            self._heard = term, last
            return Follows.NEXT
        known_term, known_last = self._heard
        if term < known_term or (term == known_term and last <= known_last and first <= known_last):
            return Follows.OLD
        hole = term > known_term or first > known_last + 1
        self._heard = term, max(last, known_last) if term == known_term else last
        return Follows.HOLE if hole else Follows.NEXT
