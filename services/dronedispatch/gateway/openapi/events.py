"""The events of GET /events: what the data of each is. OpenAPI 3.1 has no word for them, so they stand under `x-events`."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from dronedispatch.fleet.deliveries import Delivery
from dronedispatch.fleet.messages import DeliveryStatusChanged
from dronedispatch.gateway.core.figures import Figures
from dronedispatch.gateway.core.fleet_picture import Shown


class DeliveriesEvent(msgspec.Struct, frozen=True):
    """Whole deliveries that have changed."""

    deliveries: tuple[Delivery, ...]


class DronesEvent(msgspec.Struct, frozen=True):
    """Drones that have changed. `whole`: these are all of them; what was shown before is over."""

    at: str
    whole: bool
    drones: tuple[Shown, ...]


class ZonesEvent(msgspec.Struct, frozen=True):
    """The city has this version now: read /zones."""

    version: str


class BeatEvent(msgspec.Struct, frozen=True):
    """Once a second, whatever else happens: the gateway's time, and the version of the city that it knows."""

    at: str
    zones: str


class ResetEvent(msgspec.Struct, frozen=True):
    """Not everything since the last event is known here: read the lists again."""

    reason: str


class Event(NamedTuple):
    """`resumable`: it carries an id, to be sent as Last-Event-ID."""

    name: str
    kind: type[msgspec.Struct]
    resumable: bool = False


EVENTS = (
    Event("delivery", DeliveryStatusChanged, resumable=True),
    Event("deliveries", DeliveriesEvent),
    Event("drones", DronesEvent),
    Event("figures", Figures),
    Event("zones", ZonesEvent),
    Event("beat", BeatEvent),
    Event("reset", ResetEvent),
)
