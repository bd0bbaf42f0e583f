"""The public socket: made, inherited, refused; and what a worker is told."""

from __future__ import annotations

import os
import resource
import socket

import pytest

from dronedispatch.lb.listener import adopt, allow_descriptors, inherited_fd, open_listener
from dronedispatch.lb.settings import from_environment
from dronedispatch.lb.workers import worker_environment
from dronedispatch.runtime.serve import CannotListen


def test_two_holders_of_one_socket_share_its_queue_and_one_may_close() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first:
        with adopt(first.fileno(), 16) as second:
            port = second.getsockname()[1]
            client = socket.create_connection(("127.0.0.1", port))
        first.settimeout(2)
        accepted, _ = first.accept()
        accepted.close()
        client.close()


def test_a_taken_port_is_one_sentence_that_names_the_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = from_environment({"LB_PORT": str(taken.getsockname()[1])})
        with pytest.raises(CannotListen, match="LB_PORT"):
            open_listener(settings, {})


def test_a_descriptor_that_is_no_listening_socket_is_refused() -> None:
    reading, writing = os.pipe()
    with pytest.raises(CannotListen, match=str(reading)):
        adopt(reading, 16)
    os.close(reading)
    os.close(writing)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams, pytest.raises(CannotListen):
        adopt(datagrams.fileno(), 16)


def test_clients_that_vanish_are_noticed_by_what_the_listener_hands_down() -> None:
    with open_listener(from_environment({"LB_PORT": "0"}), {}) as sock:
        client = socket.create_connection(sock.getsockname())
        sock.settimeout(2)
        accepted, _ = sock.accept()
        with accepted:
            assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
        client.close()


@pytest.mark.parametrize(
    ("variables", "environ", "fd"),
    [
        ({}, {}, None),
        ({"LB_LISTEN_FD": "0"}, {}, 0),
        ({}, {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())}, 3),
        ({}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}, None),
        ({}, {"LISTEN_FDS": "0", "LISTEN_PID": str(os.getpid())}, None),
    ],
)
def test_a_socket_is_inherited_by_our_variable_or_as_systemd_passes_it(
    variables: dict[str, str], environ: dict[str, str], fd: int | None
) -> None:
    assert inherited_fd(from_environment(variables), environ) == fd


def test_each_worker_has_its_own_control_port_name_and_share() -> None:
    settings = from_environment({"LB_PROCESSES": "3", "LB_CONTROL_PORT": "9000", "LB_INSTANCE": "lb-a"})
    given = {"LB_RATE_PER_S": "9", "PATH": "/bin"}
    own = {"LB_PROCESSES": "1", "LB_CONTROL_PORT": "9002", "LB_INSTANCE": "lb-a-3"}
    shared = {"LB_SHARE_OF": "3", "LB_LISTEN_FD": "7"}
    assert worker_environment(settings, given, 2, 7) == given | own | shared


def test_the_limit_of_open_files_is_never_lowered() -> None:
    assert allow_descriptors(1) >= 1


@pytest.mark.parametrize(
    "error", [ValueError("not allowed to raise maximum limit"), OSError("not permitted")]
)
def test_a_limit_of_open_files_that_cannot_be_raised_stays(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise error

    monkeypatch.setattr("resource.getrlimit", lambda _: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr("resource.setrlimit", refused)
    assert allow_descriptors(20_000) == 256
