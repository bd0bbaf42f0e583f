"""The unit rabbitmq-watch: which broker it starts again, and which it leaves alone."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.broker_watch import WATCH
from support.netns import Host, network
from support.waiting import wait_until

pytestmark = [pytest.mark.real, pytest.mark.netns]

OWN, *PEERS = ADDRESSES = ("10.77.1.11", "10.77.1.12", "10.77.1.13")
AMQP, DISTRIBUTION = 5672, 25672
LOOKS = 3


class Watched:
    """One host with the addresses of three brokers, of which ports listen or do not, and the watch of the first."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.folder = folder
        self.open = ExitStack()

    def listen(self, address: str, port: int) -> socket.socket:
        return self.open.enter_context(self.host.inside(lambda: socket.create_server((address, port))))

    def lines(self, name: str) -> int:
        """How often the command that appends to this file was called."""
        path = self.folder / name
        return len(path.read_text().splitlines()) if path.exists() else 0

    def watch(self, *, running: bool = True, restarts: bool = True) -> None:
        """`running`: whether systemd says so; `restarts`: whether it can."""
        for name, good in (("looked", running), ("restarted", restarts)):
            script = self.folder / f"{name}.sh"
            script.write_text(f"#!/bin/sh\necho once >>{self.folder / name}\nexit {0 if good else 1}\n")
            script.chmod(0o755)
        told = {
            "PATH": os.environ["PATH"],
            "WATCH_EVERY_S": "0.02",
            "WATCH_LOOKS": str(LOOKS),
            "WATCH_RUNNING": str(self.folder / "looked.sh"),
            "WATCH_RESTART": str(self.folder / "restarted.sh"),
        }
        self.process = self.host.start([str(WATCH), *ADDRESSES], told, self.folder / "watch.log")

    def looks(self, times: int) -> None:
        """Until the watch has looked at what systemd says so often, from now on."""
        before = self.lines("looked")
        wait_until(lambda: self.lines("looked") >= before + times, "the watch looks")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with network() as made:
        made.add_switch("private")
        host = made.add_host("broker", {"private": OWN})
        for address in PEERS:
            done = host.run(
                ["ip", "address", "add", f"{address}/24", "dev", "lo"], {"PATH": os.environ["PATH"]}
            )
            assert done.returncode == 0, done.stderr
        one = Watched(host, tmp_path)
        with one.open:
            yield one


def test_a_broker_that_serves_nobody_though_it_sees_most_of_the_others_is_started_again_and_again(
    watched: Watched,
) -> None:
    watched.listen(PEERS[0], DISTRIBUTION)
    watched.watch(restarts=False)
    wait_until(lambda: watched.lines("restarted") >= 2, "it is started again, and once more")
    assert watched.lines("looked") >= 2 * LOOKS  # not before it was looked at so often
    assert "could not be started again" in (watched.folder / "watch.log").read_text()


def test_a_broker_that_sees_too_few_of_the_others_is_left_alone(watched: Watched) -> None:
    watched.watch()
    watched.looks(3 * LOOKS)
    assert watched.lines("restarted") == 0
    watched.listen(PEERS[1], DISTRIBUTION)
    wait_until(lambda: watched.lines("restarted"), "it sees another, and is started again")


def test_a_broker_that_is_stopped_or_starts_for_the_first_time_is_left_alone(watched: Watched) -> None:
    for peer in PEERS:
        watched.listen(peer, DISTRIBUTION)
    watched.watch(running=False)
    watched.looks(3 * LOOKS)
    assert watched.lines("restarted") == 0


def test_a_broker_that_serves_is_left_alone_until_it_serves_no_more(watched: Watched) -> None:
    watched.listen(PEERS[0], DISTRIBUTION)
    serving = watched.listen(OWN, AMQP)
    watched.watch()
    for _ in range(3 * LOOKS):
        connection, _ = serving.accept()  # one look
        connection.close()
    assert watched.lines("looked") == watched.lines("restarted") == 0
    serving.close()
    wait_until(lambda: watched.lines("restarted"), "it serves no more, and is started again")
    watched.process.send_signal(signal.SIGTERM)
    watched.process.wait(timeout=600)


def test_without_an_address_it_says_how_it_is_used(watched: Watched) -> None:
    done = watched.host.run([str(WATCH)], {"PATH": os.environ["PATH"]})
    assert (done.returncode, done.stderr) == (2, "usage: broker-watch ADDRESS PEER...\n")
