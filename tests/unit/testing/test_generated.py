"""The examples of a derandomized test are its own: they do not hang on what else its process has loaded."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st


def drawn() -> list[tuple[int, float, str]]:
    """What the suite's profile draws for one and the same test."""
    seen: list[tuple[int, float, str]] = []

    @given(st.integers(), st.floats(allow_nan=False), st.text())
    def a_test(number: int, size: float, text: str) -> None:
        seen.append((number, size, text))

    a_test()
    return seen


def test_a_test_draws_the_same_examples_alone_and_beside_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = drawn()
    constants = [f"n{number} = {7_919 * number}, {number}.375, 'word {number}'" for number in range(1, 100)]
    (tmp_path / "a_neighbour.py").write_text("\n".join(constants), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "a_neighbour", importlib.import_module("a_neighbour"))
    assert len(alone) > 50
    assert drawn() == alone
