"""A broker that is away keeps nobody from scaling; one that refuses its users is named."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.local import broker
from scripts.local.home import Home
from scripts.local.ports import Ports
from scripts.local.trouble import Trouble

from support.ports import free_ports


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path / "home")
    made.make_secrets()
    return made


@pytest.fixture
def refusing() -> Iterator[Ports]:
    class Refuses(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_error(400)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    ports = free_ports()
    with http.server.HTTPServer(("127.0.0.1", ports.amqp_management), Refuses) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield ports
        server.shutdown()


def test_a_broker_that_is_away_reads_its_users_when_it_starts_again(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.give_users(home, free_ports())
    assert "reads its users when it starts again" in capsys.readouterr().out
    written = json.loads((home.root / "etc" / "rabbitmq" / "definitions.json").read_text())
    assert broker.USER in {user["name"] for user in written["users"]}


def test_a_broker_that_refuses_its_users_is_an_error_that_names_its_log(home: Home, refusing: Ports) -> None:
    with pytest.raises(Trouble, match=r"does not take its users: .*rabbitmq\.log"):
        broker.give_users(home, refusing)


def test_every_erlang_machine_of_a_home_listens_on_loopback_only(home: Home) -> None:
    told = broker.environment(home, free_ports())
    # Erlang reads the first for each machine that the broker starts, such as the one that brings up epmd.
    for name in ("ERL_ZFLAGS", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"):
        assert "-kernel inet_dist_use_interface {127,0,0,1}" in told[name], name
