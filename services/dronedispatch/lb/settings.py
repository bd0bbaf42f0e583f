"""Every setting of the door, read from LB_* once and checked at birth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from dronedispatch.lb.core.buckets import Rate
from dronedispatch.lb.core.identity import Network, networks
from dronedispatch.lb.core.retry import SAFE
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.settings import ProcessSettings, load


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds. A request's own deadline, `of` its method, ends all of its tries and its place in the queue."""

    head_s: float = 10.0  # from the first byte of a head to its end (408)
    keep_alive_s: float = 75.0  # between two requests of a client
    body_idle_s: float = 15.0  # between two pieces of a request body (408)
    body_grace_s: float = 30.0  # after it, a body slower than body_rate_min is given up (408)
    body_rate_min: float = 512.0  # bytes a second
    send_idle_s: float = 60.0  # a client that takes nothing of its answer
    queue_s: float = 0.5  # waiting for a gateway with room (503)
    connect_s: float = 1.0
    # From the request to the first byte of the answer, where another gateway may be asked instead; once a request. Whoever
    # was cut off swallows its share of this time's requests, and the budget for asking again is two seconds' worth of all:
    # so two gateways want at most 4 s. Where nobody else may be asked, or the budget is spent, it is response_s.
    try_s: float = 4.0
    # Each try (504). Above it lies what a gateway waits for the store, 10 s: until then it may still know what was done.
    response_s: float = 12.0
    read_s: float = 8.0  # all tries of GET, HEAD and OPTIONS, which changed nothing: an early 504 costs the client nothing
    total_s: float = 30.0  # all tries of anything else (504, with its outcome unknown)
    stream_idle_s: float = 300.0  # between two pieces of an answer; server-sent events beat every few seconds
    idle_s: float = 60.0  # a kept connection to a gateway; must be below its keep-alive (120 s)
    linger_s: float = 2.0  # reading on after an answer that came before the end of its request

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive")
        if not self.try_s <= self.response_s <= self.total_s:
            raise ValueError(
                f"try_s ({self.try_s}), response_s ({self.response_s}), total_s ({self.total_s}): each at most the next"
            )
        if self.try_s > self.read_s:
            raise ValueError(f"try_s ({self.try_s}) must not be above read_s ({self.read_s})")
        if self.idle_s >= 120:
            raise ValueError(f"idle_s ({self.idle_s}) must stay below the gateway's keep-alive of 120 s")

    def of(self, method: bytes) -> float:
        """From a request with this method to the first byte of its answer, all tries."""
        return min(self.read_s, self.total_s) if method in SAFE else self.total_s


@dataclass(frozen=True, slots=True)
class Settings:
    """LB_PORT is the public port (0: a free one), LB_CONTROL_PORT the private one with /health and /metrics."""

    process: ProcessSettings = field(default_factory=ProcessSettings)
    timeouts: Timeouts = field(default_factory=Timeouts)
    control_port: int = 8081
    listen_fd: int | None = None  # an inherited listening socket; also LISTEN_FDS of systemd
    processes: int = 1
    share_of: int = 1  # how many processes share the limits; set for each of `processes` by itself
    gateways: str = ""  # "host:port,host:port" instead of Consul
    balance: Literal["round_robin", "least_in_flight"] = "round_robin"
    # A gateway computes on one core: more at a time end no sooner, and what is waiting here can still be refused cheaply.
    in_flight_max: int = 32  # requests at one gateway at a time
    queue_max: int = 2048  # requests waiting for a gateway with room
    slow_start_s: float = 10.0
    empty_grace_s: float = 30.0  # how long the last table serves after Consul said: none
    stale_max_s: float = 300.0  # not ready when Consul has been silent for longer
    retries: bool = True
    retry_share: float = 0.2  # of the requests of the last ten seconds
    retry_floor: int = (
        10  # in ten seconds, however few requests there are: what one dying gateway had in flight
    )
    rate_per_s: float = 0.0  # all clients together; 0: no limit
    rate_burst: float = 0.0  # 0: one second's worth
    client_rate_per_s: float = 0.0  # each client; 0: no limit
    client_rate_burst: float = 0.0
    client_key_header: str = (
        ""  # the header that names a client; "" : its address. Only behind something that checks it
    )
    trusted_proxies: str = ""  # networks whose X-Forwarded-For is believed
    tls_cert: str = ""  # PEM files; read again when they change
    tls_key: str = ""
    # Who is served beyond loopback without TLS: "clients" may order, but show no token; "everybody" is for laboratories.
    plain: Literal["loopback", "clients", "everybody"] = "loopback"
    connections_max: int = 10_000
    backlog: int = 1024
    access_log: str = ""  # a file, "-" for standard output, "" for none
    access_log_format: Literal["text", "json"] = "text"

    def __post_init__(self) -> None:
        self.fixed_gateways()
        self.networks()
        self.global_rate()
        self.client_rate()
        if self.processes < 1 or self.share_of < 1 or self.in_flight_max < 1 or self.queue_max < 0:
            raise ValueError("processes, share_of and in_flight_max are at least 1, queue_max at least 0")
        if self.processes > 1 and self.control_port == 0:
            raise ValueError("several processes need a control_port to count from")
        if bool(self.tls_cert) != bool(self.tls_key):
            raise ValueError("tls_cert and tls_key go together")
        if not 0 <= self.control_port <= 65535:
            raise ValueError(f"control_port {self.control_port} is outside 0..65535")

    def fixed_gateways(self) -> tuple[Endpoint, ...]:
        """`gateways` as a table. Raises ValueError."""
        found = []
        for part in filter(None, (piece.strip() for piece in self.gateways.split(","))):
            address, _, port = part.rpartition(":")
            if not address or not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
                raise ValueError(f"gateways: {part!r} is no host:port")
            found.append(Endpoint(part, address.strip("[]"), int(port), {}))
        return tuple(found)

    def networks(self) -> tuple[Network, ...]:
        return networks(self.trusted_proxies)

    def global_rate(self) -> Rate | None:
        return _rate(self.rate_per_s, self.rate_burst, self.share_of)

    def client_rate(self) -> Rate | None:
        return _rate(self.client_rate_per_s, self.client_rate_burst, self.share_of)


def _rate(per_s: float, burst: float, share_of: int) -> Rate | None:
    if per_s == 0:
        return None
    return Rate(per_s, burst or max(1.0, per_s)).shared_by(share_of)


def from_environment(environ: Mapping[str, str]) -> Settings:
    """The door's settings; the public port is 8080 unless LB_PORT says otherwise. Raises SettingsError."""
    return load(Settings, "LB", {"LB_PORT": "8080", **environ})
