"""What the store's health is, for kvctl: the same verdict that /health gives."""

from __future__ import annotations

from collections.abc import Mapping

from dronedispatch.kvctl.session import CannotDo, ReplicaState
from dronedispatch.replication.copies import Sighting, copies_of
from dronedispatch.replication.view import View
from dronedispatch.runtime.health import Facts, Health, judge


def condition(view: View, states: Mapping[str, ReplicaState | CannotDo]) -> Health:
    """The verdict on `view` and what its replicas say of themselves."""
    seen = {
        name: Sighting(None) if isinstance(state, CannotDo) else Sighting(state.disk, state.last_join)
        for name, state in states.items()
    }
    return judge(
        Facts(copies=copies_of(view, {name: seen.get(name, Sighting(None)) for name in view.replicas}))
    )


def lines(health: Health) -> list[str]:
    """For people: the word, and a line for each reason and what to type."""
    return [
        health.word.value,
        *(line for reason in health.reasons for line in (f"  {reason.text}", f"    -> {reason.next}")),
    ]


def lost_slots(view: View, states: Mapping[str, ReplicaState]) -> list[int]:
    """The slots of which no in-sync disk answers."""
    return [
        number
        for number in range(len(view.slots))
        if not any(name in states and states[name].disk == disk for name, disk in view.members(number))
    ]
