"""A whole gateway on memory twins, for tests of the API: real routes, real HTTP, no store and no broker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sanic import Sanic

from dronedispatch.gateway.app import assemble
from dronedispatch.gateway.core.history import FigureMinute
from dronedispatch.gateway.dispatcher_client import DispatcherClient
from dronedispatch.gateway.feed import Feed
from dronedispatch.gateway.settings import Settings
from dronedispatch.runtime.clock import Clock, SystemClock
from dronedispatch.runtime.consul import ConsulClient, Endpoint
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.settings import ProcessSettings, Secret
from dronedispatch.runtime.web import create_web
from dronedispatch.testing.broker import MemoryPublisher
from dronedispatch.testing.kv import MemoryKV

OPERATOR_TOKEN = "operator-for-tests"


def a_minute(minute: int, **more: Any) -> FigureMinute:
    """Its figures, as a gateway records them."""
    flow = {"orders": 4, "assignments": 2, "delivered": 2, "cancelled": 1, "failed": 0}
    stock = {"pending": 1, "assigned": 2, "in_progress": 3, "drones": {"idle": 5}, "whole": True}
    plain: dict[str, Any] = {**flow, **stock, "to_assign_s": 3.0, "to_deliver_s": 500.0}
    return FigureMinute(minute=minute, **(plain | more))


class FixedWatch(ServiceWatch):
    """Discovery that knows from the start, and never asks."""

    def __init__(self, service: str, endpoints: Sequence[Endpoint] = ()) -> None:
        super().__init__(ConsulClient("127.0.0.1:1"), service)
        self.value = tuple(endpoints)
        self.seen.set()


@dataclass(slots=True)
class MemoryGateway:
    """`app` can be served by testing.serving; the twins are there to be looked into."""

    clock: Clock = field(default_factory=SystemClock)
    dispatchers: Sequence[Endpoint] = ()
    settings: Settings = field(
        default_factory=lambda: Settings(
            process=ProcessSettings(registration="off", operator_token=Secret(OPERATOR_TOKEN)),
            picture_poll_s=0.2,
            zones_poll_s=0.1,
            forecast_poll_s=0.1,
        )
    )
    kv: MemoryKV = field(init=False)
    publisher: MemoryPublisher = field(init=False)
    app: Sanic[Any, Any] = field(init=False)
    feed: Feed = field(init=False)

    def __post_init__(self) -> None:
        self.kv = MemoryKV(self.clock)
        self.publisher = MemoryPublisher()
        self.app = create_web("gateway", self.settings.process, ready=lambda: None)
        dispatcher = DispatcherClient(
            FixedWatch("dispatcher", self.dispatchers),
            HttpClient(resend_on_reuse_reset=False),
            self.settings.process.store_token,
        )
        self.feed = assemble(self.app, self.settings, self.kv, self.publisher, dispatcher, self.clock)
