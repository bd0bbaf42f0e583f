from __future__ import annotations

import contextlib
import dataclasses
import socket

import pytest
from scripts.local.ports import BASE_MAX, BASE_MIN, Ports, is_taken


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
