"""Another program at the port, or half an answer of a process that was killed: it is no answer, and never a traceback."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from loadtests import stored
from scripts.local import broker, traffic
from scripts.local.chargers import Door
from scripts.local.consul import Consul
from scripts.local.home import Home
from scripts.local.ports import Ports
from scripts.trial import order

from dronedispatch.fleet.city import default_city
from support.ports import free_ports

WORDS = {
    "another protocol": b"SSH-2.0-OpenSSH_9.2\r\n",
    "half an answer": b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{",
}


@pytest.fixture(params=WORDS)
def stranger(request: pytest.FixtureRequest) -> Iterator[Ports]:
    """Ports at whose door, Consul and broker it listens."""

    class Says(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(WORDS[request.param])

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    ports = free_ports()
    servers = [
        Server(("127.0.0.1", port), Says) for port in (ports.lb, ports.consul_http, ports.amqp_management)
    ]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield ports
    for server in servers:
        server.shutdown()
        server.server_close()


def test_scripts_load_says_that_nobody_answers(stranger: Ports) -> None:
    host = f"http://127.0.0.1:{stranger.lb}"
    with pytest.raises(stored.NoAnswer, match="GET"):
        stored.get(host, "/figures")
    with pytest.raises(stored.NoAnswer, match="HEAD"):
        stored.date(host)


def test_consul_has_not_answered(stranger: Ports) -> None:
    consul = Consul(stranger)
    assert not consul.leads()
    assert consul.health() == {}


def test_the_demonstration_goes_on(stranger: Ports) -> None:
    door = Door(f"http://127.0.0.1:{stranger.lb}")
    assert traffic.shown_city(door).document == default_city().document
    traffic.send(door, {}, "key")


def test_a_broker_is_told_its_users_when_it_starts_again(
    stranger: Ports, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home(tmp_path / "home")
    home.make_secrets()
    broker.give_users(home, stranger)


def test_the_last_step_of_a_trial_asks_again(stranger: Ports) -> None:
    assert order.ask(f"http://127.0.0.1:{stranger.lb}", "/deliveries")[0] == 0
