"""A program that a test runs to its end."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def ran(
    words: Sequence[str | Path],
    environ: Mapping[str, str] | None = None,
    *,
    cwd: str | Path | None = None,
    user: int | None = None,
    timeout_s: float = 600.0,
) -> subprocess.CompletedProcess[str]:
    """How it ended, which is the caller's to judge, and what it said. Nobody types anything."""
    return subprocess.run(
        [*words],
        env=environ,
        cwd=cwd,
        user=user,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
