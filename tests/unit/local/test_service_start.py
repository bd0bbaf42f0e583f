"""What a service's process need not import."""

from __future__ import annotations

import sys

import pytest

from support.commands import ran

# A wrong setting ends the process after everything is imported.
STARTS = """
import os, sys
os.environ["KVSTORE_PORT"] = "none"
from dronedispatch.cli import main
code = main(["kvstore"])
print(code, "structlog" in sys.modules, sorted(one for one in sys.modules if one.partition(".")[0] in {"rich", "pygments"}))
"""


@pytest.mark.real
def test_a_service_starts_without_what_only_a_terminal_wants() -> None:
    done = ran([sys.executable, "-c", STARTS], timeout_s=1200)
    assert done.stdout == "2 True []\n", done.stderr
