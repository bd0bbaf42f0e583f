"""Every fixed port of one system, derived from one base; the other services take any free port."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import socket

BASE_DEFAULT = 8080
BASE_MIN = 1024
BASE_MAX = 65535 - 426


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
        return self.base + 426

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


def is_taken(host: str, port: int) -> bool:
    """Whether somebody listens there now. Raises OSError when the address is not one of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return True
            raise
    return False
