"""Ids in the form of ours, one after another: no two of one run are alike, and every run has the same."""

from __future__ import annotations

import itertools

_numbers = itertools.count(1)


def new_id() -> str:
    """A ULID, greater than all before."""
    return f"{next(_numbers):026}"
