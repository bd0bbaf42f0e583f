"""A life cycle is a table of legal moves and one error that names from, to and id."""

from __future__ import annotations

from collections.abc import Mapping, Set
from enum import StrEnum
from typing import TypeVar

S = TypeVar("S", bound=StrEnum)


class IllegalMove(Exception):
    """`subject` cannot go from `current` to `wanted`."""

    def __init__(self, subject: str, current: StrEnum, wanted: StrEnum) -> None:
        super().__init__(f"{subject} cannot go from {current} to {wanted}")
        self.subject = subject
        self.current = current
        self.wanted = wanted


def check_move(moves: Mapping[S, Set[S]], subject: str, current: S, wanted: S) -> None:
    """Raises IllegalMove unless the table allows it."""
    if wanted not in moves[current]:
        raise IllegalMove(subject, current, wanted)
