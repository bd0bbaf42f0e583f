"""One running system for the whole suite: 72 drones, 60 simulated seconds in a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from live_system import LiveSystem, eventually
from real_parts import free_ports


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSystem]:
    live = LiveSystem(tmp_path_factory.mktemp("home"), free_ports())
    live.up("--drones", "72", "--speed", "60", "--fresh")
    try:
        yield live
    finally:
        live.down()


@pytest.fixture
def healthy(system: LiveSystem) -> LiveSystem:
    """The system, with every process passing before the test begins: the test before may have hurt it."""
    eventually(
        lambda: all(row["healthy"] for row in system.status().values()), "every process is healthy", 40
    )
    return system
