"""reconcile_stuck_busy: whatever was cut short between two writes, or by a silent drone, is finished or undone.

An assignment writes the drone's intent, then the delivery. So a crash leaves one of few states, each with one cure:

| drone says | delivery says | cure |
|---|---|---|
| busy with d | d pending at the version of the intent, or d is on board | finish: assign d |
| busy with d | d pending at another version (an undo was cut short) | free the drone |
| busy with d | d ended, gone, or with another drone | free the drone |
| not busy with d | d assigned to it | undo: d pending again |
| not busy with d | d in progress with it | d failed: nobody carries it |
| silent or recalled, d not on board | d assigned to it | undo, free the drone |
| recalled, d not on board | d pending at the version of the intent | free the drone |
| silent, d on board | d in progress with it | d failed, with the last position |
| told of by nobody, d on board | d in progress with it | none: it flies on when somebody flies it again |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dronedispatch.dispatcher.core.advance import PICKED_UP, holds
from dronedispatch.dispatcher.core.plan import Fail, Finish, Free, Undo
from dronedispatch.dispatcher.core.tuning import Tuning
from dronedispatch.dispatcher.core.world import UNFLOWN_TICKS, DeliverySnapshot, DroneSnapshot
from dronedispatch.fleet.deliveries import TERMINAL, DeliveryStatus


class Cures:
    """The intents of reconcile, by kind."""

    def __init__(self) -> None:
        self.fails: list[Fail] = []
        self.undos: list[Undo] = []
        self.finishes: list[Finish] = []
        self.finished: set[str] = set()  # delivery ids
        self.frees: list[Free] = []


def is_silent(drone: DroneSnapshot, tuning: Tuning) -> bool:
    """Its drone_sim has published later ticks without it, or nobody has told of it for long."""
    return drone.ticks_missed >= tuning.silent_ticks


def is_called_back(drone: DroneSnapshot) -> bool:
    """Its orders were recalled before the pick-up, and are still in its record: the dispatcher was cut short."""
    return drone.recalled and drone.done < PICKED_UP


def why_silent(drone: DroneSnapshot) -> str:
    """What is said of a silent drone: the cause, where it is known."""
    if drone.stranded:
        return "has an empty battery"
    if drone.ticks_missed >= UNFLOWN_TICKS:
        return "is flown by nobody at the moment"
    return f"is silent for {drone.ticks_missed} ticks"


def reconcile_stuck_busy(
    deliveries: Mapping[str, DeliverySnapshot],
    drones: Mapping[str, DroneSnapshot],
    busy: Iterable[DroneSnapshot],
    tuning: Tuning,
    among: Iterable[DeliverySnapshot] | None = None,
) -> Cures:
    """The cure of every broken pair; whole pairs are left alone. `busy`: those of `drones` that are, and `among` those of
    `deliveries` (all): the caller may leave whole pairs of drones that tell of themselves out of both.
    """
    cures = Cures()
    # of two drones with an intent for the same order the one with the parcel on board finishes; the other is freed next
    for drone in sorted(busy, key=lambda drone: -drone.done):
        _cure_drone(drone, deliveries.get(drone.delivery_id or ""), tuning, cures)
    for delivery in deliveries.values() if among is None else among:
        if delivery.status in (DeliveryStatus.ASSIGNED, DeliveryStatus.IN_PROGRESS):
            named = drones.get(delivery.drone_id or "")
            if named is None or not holds(named, delivery):
                _cure_orphan(delivery, named, cures)
            elif is_silent(named, tuning):
                _recover(delivery, named, cures)
            elif is_called_back(named) and delivery.status is DeliveryStatus.ASSIGNED:
                cause = f"the recall of {named.id} is finished"
                cures.undos.append(Undo(delivery.id, delivery.version, named.id, cause))
                cures.frees.append(Free(named.id, named.version, cause, after_delivery=delivery.id))
    return cures


def _cure_drone(
    drone: DroneSnapshot, delivery: DeliverySnapshot | None, tuning: Tuning, cures: Cures
) -> None:
    if drone.delivery_id is None:
        cures.frees.append(Free(drone.id, drone.version, "was busy without a delivery"))
    elif delivery is None:
        cures.frees.append(Free(drone.id, drone.version, f"delivery {drone.delivery_id} is gone"))
    elif delivery.status in TERMINAL:
        cures.frees.append(Free(drone.id, drone.version, f"delivery is {delivery.status}"))
    elif delivery.status is DeliveryStatus.PENDING:
        same = drone.delivery_version == str(delivery.version)
        flies = not is_silent(drone, tuning) and not is_called_back(drone)
        if (same and flies) or drone.done >= PICKED_UP:
            if delivery.id in cures.finished:
                return
            cures.finished.add(delivery.id)
            cause = "an assignment cut short is finished"
            cures.finishes.append(Finish(delivery.id, delivery.version, drone.id, drone.orders_seq, cause))
        else:
            cures.frees.append(Free(drone.id, drone.version, "an assignment cut short is undone"))
    elif delivery.drone_id != drone.id:
        cures.frees.append(Free(drone.id, drone.version, f"delivery is with {delivery.drone_id}"))


def _cure_orphan(delivery: DeliverySnapshot, drone: DroneSnapshot | None, cures: Cures) -> None:
    drone_id = delivery.drone_id or "none"
    if delivery.status is DeliveryStatus.ASSIGNED:
        cures.undos.append(Undo(delivery.id, delivery.version, drone_id, f"{drone_id} does not hold it"))
        return
    last_at = None if drone is None else drone.last_at
    cause = f"{drone_id} had picked it up and no longer holds it: {_instead(drone)}"
    cures.fails.append(Fail(delivery.id, delivery.version, delivery.drone_id, last_at, cause))


def _instead(drone: DroneSnapshot | None) -> str:
    """What the record of a drone says that holds another order, or none."""
    if drone is None:
        return "it has no record any more"
    return f"it is {drone.status}" + ("" if drone.delivery_id is None else f" with {drone.delivery_id}")


def _recover(delivery: DeliverySnapshot, drone: DroneSnapshot, cures: Cures) -> None:
    missed = f"{drone.id} {why_silent(drone)}"
    if delivery.status is DeliveryStatus.ASSIGNED:
        if drone.done >= PICKED_UP:
            return  # advance moves it to in-progress first
        cures.undos.append(Undo(delivery.id, delivery.version, drone.id, f"{missed}, before pick-up"))
    else:
        if drone.done > PICKED_UP:
            return  # it was dropped off: advance says so in this round
        if drone.ticks_missed >= UNFLOWN_TICKS:
            return  # nobody holds its slot of the fleet: the parcel is where it was, and flies on when somebody does
        cause = f"{missed}, with the parcel on board"
        cures.fails.append(Fail(delivery.id, delivery.version, drone.id, drone.last_at, cause))
    cures.frees.append(Free(drone.id, drone.version, missed, after_delivery=delivery.id))
