"""Lanes of a suite: what files share begins with the first of their tests and ends with the last."""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.local.home import CHECKOUT

from support.commands import ran

CONFTEST = """
import contextlib, os, pathlib
import pytest
from support.lanes import Lanes

LANES = Lanes(lambda file: file if file == "test_between.py" else "sharing")
told = pathlib.Path(__file__).with_name("told")

def tell(word):
    with told.open("a") as out:
        out.write(word + "\\n")

def pytest_configure(config):
    config.pluginmanager.register(LANES)

@contextlib.contextmanager
def dear():
    tell("begins")
    yield
    tell("ends")

@pytest.fixture(scope="session")
def shared():
    with LANES.share(dear()):
        yield

@pytest.fixture(autouse=True)
def told_of(request):
    tell(request.node.name)
"""
FILES = {
    "test_after.py": "def test_a(shared): ...\ndef test_b(): ...\n",
    "test_between.py": "def test_e(): ...\n",
    "test_c.py": "def test_c(shared): ...\ndef test_d(shared): ...\n",
}


def lines_of(folder: Path, *words: str) -> list[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    done = ran(
        [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", folder, folder, *words],
        {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT / "tests")},
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "told").read_text().splitlines()


def test_what_a_lane_shares_ends_with_its_last_test_and_not_with_the_session(tmp_path: Path) -> None:
    assert lines_of(tmp_path) == ["begins", "test_a", "test_b", "test_c", "test_d", "ends", "test_e"]


def test_a_lane_is_one_workers_and_what_it_shares_begins_once(tmp_path: Path) -> None:
    told = lines_of(tmp_path, "-n", "2", "--dist", "loadfile")
    assert [line for line in told if line != "test_e"] == [
        "begins",
        "test_a",
        "test_b",
        "test_c",
        "test_d",
        "ends",
    ]
