"""What kvctl finds in its environment: where Consul is, and the store token."""

from __future__ import annotations

from dataclasses import dataclass, field

from dronedispatch.runtime.settings import Secret


@dataclass(frozen=True, slots=True)
class Settings:
    """The same variables as every service."""

    consul_addr: str = field(default="http://127.0.0.1:8500", metadata={"env": "CONSUL_HTTP_ADDR"})
    consul_token: Secret | None = field(default=None, metadata={"env": "CONSUL_HTTP_TOKEN", "handed": True})
    consul_cacert: str | None = field(default=None, metadata={"env": "CONSUL_CACERT"})
    store_token: Secret | None = field(default=None, metadata={"env": "STORE_TOKEN"})
    service_secret: Secret | None = field(default=None, metadata={"env": "SERVICE_SECRET"})
    timeout_s: float = 10.0
