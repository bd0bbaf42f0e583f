"""What an ETA is made of: the dispatcher's published state, and how promises have been kept lately."""

from __future__ import annotations

import structlog

from dronedispatch.fleet.deliveries import Delivery, DeliveryStatus, Eta
from dronedispatch.fleet.dispatch_state import DispatchState
from dronedispatch.fleet.documents import DELIVERY_PREFIX, DISPATCH_STATE_KEY, Unreadable, decode, unstamp
from dronedispatch.fleet.energy import FlightModel
from dronedispatch.fleet.promises import PromiseRecord, record_of
from dronedispatch.gateway.core.eta import Outlook, estimate
from dronedispatch.gateway.core.order import Order
from dronedispatch.gateway.lists import readable
from dronedispatch.gateway.zones import Zones
from dronedispatch.kv.client import KVClient

RECORD_MAX = 200  # newest delivered orders that the stated confidence is measured on
RECORD_EVERY = 15  # polls between two looks at them

log = structlog.get_logger()


class Forecast:
    """Holds the newest state; an estimate itself asks nobody and takes no time."""

    def __init__(self, kv: KVClient, zones: Zones, *, flight: FlightModel, speed: float) -> None:
        self._kv = kv
        self._zones = zones
        self.flight = flight  # of every class, unhurried
        self._speed = speed
        self._cruise_mps = flight.sped_up(speed).cruise_mps
        self._polls = 0
        self.state: DispatchState | None = None
        self.record = PromiseRecord()
        self._outlook: Outlook | None = None

    def eta(self, order: Order, now_s: float, flight_at_most_m: float | None = None) -> Eta:
        """See core/eta.py."""
        return estimate(
            order,
            now_s=now_s,
            paths=self._zones.paths,
            outlook=self._laid_out(),
            record=self.record,
            speed_mps=self._cruise_mps,
            flight_at_most_m=flight_at_most_m,
        )

    def _laid_out(self) -> Outlook | None:
        """The state as arrays, made anew when the state or the city is another."""
        if self.state is None:
            self._outlook = None
        elif (
            self._outlook is None
            or self._outlook.state is not self.state
            or self._outlook.paths is not self._zones.paths
        ):
            self._outlook = Outlook(self.state, self._zones.paths)
        return self._outlook

    @property
    def speed(self) -> float:
        """Simulated seconds per second: as the dispatcher's fleet flies, or as this gateway was told."""
        return self._speed if self.state is None else round(self.state.speed_mps / self.flight.cruise_mps, 3)

    async def refresh(self) -> str:
        """Read the dispatcher's state, and now and then the record of promises."""
        item = await self._kv.get(DISPATCH_STATE_KEY)
        try:
            self.state = None if item is None else _state(item.value)
        except (Unreadable, ValueError) as exc:
            log.warning("dispatch_state is unreadable, ETAs go by distance", error=str(exc))
            self.state = None
        if self._polls % RECORD_EVERY == 0:
            await self._look_back()
        self._polls += 1
        known = "unknown" if self.state is None else f"term {self.state.term}"
        return f"dispatcher {known}, promises kept {self.record.kept}/{self.record.promised}"

    async def _look_back(self) -> None:
        page = await self._kv.scan(
            prefix=DELIVERY_PREFIX, tag=f"status={DeliveryStatus.DELIVERED}", limit=RECORD_MAX, reverse=True
        )
        self.record = record_of(readable(Delivery, page.items))


def _state(value: bytes) -> DispatchState:
    """Raises Unreadable, and ValueError for a time that cannot be read."""
    state = decode(DispatchState, value)
    unstamp(state.at)
    return state
