"""A program that a test runs to its end."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts.local.home import CHECKOUT


def ran(
    words: Sequence[str | Path],
    environ: Mapping[str, str] | None = None,
    *,
    cwd: str | Path = CHECKOUT,
    user: int | None = None,
    typed: str = "",
    timeout_s: float = 1200.0,
) -> subprocess.CompletedProcess[str]:
    """How it ended, which is the caller's to judge, and what it said."""
    return subprocess.run(
        [*words],
        env=environ,
        cwd=cwd,
        user=user,
        input=typed,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
