"""The network of tests: what it promises about cables and processes."""

from __future__ import annotations

import socket
import subprocess
import threading
from pathlib import Path

import pytest
from scripts.cluster.patience import Patience

from support.netns import Host, network

pytestmark = pytest.mark.netns


def reaches(host: Host, address: str, port: int) -> bool:
    def connect() -> bool:
        try:
            socket.create_connection((address, port), timeout=0.5).close()
        except OSError:
            return False
        return True

    return host.inside(connect)


def listen(host: Host, address: str) -> socket.socket:
    return host.inside(lambda: socket.create_server((address, 0)))


def test_hosts_reach_each_other_until_a_cable_is_pulled(tmp_path: Path) -> None:
    with network() as made:
        made.add_switch("inner")
        one = made.add_host("one", {"inner": "10.77.0.1"}, names={"two": "10.77.0.2"})
        two = made.add_host("two", {"inner": "10.77.0.2"})
        with listen(two, "10.77.0.2") as server:
            port = server.getsockname()[1]
            # A cable that has just been plugged in may lose the first packet, and TCP repeats it after a second.
            assert Patience(10, 0.05).until(lambda: reaches(one, "10.77.0.2", port))
            two.pull()
            assert not reaches(one, "10.77.0.2", port)
            assert reaches(two, "10.77.0.2", port)
            two.plug()
            assert Patience(10, 0.05).until(lambda: reaches(one, "10.77.0.2", port))
        assert "10.77.0.2 two" in one.run(["cat", "/etc/hosts"], {"PATH": "/usr/bin:/bin"}).stdout
        daemon = one.start(["sleep", "60"], {"PATH": "/usr/bin:/bin"}, tmp_path / "log")
        assert Patience(10, 0.02).until(lambda: one.pids() == [daemon.pid])
        one.kill()
        assert one.pids() == []
    left = subprocess.run(
        ["ip", "netns", "list"], capture_output=True, text=True, timeout=600, check=True
    ).stdout
    assert made.prefix not in left


def test_only_the_thread_that_enters_is_moved() -> None:
    with network() as made:
        made.add_switch("inner")
        host = made.add_host("one", {"inner": "10.77.0.1"})
        ours = Path(f"/proc/self/task/{threading.get_native_id()}/ns/net").readlink()
        inside = host.inside(lambda: Path(f"/proc/self/task/{threading.get_native_id()}/ns/net").readlink())
        assert inside != ours
        assert Path(f"/proc/self/task/{threading.get_native_id()}/ns/net").readlink() == ours
