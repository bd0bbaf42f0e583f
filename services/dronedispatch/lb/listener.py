"""The public listening socket: made here, or inherited so that two doors can share one and be restarted in turn."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Mapping
from typing import Final

from dronedispatch.lb.core.identity import is_loopback
from dronedispatch.lb.settings import Settings
from dronedispatch.runtime.addresses import host_port
from dronedispatch.runtime.serve import CannotListen

SYSTEMD_FIRST_FD: Final = 3
GONE_AFTER_S: Final = (
    60  # a peer that vanished without a word: no acknowledgement, or no answer to a probe, for so long
)


def inherited_fd(settings: Settings, environ: Mapping[str, str]) -> int | None:
    """LB_LISTEN_FD (supervisor's [fcgi-program] passes its socket as 0), or systemd's LISTEN_FDS if they are ours."""
    if settings.listen_fd is not None:
        return settings.listen_fd
    if environ.get("LISTEN_PID") == str(os.getpid()) and int(environ.get("LISTEN_FDS", "0")) >= 1:
        return SYSTEMD_FIRST_FD
    return None


def adopt(fd: int, backlog: int) -> socket.socket:
    """The listening socket behind `fd`. Raises CannotListen when it is none.

    Listening again on a socket that listens only sets its backlog: what is queued stays. A second process may hold the
    same socket; whoever closes its copy takes nothing from the queue, while of two sockets on one port (SO_REUSEPORT)
    the kernel resets what was queued on the one that closes.
    """
    try:
        sock = socket.socket(fileno=os.dup(fd))
        if sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
            sock.close()
            raise CannotListen(f"descriptor {fd} is no TCP socket")
        sock.listen(backlog)
    except OSError as error:
        raise CannotListen(f"descriptor {fd} is no listening socket: {error.strerror}") from error
    sock.setblocking(False)
    return sock


def bind(host: str, port: int, backlog: int) -> socket.socket:
    """A new listening socket. Raises CannotListen."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(backlog)
    except OSError as error:
        sock.close()
        raise CannotListen(
            f"cannot listen on {host_port(host, port)}: {error.strerror}; set LB_PORT to another port or stop what uses it"
        ) from error
    sock.setblocking(False)
    return sock


def why_not_plain(settings: Settings, address: str) -> str | None:
    """None when the door may listen at `address` as it is set."""
    if settings.tls_cert or settings.plain != "loopback" or is_loopback(address):
        return None
    return (
        f"{address} can be reached from other machines, and the door has no certificate: set LB_TLS_CERT and LB_TLS_KEY, "
        "or say LB_PLAIN=clients (plain HTTP, tokens refused)"
    )


def open_listener(settings: Settings, environ: Mapping[str, str]) -> socket.socket:
    """The inherited socket if there is one, else a new one. Raises CannotListen."""
    fd = inherited_fd(settings, environ)
    if fd is not None:
        sock = adopt(fd, settings.backlog)
    else:
        sock = bind(settings.process.host, settings.process.port, settings.backlog)
    why_not = why_not_plain(settings, str(sock.getsockname()[0]))
    if why_not is not None:
        sock.close()
        raise CannotListen(why_not)
    _notice_the_vanished(sock)
    return sock


def _notice_the_vanished(sock: socket.socket) -> None:
    """Set on the listener, inherited by what it accepts: an event stream to a client that lost its network ends."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", GONE_AFTER_S // 2),
        ("TCP_KEEPINTVL", GONE_AFTER_S // 6),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", GONE_AFTER_S * 1000),
    ):
        if hasattr(socket, name):  # Linux has all four
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def allow_descriptors(wanted: int) -> int:
    """Raise this process' limit of open files to `wanted` as far as the system lets us; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):  # the system has a bound of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
    return soft
