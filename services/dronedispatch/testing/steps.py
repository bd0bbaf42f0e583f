"""Drives one protocol generator by a written list of questions and answers."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, TypeVar

from dronedispatch.replication.effects import Note

T = TypeVar("T")


def run_steps(generator: Generator[Any, Any, T], answers: Sequence[tuple[type, Any]]) -> tuple[T, list[Any]]:
    """Answer the generator's requests in order; each must be of the type written beside its answer.

    Notes are answered by themselves. Returns what the generator returned and every request that it made, notes
    included.
    """
    left = list(answers)
    made: list[Any] = []
    value: Any = None
    while True:
        try:
            request = generator.send(value)
        except StopIteration as stop:
            assert not left, f"never asked for: {[kind.__name__ for kind, _ in left]}"
            return stop.value, made
        made.append(request)
        value = None
        if isinstance(request, Note):
            continue
        assert left, f"asked for one thing more: {request!r}"
        kind, value = left.pop(0)
        assert isinstance(request, kind), f"asked for {request!r}, not for {kind.__name__}"
