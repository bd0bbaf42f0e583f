"""The recall: orders are taken from a drone before it has the parcel, or not at all. Pure.

The pick-up is a CAS of drone_sim on `telemetry:<id>`, and so is the recall. Whichever is stored first makes the other one
impossible, however old the state is that the dispatcher decided on (docs/decisions/012).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from dronedispatch.dispatcher.core.advance import PICKED_UP
from dronedispatch.fleet.deliveries import TERMINAL, Delivery
from dronedispatch.fleet.drones import Drone, Telemetry
from dronedispatch.kv.version import Version


@dataclass(frozen=True, slots=True)
class Recall:
    """The drone is to fetch the delivery by these orders no more. `intent`: the delivery's version that the intent of a
    drone was decided on, which is all that it lets go of; None: the delivery itself is taken from it.
    """

    drone_id: str
    orders_seq: int
    delivery_id: str
    intent: str | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """Drone and delivery."""
        return self.drone_id, self.delivery_id


def undoing(delivery: Delivery, drone_id: str) -> Recall:
    """For the undo of an assignment."""
    return Recall(drone_id, delivery.orders_seq or 0, delivery.id)


def letting_go(drone: Drone) -> Recall:
    """For freeing a drone whose delivery is, as it seems, not assigned to it."""
    return Recall(drone.id, drone.orders.seq, drone.delivery_id or "", drone.delivery_version or "")


class RecallAnswer(Enum):
    """Whether the orders may be taken back."""

    YES = "nothing was, and nothing will be picked up by them"
    NO = "the drone has the parcel, or the delivery is its own"
    MARK = "once the mark is stored"


def answer_of_drone(told: Telemetry, orders_seq: int) -> RecallAnswer:
    """By the drone's stored telemetry. Orders that it has left behind pick up nothing: nobody goes back to them."""
    if told.orders_seq == orders_seq and told.stops_done >= PICKED_UP:
        return RecallAnswer.NO
    if told.orders_seq > orders_seq or told.is_recalled(orders_seq):
        return RecallAnswer.YES
    return RecallAnswer.MARK


def answer_of_delivery(recall: Recall, delivery: Delivery | None, version: Version | None) -> RecallAnswer:
    """By the delivery as it is stored now, for a drone that lets go of an intent: only the delivery's drone picks up.

    An intent can be finished while the delivery is at the version that it was decided on, and never again.
    """
    if delivery is None or delivery.status in TERMINAL:
        return RecallAnswer.YES
    if delivery.drone_id is not None:
        return RecallAnswer.NO if delivery.drone_id == recall.drone_id else RecallAnswer.YES
    return RecallAnswer.MARK if str(version) == recall.intent else RecallAnswer.YES
