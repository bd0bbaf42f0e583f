"""The commands of docs/operations.md and of the README's tour, typed word for word on a system of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT

from support.live_system import LiveSystem, eventually
from support.page_commands import Block, typed_by_the_live_test
from support.ports import free_ports

pytestmark = pytest.mark.real

# A checkout as the pages have it: its scripts, with the home and the ports of this test where the defaults would be.
SHIM = '#!/bin/sh\nexec "{script}" "$@" --home "{home}"{more}\n'


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSystem]:
    folder = tmp_path_factory.mktemp("pages")
    found = LiveSystem(folder / ".run", free_ports())
    scripts = folder / "scripts"
    scripts.mkdir()
    for name in ("up", "down", "status", "logs", "scale"):
        more = f" --port-base {found.ports.base}" if name == "up" else ""
        shim = scripts / name
        shim.write_text(
            SHIM.format(script=CHECKOUT / "scripts" / name, home=found.home, more=more), encoding="utf-8"
        )
        shim.chmod(0o755)
    (folder / ".venv").symlink_to(CHECKOUT / ".venv")
    yield found
    if found.home.exists():
        found.down()


def type_in(live: LiveSystem, block: Block) -> str:
    """Run the block as a shell would in the checkout; what it printed."""
    folder: Path = live.home.parent
    text = block.text.replace("127.0.0.1:8500", f"127.0.0.1:{live.ports.consul_http}")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{block.page}:\n{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def all_healthy(live: LiveSystem) -> None:
    eventually(live.all_healthy, "every process is healthy", 60)


def test_the_commands_of_the_pages_do_what_they_say(live: LiveSystem) -> None:
    said = []
    for block in typed_by_the_live_test():
        if "scripts/status" in block.text:  # its exit code is about the system's health
            all_healthy(live)
        said.append(type_in(live, block))

    assert any("kvstore-2" in words for words in said)
    all_healthy(live)


def test_the_examples_run_against_a_whole_system(live: LiveSystem) -> None:
    for example in ("session.sh", "client.py"):
        done = subprocess.run(
            [CHECKOUT / "examples" / example, live.url],
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "delivered" in done.stdout
