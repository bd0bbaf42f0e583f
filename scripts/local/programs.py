"""Programs that a script runs one after another, each bounded in time, none left behind."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import Any

from scripts.local.home import CHECKOUT

TIMED_OUT = 124  # as coreutils' timeout says it


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended; `output` is None when it went to the terminal."""

    code: int
    seconds: float
    output: str | None


def run(
    command: Sequence[str], *, timeout_s: float, environ: Mapping[str, str] | None = None, quiet: bool = False
) -> Ended:
    """Run in the checkout; after `timeout_s` its whole group is ended and the code is TIMED_OUT."""
    began_s = time.monotonic()
    output: str | None
    child = subprocess.Popen(
        list(command),
        cwd=CHECKOUT,
        env=dict(environ) if environ is not None else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
        start_new_session=True,
        text=True,
    )
    try:
        output, _ = child.communicate(timeout=timeout_s)
        code = child.returncode
    except subprocess.TimeoutExpired:
        output, code = end_group(child), TIMED_OUT
    except BaseException:
        end_group(child)
        raise
    return Ended(code, time.monotonic() - began_s, output)


def end_group(child: subprocess.Popen[Any]) -> str | None:
    """End a child and all that it started; what it has said, if anybody listened."""
    for number, patience_s in ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            said: str | None = child.communicate(timeout=patience_s)[0]
            return said
    return None
