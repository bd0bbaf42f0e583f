"""A rule of the system, how a test switches it off, and the test that must then fail.

Production has no such switches: a rule is off when a mutation lies over the code that holds it, for the time of one test.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

Off = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True)
class Switch:
    """`proof(*arguments)` is a test of the suite, green as long as `off` has not been called."""

    rule: str
    off: Off
    proof: Callable[..., object]
    arguments: tuple[object, ...] = ()

    @property
    def name(self) -> str:
        """For the test's id."""
        return self.rule.replace(" ", "-")


def put(places: Mapping[str, object], below: str = "dronedispatch.lb") -> Off:
    """Lay each value over its dotted place."""

    def off(patch: pytest.MonkeyPatch) -> None:
        for place, value in places.items():
            patch.setattr(f"{below}.{place}", value)

    return off


def always(value: object) -> Callable[..., Any]:
    return lambda *_, **__: value


def with_arguments(function: Callable[..., Any], **forced: object) -> Callable[..., Any]:
    """`function`, called with `forced` whatever its caller says."""
    return lambda *given, **named: function(*given, **{**named, **forced})


def afterwards(function: Callable[..., Any], act: Callable[..., object]) -> Callable[..., Any]:
    """`function`, and then `act` with its first argument."""

    def both(first: Any, *given: Any, **named: Any) -> Any:
        result = function(first, *given, **named)
        act(first)
        return result

    return both


def setting(**values: object) -> Callable[[object], None]:
    """Sets attributes of what it is called with."""

    def act(what: object) -> None:
        for name, value in values.items():
            setattr(what, name, value)

    return act


async def run(proof: Callable[..., object], *arguments: object) -> None:
    """Call a test of either kind."""
    result = proof(*arguments)
    if inspect.isawaitable(result):
        await result


async def must_turn_red(switch: Switch) -> None:
    """Fails unless the proof fails: it asserts, or awaits what does not come. An error of a clumsy mutation is no proof."""
    with pytest.raises((AssertionError, TimeoutError, EOFError, pytest.fail.Exception)):
        await run(switch.proof, *switch.arguments)
    gc.collect()  # what the proof left open ends here and not in another test


async def turns_red(patch: pytest.MonkeyPatch, switch: Switch) -> None:
    """Switches the rule off; fails unless its proof does."""
    switch.off(patch)
    await must_turn_red(switch)
