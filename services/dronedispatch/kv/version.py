"""The order of writes: versions compare lexicographically, and the greater one is the newer (kv-protocol, State)."""

from __future__ import annotations

import re
from typing import NamedTuple

_FORM = re.compile(r"(0|[1-9][0-9]{0,18})\.([1-9][0-9]{0,18})\Z")


class Version(NamedTuple):
    """`epoch` of the view that the write was applied in, `n` counting up per key. Written "epoch.n" (the ETag)."""

    epoch: int
    n: int

    def __str__(self) -> str:
        return f"{self.epoch}.{self.n}"


def parse_version(text: str) -> Version | None:
    """ "epoch.n" -> Version; "0" -> None (the key must not exist). Raises ValueError for any other text."""
    if text == "0":
        return None
    found = _FORM.match(text)
    if found is None:
        raise ValueError(f"not a version: {text[:40]!r} (expected 'epoch.n', or '0' for absent)")
    return Version(int(found[1]), int(found[2]))
