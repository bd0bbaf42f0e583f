"""What a warning does to a test: one of ours fails it, a library's does not."""

from __future__ import annotations

import re
import sys

import pytest
from scripts.local.home import CHECKOUT

from support.commands import ran

WARNS = """
import warnings

def deprecated(): warnings.warn("old", DeprecationWarning, stacklevel=1)
def in_the_future(): warnings.warn("old", FutureWarning, stacklevel=1)
def anything(): warnings.warn("old", UserWarning, stacklevel=1)
"""
CASES = """
import socket
import a_library, dronedispatch_own

async def later(): ...

def test_library_deprecated(): a_library.deprecated()
def test_library_in_the_future(): a_library.in_the_future()
def test_library_anything(): a_library.anything()
def test_own_deprecated(): dronedispatch_own.deprecated()
def test_own_in_the_future(): dronedispatch_own.in_the_future()
def test_own_anything(): dronedispatch_own.anything()
def test_own_socket_left_open(): socket.socket()
def test_own_coroutine_not_awaited(): later()
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Name of the case -> what became of it under our own settings."""
    folder = tmp_path_factory.mktemp("warnings")
    (folder / "a_library.py").write_text(WARNS, encoding="utf-8")
    (folder / "dronedispatch_own.py").write_text(WARNS, encoding="utf-8")
    (folder / "test_case.py").write_text(CASES, encoding="utf-8")
    settings = ("-c", str(CHECKOUT / "pyproject.toml"), f"--rootdir={folder}", "-p", "no:cacheprovider")
    words = [sys.executable, "-m", "pytest", "-rA", *settings, "-o", f"pythonpath={folder}", "test_case.py"]
    done = ran(words, cwd=folder)
    return {name: what for what, name in re.findall(r"^(PASSED|FAILED) .*::test_(\w+)", done.stdout, re.M)}


def test_a_warning_that_a_library_raises_fails_no_test(outcomes: dict[str, str]) -> None:
    assert {what for name, what in outcomes.items() if name.startswith("library")} == {"PASSED"}


def test_a_warning_that_our_own_code_raises_fails_the_test(outcomes: dict[str, str]) -> None:
    ours = {name: what for name, what in outcomes.items() if name.startswith("own")}
    assert ours == dict.fromkeys(ours, "FAILED")
    assert {"own_deprecated", "own_socket_left_open", "own_coroutine_not_awaited"} <= set(ours)
