"""What a service loads before it serves: nothing that it never calls."""

from __future__ import annotations

import subprocess
import sys

import pytest

LOADED = """
import importlib, sys
from dronedispatch import cli
with cli.light_imports():
    importlib.import_module("dronedispatch.{package}.__main__")
print(*sorted({{name.partition(".")[0] for name in sys.modules}}), *(name for name in sys.modules if "f2py" in name))
"""
NEVER_CALLED = {"aiohttp", "urllib3", "charset_normalizer", "rich", "pygments", "cyclopts", "supervisor"}


@pytest.mark.parametrize("package", ["kvstore", "kvfront", "gateway", "lb", "dispatcher", "drone_sim"])
def test_a_service_does_not_load_what_it_never_calls(package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED.format(package=package)],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "sanic" in loaded
    assert loaded & NEVER_CALLED == set()
    assert {name for name in loaded if name.startswith("numpy.f2py.")} == set()
