"""Commands that are interrupted end at once, in a sentence, and what they started with them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from scripts.local import leftovers
from scripts.local.home import CHECKOUT

from dronedispatch.fleet.city import default_city
from support.waiting import wait_until

WITHIN_S = 120


@contextlib.contextmanager
def running(words: Sequence[str | Path], **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A command at work; what is left of it at the end is killed."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    with subprocess.Popen(words, text=True, **pipes) as child:
        try:
            yield child
        finally:
            child.kill()


def interrupted(child: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code after Ctrl-C, and its last words."""
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=WITHIN_S)
    return child.returncode, said


def test_ctrl_c_ends_the_checks_that_run_and_begins_no_other(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    program = tmp_path / "program.py"
    program.write_text(
        f"""import sys
from scripts.local import check
STEP = ("sh", "-c", 'echo . >> "$0"; exec tail -f /dev/null', {str(begun)!r})
check.steps = lambda **_: [check.Step(str(n), STEP) for n in range(4)]
sys.argv[1:] = []
check.main()
""",
        encoding="utf-8",
    )
    mark = f"DD_TEST_CHECK={tmp_path}"
    environ = {**os.environ, "PYTHONPATH": f"{CHECKOUT}", "DD_TEST_CHECK": str(tmp_path)}
    with running([sys.executable, program], env=environ) as child:
        try:
            wait_until(lambda: begun.exists() and begun.read_text() == ".\n.\n", "two checks run", 10)
            assert interrupted(child) == (130, "interrupted\n")
        finally:
            leftovers.end_with(mark)
    assert begun.read_text(encoding="utf-8") == ".\n.\n"


SLOW_TO_IMPORT = "import sys\nprint('importing', flush=True)\nsys.stdin.read()\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """This one by another name, with a program in it that is slow to import."""
    for name in (".venv", "scripts", "services"):
        (tmp_path / name).symlink_to(CHECKOUT / name)
    (tmp_path / "slow.py").write_text(SLOW_TO_IMPORT, encoding="utf-8")
    (tmp_path / "cyclopts.py").write_text(SLOW_TO_IMPORT, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "root=$PWD; source scripts/setup/python.sh; run_module slow",
        "PYTHONPATH=$PWD exec .venv/bin/dronedispatch orders list",
    ],
)
def test_ctrl_c_while_a_command_is_imported_is_no_traceback(checkout: Path, command: str) -> None:
    with running(["bash", "-euc", command], cwd=checkout, stdin=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "importing\n"
        assert interrupted(child) == (-signal.SIGINT, "")


@pytest.mark.parametrize("words", [["city", "check", "{0}"], ["city", "import", "{0}", "-o", "{1}"]])
def test_ctrl_c_while_a_city_is_read_is_one_word(tmp_path: Path, words: list[str]) -> None:
    source = tmp_path / "quarters"
    os.mkfifo(source)
    command = [word.format(source, tmp_path / "out.geojson") for word in words]
    with running([CHECKOUT / "scripts" / command[0], *command[1:]]) as child:
        writer = os.open(source, os.O_WRONLY)  # it is open at the other end: it reads
        assert interrupted(child) == (130, "interrupted\n")
        os.close(writer)


def test_a_city_that_nobody_reads_about_is_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "city.geojson"
    file.write_text(json.dumps(default_city().document), encoding="utf-8")
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [CHECKOUT / "scripts" / "city", "check", file],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
