"""A command that a test types and waits for."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from scripts.local.home import CHECKOUT


def ran(*words: str | Path, timeout_s: float = 1200.0, **more: Any) -> subprocess.CompletedProcess[str]:
    """In the checkout, without input; its exit code is the caller's to judge."""
    given: dict[str, Any] = {"cwd": CHECKOUT, "input": ""} | more
    return subprocess.run(words, capture_output=True, text=True, timeout=timeout_s, check=False, **given)
