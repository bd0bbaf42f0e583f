"""One running system for all files that a worker gets: 72 drones, 60 simulated seconds in a second."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.live_system import LiveSystem, eventually, running_system


@pytest.fixture(scope="session")
def system() -> Iterator[LiveSystem]:
    with running_system("integration", "--drones", "72", "--speed", "60") as live:
        yield live


@pytest.fixture
def healthy(system: LiveSystem) -> LiveSystem:
    """The system, with every process passing before the test begins: the test before may have hurt it."""
    eventually(system.all_healthy, "every process is healthy", 40)
    return system
