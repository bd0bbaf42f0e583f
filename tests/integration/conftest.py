"""Two lanes: files that share one running system, and files that start, stop and start again systems of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from scripts.local.home import CHECKOUT

from support.lanes import Lanes
from support.live_system import LiveSystem, eventually, running_system
from support.ports import free_ports

STARTS_ITS_OWN = ("test_commands_fail.py", "test_pages.py", "test_starts.py")
# A checkout as the pages have it: its scripts, with the home and the ports of this test where the defaults would be.
SHIM = '#!/bin/sh\nexec "{script}" "$@" --home "{home}"{more}\n'


# A start is half a minute of CPU: no second worker makes the system that the files share.
LANES = Lanes(lambda file: "their own systems" if file in STARTS_ITS_OWN else "the shared system")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(LANES)


@pytest.fixture(scope="session")
def system() -> Iterator[LiveSystem]:
    """72 drones, 60 simulated seconds in a second."""
    with LANES.share(running_system("integration", "--drones", "72", "--speed", "60")) as live:
        yield live


@pytest.fixture
def healthy(system: LiveSystem) -> LiveSystem:
    """The system, with every process passing before the test begins: the test before may have hurt it."""
    eventually(system.all_healthy, "every process is healthy", 40)
    return system


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSystem]:
    """A home beside a checkout's scripts, where commands are typed as the pages have them; nothing runs there yet."""
    folder = tmp_path_factory.mktemp("pages")
    found = LiveSystem(folder / ".run", free_ports())
    scripts = folder / "scripts"
    scripts.mkdir()
    for name in ("up", "down", "status", "logs", "scale"):
        more = f" --port-base {found.ports.base}" if name == "up" else ""
        shim, script = scripts / name, CHECKOUT / "scripts" / name
        shim.write_text(SHIM.format(script=script, home=found.home, more=more), encoding="utf-8")
        shim.chmod(0o755)
    (folder / ".venv").symlink_to(CHECKOUT / ".venv")
    yield found
    if found.home.exists():
        found.down()
