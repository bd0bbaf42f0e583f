"""How the tool ends: nothing that it has started goes on without it, and no closed input is a traceback."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from scripts.local import leftovers
from scripts.local.home import CHECKOUT

from support.waiting import wait_until

TOOL = str(CHECKOUT / ".venv" / "bin" / "dronedispatch")
WITHIN_S = 300


def test_whoever_ends_it_ends_the_script_that_it_has_become(tmp_path: Path) -> None:
    """Not the terminal, which tells all of them: a supervisor that ends one process."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "lb-1.log").write_text("serving\n", encoding="utf-8")
    mark = f"DD_TEST_TOOL={tmp_path}"
    with subprocess.Popen(
        [TOOL, "logs", "--follow", "--home", str(tmp_path)],
        env={**os.environ, "DD_TEST_TOOL": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == b"serving\n"
            child.terminate()
            assert child.wait(WITHIN_S) == 130
            wait_until(lambda: not leftovers.pids_with(mark), "nothing of it runs", 10)
        finally:
            leftovers.end_with(mark)


def test_a_city_is_read_from_standard_input() -> None:
    done = subprocess.run(
        [TOOL, "zones", "diff", "-", "--url", "http://127.0.0.1:9", "--timeout", "1"],
        input="[]",
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("dronedispatch: - is no GeoJSON FeatureCollection")


def test_a_city_from_a_closed_input_is_one_sentence() -> None:
    command = f"'{TOOL}' zones diff - --url http://127.0.0.1:9 <&-"
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=WITHIN_S, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "dronedispatch: - cannot be read: standard input is closed\n"
