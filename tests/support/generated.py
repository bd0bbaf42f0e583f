"""How many examples a generated test tries, and from which seed: the same in every run of the suite.

`scripts/test --free-seeds --examples 20` tries others, and twenty times as many; what it finds becomes an @example.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

SUITE = "suite"
FREE = "free-seeds"
FACTOR_VARIABLE = "TEST_EXAMPLES_FACTOR"
EXAMPLES = 100


def factor(environ: Mapping[str, str] = os.environ) -> int:
    """How many times as many examples as in the suite."""
    return max(1, int(environ.get(FACTOR_VARIABLE, "1")))


def examples(count: int) -> int:
    """`count` in the suite; more by the factor of a night."""
    return count * factor()


def register() -> None:
    """Make the two profiles, and the suite's the one that holds unless pytest is told `--hypothesis-profile`.

    No deadline and no complaint of slowness: both measure the machine.

    Hypothesis also draws the constants of every local module that is loaded, so that the examples of a test would hang on
    which tests ran before it in the same process: here no module is local.
    """
    providers.is_local_module_file = _not_local  # type: ignore[attr-defined,assignment]
    unclocked = settings(
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
        max_examples=examples(EXAMPLES),
        database=None,
        print_blob=True,
    )
    settings.register_profile(SUITE, unclocked, derandomize=True)
    settings.register_profile(FREE, unclocked, derandomize=False)
    settings.load_profile(SUITE)


def _not_local(_path: str) -> bool:
    return False


def said(seed: object) -> str:
    """For pytest's header."""
    chance = (
        f"seed {seed}" if seed is not None else "derandomized: each test's own seed, the same in every run"
    )
    return (
        f"generated tests: {chance}; {factor()} x the examples (again: --hypothesis-seed, {FACTOR_VARIABLE})"
    )
