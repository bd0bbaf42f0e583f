"""docs/rough-world.md names a test for every kind of fault, and each of them exists."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
ROW = re.compile(r"^\| ([A-E]\d) \| [^|]+ \| [^|]+ \| `(tests/[\w/]+\.py)::(test_\w+)` \|$", re.MULTILINE)
KINDS = {"A": 8, "B": 5, "C": 8, "D": 4, "E": 8}


def rows() -> list[tuple[str, str, str]]:
    return ROW.findall((CHECKOUT / "docs" / "rough-world.md").read_text(encoding="utf-8"))


def test_every_kind_of_fault_has_a_row() -> None:
    wanted = {f"{letter}{number}" for letter, count in KINDS.items() for number in range(1, count + 1)}
    assert {kind for kind, _, _ in rows()} == wanted


def test_each_test_that_a_row_names_exists() -> None:
    missing = [
        f"{file}::{name}"
        for _, file, name in rows()
        if not (CHECKOUT / file).is_file()
        or not re.search(rf"def {name}\(", (CHECKOUT / file).read_text(encoding="utf-8"))
    ]
    assert not missing
