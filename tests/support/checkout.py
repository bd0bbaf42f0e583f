"""The files of this checkout that Git knows, and what they say."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from scripts.local.home import CHECKOUT


@cache
def tracked(*endings: str) -> tuple[Path, ...]:
    """All of them, or those with one of these endings."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True).stdout
    paths = [CHECKOUT / os.fsdecode(name) for name in listed.split(b"\0") if name]
    return tuple(path for path in paths if path.is_file() and (not endings or path.suffix in endings))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def name_of(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))
