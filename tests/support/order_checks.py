"""An independent judge of what the system did: it knows the API's documents and nothing of our code.

Every function returns what is wrong, as sentences; an empty list is an acquittal.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

Document = Mapping[str, Any]

LEGAL = {
    None: {"pending"},
    "pending": {"assigned", "cancelled", "failed"},
    "assigned": {"pending", "in-progress", "cancelled", "failed"},
    "in-progress": {"delivered", "failed"},
}
HELD = {"assigned", "in-progress"}


def moment(text: str) -> float:
    """RFC 3339 -> epoch seconds."""
    return datetime.fromisoformat(text).timestamp()


def wrong_lives(deliveries: Iterable[Document]) -> list[str]:
    """Deliveries whose history is no legal life, or whose stamps contradict their order."""
    return [f"{one['id']}: {fault}" for one in deliveries for fault in _faults_of(one)]


def _faults_of(delivery: Document) -> list[str]:
    faults = []
    at: str | None = None
    times = []
    for line in delivery["history"]:
        if line["from"] != at or line["to"] not in LEGAL.get(at, set()):
            faults.append(f"{line['from']} -> {line['to']} after {at}")
        at = line["to"]
        times.append(moment(line["at"]))
    if at != delivery["status"]:
        faults.append(f"history ends with {at}, status is {delivery['status']}")
    if times != sorted(times):
        faults.append("history goes back in time")
    stamps = [delivery[name] for name in ("created_at", "assigned_at", "picked_up_at", "delivered_at")]
    given = [moment(stamp) for stamp in stamps if stamp is not None]
    if given != sorted(given):
        faults.append(f"stamps out of order: {stamps}")
    if delivery["status"] == "delivered" and None in stamps:
        faults.append(f"delivered without a stamp: {stamps}")
    return faults


def _stays(delivery: Document) -> list[tuple[str, float, float]]:
    """(drone, from, until) of each time that a drone held this delivery."""
    found = []
    holder: tuple[str, float] | None = None
    for line in delivery["history"]:
        if line["to"] == "assigned":
            holder = (line["drone_id"], moment(line["at"]))
        elif line["to"] not in HELD and holder is not None:
            found.append((*holder, moment(line["at"])))
            holder = None
    return found if holder is None else [*found, (*holder, float("inf"))]


def shared_drones(deliveries: Iterable[Document]) -> list[str]:
    """Drones that held two deliveries at one moment, by the stored histories."""
    stays: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for delivery in deliveries:
        for drone, begin, end in _stays(delivery):
            stays[drone].append((begin, end, delivery["id"]))
    found = []
    for drone, held in stays.items():
        ordered = sorted(held)
        for (_, end, first), (begin, _, second) in pairwise(ordered):
            if begin < end:
                found.append(f"{drone} held {first} and {second}")
    return found


def shared_drones_in_events(events: Sequence[Document]) -> list[str]:
    """The same, by what the dispatcher told everybody: `delivery` events in the order of (term, seq)."""
    holds: dict[str, str] = {}
    found = []
    for event in sorted(events, key=lambda one: (one["term"], one["seq"])):
        drone, delivery = event["drone_id"], event["delivery_id"]
        for held in [name for name, what in holds.items() if what == delivery]:
            del holds[held]
        if event["status"] in HELD:
            if drone in holds:
                found.append(f"{drone} was given {delivery} while it held {holds[drone]}")
            holds[drone] = delivery
    return found


def flat_batteries(drones: Iterable[Document]) -> list[str]:
    """Sightings of a drone whose battery is not above zero."""
    return [
        f"{one['id']}: {one['battery_pct']} %"
        for one in drones
        if one.get("battery_pct") is not None and not one["battery_pct"] > 0
    ]


def idle_hands(drones: Iterable[Document]) -> list[str]:
    """Drones that are busy without a delivery, or hold one without being busy."""
    return [
        f"{one['id']} is {one['status']} with {one['delivery_id']}"
        for one in drones
        if (one["status"] == "busy") != (one["delivery_id"] is not None)
    ]
