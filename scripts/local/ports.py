"""Every fixed port of one system, derived from one base; the other services take any free port."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path

BASE_DEFAULT = 8080
BASE_MIN = 1024
LAST = 426  # what the highest port is above the base
BASE_MAX = 65535 - LAST


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """Two systems whose bases differ by 10 to 400 have no port in common."""

    base: int = BASE_DEFAULT

    def __post_init__(self) -> None:
        if not BASE_MIN <= self.base <= BASE_MAX:
            raise ValueError(f"port base {self.base} is outside {BASE_MIN}..{BASE_MAX}")

    @property
    def lb(self) -> int:
        """The public door: 8080 by default."""
        return self.base

    @property
    def lb_control(self) -> int:
        """The lb's control plane: 8081 by default."""
        return self.base + 1

    @property
    def locust(self) -> int:
        """Where Locust's web interface will be when somebody starts it: 8089 by default."""
        return self.base + 9

    @property
    def consul_http(self) -> int:
        """Consul's API and user interface: 8500 by default."""
        return self.base + 420

    @property
    def consul_rpc(self) -> int:
        """Consul's RPC port."""
        return self.base + 421

    @property
    def consul_serf(self) -> int:
        """Consul's gossip port."""
        return self.base + 422

    @property
    def amqp(self) -> int:
        """The private RabbitMQ: not 5672, where a broker of the machine may listen."""
        return self.base + 423

    @property
    def amqp_management(self) -> int:
        """RabbitMQ's user interface."""
        return self.base + 424

    @property
    def amqp_distribution(self) -> int:
        """Erlang's distribution port of the private RabbitMQ."""
        return self.base + 425

    @property
    def epmd(self) -> int:
        """Erlang's port mapper, private too."""
        return self.base + LAST

    def to_bind(self, *, broker: bool) -> dict[str, int]:
        """What a start of the system will listen on: what for -> port."""
        wanted = {
            "the load balancer": self.lb,
            "the load balancer's control plane": self.lb_control,
            "Consul": self.consul_http,
            "Consul's RPC": self.consul_rpc,
            "Consul's gossip": self.consul_serf,
        }
        if broker:
            wanted |= {
                "RabbitMQ": self.amqp,
                "RabbitMQ's user interface": self.amqp_management,
                "RabbitMQ's distribution": self.amqp_distribution,
                "Erlang's port mapper": self.epmd,
            }
        return wanted


def is_taken(host: str, port: int, *, udp: bool = False) -> bool:
    """Whether somebody holds it now: a listener, or a connection that goes out from that very port.

    Raises OSError when the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM)) as probe:
        if not udp:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            if not udp:
                probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False


_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_ESTABLISHED, _SYN_SENT, _LISTEN = "01", "02", "0A"
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def holder(port: int, tables: Iterable[str] | None = None) -> str | None:
    """Who holds a TCP port by the kernel's tables: "listener", "connection" (one that goes out), or None.

    None too where there are no such tables (macOS). `tables`: their texts, instead of those of this machine.
    """
    states = {
        state for text in (tables if tables is not None else _tables()) for state in _states(text, port)
    }
    if _LISTEN in states:
        return "listener"
    return "connection" if states & {_ESTABLISHED, _SYN_SENT} else None


def _tables() -> list[str]:
    return [Path(name).read_text(encoding="ascii") for name in _TABLES if Path(name).exists()]


def _states(table: str, port: int) -> Iterator[str]:
    for line in table.splitlines()[1:]:
        _, local, _, state, *_ = line.split()
        if int(local.rpartition(":")[2], 16) == port:
            yield state


def outgoing_range() -> range:
    """The ports that this machine gives to outgoing connections; empty where it does not say."""
    try:
        first, last = _RANGE.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return range(0)
    return range(int(first), int(last) + 1)


def better_base(outgoing: range) -> str:
    """What to do about ports of this machine's outgoing connections."""
    return f"choose a --port-base below {outgoing.start - LAST}"


def taken_port(port: int, purpose: str) -> str:
    """The sentence for a port that somebody else holds."""
    if holder(port) == "connection":
        return (
            f"port {port}, wanted for {purpose}, is held by an outgoing connection of this machine: "
            f"{better_base(outgoing_range())}"
        )
    return (
        f"port {port}, wanted for {purpose}, is taken: stop the program that listens there, "
        "or choose other ports with --port-base N"
    )
