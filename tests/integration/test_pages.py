"""The commands of docs/operations.md and of the README's tour, typed word for word on a system of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from scripts.local.home import CHECKOUT, Home
from scripts.local.leftovers import pids_of

from support.commands import ran
from support.live_orders import becomes_delivered, placed
from support.live_system import LiveSystem, eventually
from support.page_commands import typed_by_the_live_test

pytestmark = pytest.mark.real


def type_in(live: LiveSystem, page: str, words: str) -> str:
    """Type `words` as into a shell in the checkout; what it printed."""
    folder: Path = live.home.parent
    text = words.replace("127.0.0.1:8500", f"127.0.0.1:{live.ports.consul_http}")
    done = ran(["bash", "-euo", "pipefail", "-c", text], cwd=folder)
    assert done.returncode == 0, f"{page}:\n{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def all_healthy(live: LiveSystem) -> None:
    eventually(live.all_healthy, "every process is healthy", 60)


def test_the_commands_of_the_pages_do_what_they_say_and_data_survives_their_restart(live: LiveSystem) -> None:
    begin, again, *others = typed_by_the_live_test()
    start, stop = begin.text.splitlines()
    type_in(live, begin.page, start)
    delivery_id = placed(live, 22)
    type_in(live, begin.page, stop)
    assert pids_of(Home(live.home)) == []
    type_in(live, again.page, again.text)
    assert delivery_id in {one["id"] for one in live.deliveries()}
    becomes_delivered(live, delivery_id)

    said = []
    for block in others:
        if "scripts/status" in block.text:  # its exit code is about the system's health
            all_healthy(live)
        said.append(type_in(live, block.page, block.text))

    assert any("kvstore-2" in words for words in said)
    all_healthy(live)


def test_the_examples_run_against_a_whole_system(live: LiveSystem) -> None:
    for example in ("session.sh", "client.py"):
        done = ran([CHECKOUT / "examples" / example, live.url])
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "delivered" in done.stdout
