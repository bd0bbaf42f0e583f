from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from scripts.local import system
from scripts.local.home import Home
from scripts.local.options import Options
from scripts.local.ports import BASE_MAX, BASE_MIN, Ports, holder, is_taken, outgoing_range
from scripts.local.system import System
from scripts.local.trouble import Trouble


def every_port(base: int) -> set[int]:
    ports = Ports(base)
    return {*ports.to_bind(broker=True).values(), ports.locust}


def test_the_default_ports_are_the_documented_ones() -> None:
    ports = Ports()
    assert (ports.lb, ports.lb_control, ports.locust, ports.consul_http) == (8080, 8081, 8089, 8500)


@pytest.mark.parametrize("apart", [10, 100, 400])
def test_two_systems_whose_bases_differ_by_10_to_400_share_no_port(apart: int) -> None:
    assert not every_port(8080) & every_port(8080 + apart)


def test_no_port_of_a_system_is_used_twice() -> None:
    assert len(every_port(8080)) == len(Ports().to_bind(broker=True)) + 1


@pytest.mark.parametrize("base", [BASE_MIN - 1, BASE_MAX + 1, -1, 0])
def test_a_base_that_leads_outside_the_ports_is_refused(base: int) -> None:
    with pytest.raises(ValueError, match="port base"):
        Ports(base)


@pytest.mark.parametrize("base", [BASE_MIN, BASE_MAX])
def test_every_port_of_an_accepted_base_exists(base: int) -> None:
    assert all(0 < port <= 65535 for port in every_port(base))


def test_a_port_is_taken_while_somebody_listens_on_it() -> None:
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = int(listener.getsockname()[1])
        assert is_taken("127.0.0.1", port)
    assert not is_taken("127.0.0.1", port)


def test_an_address_of_another_machine_is_an_error_and_not_a_taken_port() -> None:
    with pytest.raises(OSError):
        is_taken("192.0.2.1", 40000)


def test_without_a_private_broker_its_ports_are_not_wanted() -> None:
    assert Ports().amqp not in Ports().to_bind(broker=False).values()
    assert dataclasses.asdict(Ports()) == {"base": 8080}


@contextlib.contextmanager
def connection_from(host: str) -> Iterator[int]:
    """A port that an outgoing connection of another address than 127.0.0.1 holds, as the kernel gives it out."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(contextlib.closing(socket.socket()))
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        client = held.enter_context(contextlib.closing(socket.socket()))
        client.bind((host, 0))
        client.connect(listener.getsockname())
        yield int(client.getsockname()[1])


def test_an_outgoing_connection_of_another_address_takes_the_port_where_every_address_is_tried() -> None:
    with connection_from("127.0.0.2") as port:
        assert not is_taken("127.0.0.1", port)
        assert is_taken("0.0.0.0", port)
        assert holder(port) == "connection"


@pytest.fixture
def nothing_else_taken(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Only the ports that a test puts in are asked for in earnest: what else runs here is not its matter."""
    ports: set[int] = set()
    monkeypatch.setattr(
        system, "is_taken", lambda host, port, *, udp=False: port in ports and is_taken(host, port, udp=udp)
    )
    return ports


def test_a_port_that_a_connection_holds_is_told_before_anything_starts(
    tmp_path: Path, nothing_else_taken: set[int]
) -> None:
    with connection_from("127.0.0.2") as port:
        nothing_else_taken.add(port)
        base = port - 425
        with pytest.raises(
            Trouble, match=rf"port {port}, .* is held by an outgoing connection .*--port-base below"
        ):
            System(Home(tmp_path), Options(port_base=base)).check_ports(print)


def test_gossip_wants_its_port_by_udp_too(tmp_path: Path, nothing_else_taken: set[int]) -> None:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as other:
        other.bind(("127.0.0.1", 0))
        port = int(other.getsockname()[1])
        nothing_else_taken.add(port)
        with pytest.raises(Trouble, match=rf"port {port}, wanted for Consul's gossip, is taken"):
            System(Home(tmp_path), Options(port_base=port - 422)).check_ports(print)


@pytest.mark.parametrize(
    ("state", "who"),
    [("0A", "listener"), ("01", "connection"), ("02", "connection"), ("06", None), ("08", None), ("", None)],
)
def test_the_kernels_table_says_who_holds_a_port(state: str, who: str | None) -> None:
    head = "  sl  local_address rem_address   st"
    row = f"   0: 0100007F:1F90 0100007F:C350 {state} 0 0 0\n" if state else ""
    assert holder(8080, [f"{head}\n{row}"]) == who
    assert holder(8081, [f"{head}\n{row}"]) is None


def test_a_base_among_the_ports_of_outgoing_connections_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(system, "is_taken", lambda *_where, **_how: False)
    told: list[str] = []
    System(Home(tmp_path), Options(port_base=outgoing_range().start)).check_ports(told.append)
    System(Home(tmp_path), Options()).check_ports(told.append)
    assert len(told) == 1
    assert "--port-base below" in told[0]
