"""What a service's process need not import, and how its start is called off."""

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

# As the first process of a namespace does, it hears no SIGTERM that it has not asked for. The signal comes amid the imports.
CALLED_OFF = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
from dronedispatch import cli
class Amid:
    def find_spec(self, name, path, target=None):
        if name == "dronedispatch.kvstore.__main__":
            os.kill(os.getpid(), signal.SIGTERM)
            print("goes on", flush=True)
sys.meta_path.insert(0, Amid())
os.environ["KVSTORE_PORT"] = "none"
sys.exit(cli.main(["kvstore"]))
"""


@pytest.mark.real
def test_a_service_starts_without_what_only_a_terminal_wants() -> None:
    done = ran([sys.executable, "-c", STARTS], timeout_s=1200)
    assert done.stdout == "2 True []\n", done.stderr


@pytest.mark.real
def test_a_start_that_is_called_off_ends_at_once_where_unasked_signals_are_not_heard() -> None:
    done = ran([sys.executable, "-c", CALLED_OFF], timeout_s=1200)
    assert (done.returncode, done.stdout) == (143, ""), done.stderr
