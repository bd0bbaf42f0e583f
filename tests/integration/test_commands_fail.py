"""What a command says and leaves behind when a start goes wrong: Ctrl-C, a full disk, a port that is taken."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from scripts.local import leftovers
from scripts.local.home import CHECKOUT, Home

from support.commands import ran
from support.ports import free_ports
from support.waiting import wait_until

pytestmark = pytest.mark.real

DEADLINE_S = 900.0  # generous: a start takes a quarter of a minute


@contextlib.contextmanager
def started(words: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A command in a session of its own, as a terminal starts it; ended at the latest with the block."""
    child = subprocess.Popen(
        list(words),
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield child
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def up(home: Home) -> list[str]:
    return ["scripts/up", "--home", str(home.root), "--port-base", str(free_ports().base)]


def said_until(child: subprocess.Popen[str], word: str) -> None:
    """Read on until a line has `word`."""
    assert child.stdout is not None
    for line in child.stdout:
        if word in line:
            return
    raise AssertionError(f"it ended without {word!r}")


@pytest.mark.parametrize(
    ("word", "number"),
    [("Starting", signal.SIGINT), ("Starting", signal.SIGTERM), ("consul is healthy", signal.SIGTERM)],
)
def test_a_start_that_is_interrupted_leaves_nothing_running(
    tmp_path: Path, word: str, number: signal.Signals
) -> None:
    home = Home(tmp_path / "home")
    with started(up(home)) as child:
        said_until(child, word)
        os.killpg(child.pid, number)
        said, _ = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 130
    assert "Stopping what was started" in said or "interrupted" in said
    assert "Traceback" not in said
    wait_until(lambda: not leftovers.pids_of(home), "nothing of the home runs", 60)


def test_who_interrupts_again_and_again_leaves_nothing_running(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    with started(up(home)) as child:
        said_until(child, "consul is healthy")
        for _ in range(3):
            os.killpg(child.pid, signal.SIGINT)
        said_until(child, "Stopping what was started")
        for _ in range(2):
            os.killpg(child.pid, signal.SIGINT)
        said, _ = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 130
    assert "Traceback" not in said
    assert leftovers.pids_of(home) == []


def test_a_start_whose_reader_has_gone_is_stopped_by_ctrl_c_all_the_same(tmp_path: Path) -> None:
    """`scripts/up | tee FILE`: the Ctrl-C ends tee first."""
    home = Home(tmp_path / "home")
    with started(up(home)) as child:
        said_until(child, "consul is healthy")
        assert child.stdout is not None
        child.stdout.close()
        child.stdout = None  # communicate() shall not read it
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(DEADLINE_S) == 130
    assert leftovers.pids_of(home) == []


def test_a_benchmark_that_is_interrupted_while_its_system_starts_leaves_nothing_running() -> None:
    words = ["scripts/bench", "fleet", "--drones", "9", "--port-base", str(free_ports().base)]
    with started(words) as child:
        said_until(child, "consul is healthy")
        homes = list(Path("/tmp").glob("dd-fleet-*/home"))
        os.killpg(child.pid, signal.SIGINT)
        said, _ = child.communicate(timeout=DEADLINE_S)
    assert child.returncode == 130, said
    assert "Traceback" not in said
    assert homes
    for home in homes:
        wait_until(lambda home=home: not leftovers.pids_of(Home(home)), "nothing of it runs", 60)  # type: ignore[misc]


@pytest.mark.netns
def test_a_full_disk_is_one_sentence_and_nothing_starts(tmp_path: Path) -> None:
    """In a mount namespace of its own, so that nobody else sees the small disk."""
    command = f"mount -t tmpfs -o size=4m tmpfs {tmp_path} && exec scripts/up --detach --home {tmp_path}/home"
    done = ran(["unshare", "--mount", "sh", "-c", command])
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "free 500 MB there, or choose another place with --home DIR" in done.stderr
    assert leftovers.pids_of(Home(tmp_path / "home")) == []


def test_a_port_of_an_outgoing_connection_is_one_sentence_before_anything_starts(tmp_path: Path) -> None:
    ports = free_ports()
    with contextlib.ExitStack() as held:
        listener, client = (held.enter_context(contextlib.closing(socket.socket())) for _ in range(2))
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client.bind(("127.0.0.2", ports.amqp_distribution))
        client.connect(listener.getsockname())
        home, base = str(tmp_path / "home"), str(ports.base)
        done = ran(["scripts/up", "--detach", "--home", home, "--port-base", base])
    assert done.returncode == 1
    port = f"port {ports.amqp_distribution}, wanted for RabbitMQ's distribution"
    assert done.stderr.startswith(f"error: {port}, is held by")
    assert "Starting" not in done.stdout
