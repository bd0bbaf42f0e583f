"""The Consul adapter's own tests once more, with py-consul, the maintained heir of the declared python-consul."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from support.commands import ran

pytestmark = pytest.mark.real

HEIR = CHECKOUT / ".venv" / "py-consul"
ADAPTER = "tests/contract/test_consul_client.py"


def with_the_heir(*words: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return ran([sys.executable, *words], {**environ, "PYTHONPATH": str(HEIR)}, cwd=CHECKOUT)


def test_the_adapter_keeps_its_word_on_py_consul_too(tmp_path: Path) -> None:
    assert HEIR.is_dir(), "scripts/install-tools --dev installs it"
    found = with_the_heir("-c", "import consul; print(consul.__file__)")
    assert Path(found.stdout.strip()).is_relative_to(HEIR), found.stdout + found.stderr

    report = tmp_path / "report.xml"
    done = with_the_heir("-m", "pytest", "-q", "-p", "no:cacheprovider", ADAPTER, f"--junitxml={report}")
    assert done.returncode == 0, done.stdout[-4000:]
    (suite,) = ElementTree.parse(report).iter("testsuite")
    assert (
        int(suite.attrib["tests"]) >= (CHECKOUT / ADAPTER).read_text(encoding="utf-8").count("def test_") > 0
    )
    assert suite.attrib["skipped"] == "0"
