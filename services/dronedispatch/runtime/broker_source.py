"""Where the broker is, asked again for every connection."""

from __future__ import annotations

import ssl
from random import Random
from urllib.parse import quote

from dronedispatch.runtime.addresses import host_port
from dronedispatch.runtime.consul import ConsulClient
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.settings import AmqpSettings


class NoBroker(ConnectionError):
    """Consul knows no passing broker at the moment."""


class BrokerSource:
    """Says where the broker is: AMQP_URL, else a passing instance of `rabbitmq` in Consul."""

    def __init__(self, settings: AmqpSettings, consul: ConsulClient, rng: Random | None = None) -> None:
        self._settings = settings
        self._watch = None if settings.url else ServiceWatch(consul, "rabbitmq")
        self._rng = rng or Random()
        self.tls = ssl.create_default_context(cafile=settings.cacert) if settings.cacert else None

    def start(self) -> None:
        """Begin to watch."""
        if self._watch is not None:
            self._watch.start()

    async def stop(self) -> None:
        """Stop watching."""
        if self._watch is not None:
            await self._watch.stop()

    async def url(self) -> str:
        """An AMQP URL. Raises NoBroker."""
        if self._watch is None:
            assert self._settings.url is not None
            return self._settings.url
        if not self._watch.endpoints:
            await self._watch.changed(2.0)
        if not self._watch.endpoints:
            raise NoBroker("no passing rabbitmq in Consul")
        broker = self._rng.choice(self._watch.endpoints)
        password = self._settings.password.value if self._settings.password else "guest"
        scheme = "amqps" if self.tls else "amqp"
        return (
            f"{scheme}://{quote(self._settings.user, safe='')}:{quote(password, safe='')}"
            f"@{host_port(broker.address, broker.port)}/{quote(self._settings.vhost, safe='')}?heartbeat=10"
        )
