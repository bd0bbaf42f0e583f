"""One running system for the whole suite: 72 drones, 60 simulated seconds in a second."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from live_system import LiveSystem, eventually
from real_parts import free_ports


@pytest.fixture(scope="session")
def system() -> Iterator[LiveSystem]:
    # Not under pytest's own directory: another run of the same user would clear that away while this system runs.
    home = Path(tempfile.mkdtemp(prefix="dronedispatch-integration-"))
    live = LiveSystem(home, free_ports())
    try:
        live.up("--drones", "72", "--speed", "60", "--fresh")
        yield live
    finally:
        kept = CHECKOUT / ".artifacts" / "integration-logs"
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(home / "logs", kept)
        live.down()
        shutil.rmtree(home)


@pytest.fixture
def healthy(system: LiveSystem) -> LiveSystem:
    """The system, with every process passing before the test begins: the test before may have hurt it."""
    eventually(
        lambda: all(row["healthy"] for row in system.status().values()), "every process is healthy", 40
    )
    return system
