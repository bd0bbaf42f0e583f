"""kvctl adopt: a home that was copied whole (cp -a, a restored backup of its files) serves again.

Copied files are other files, so every replica comes up as another disk and the view knows none of them: that keeps an old
copy from passing for the present. Who knows that the copy is the whole store, taken while it stood still, says so here.
"""

from __future__ import annotations

import argparse
import sys
import uuid
from collections.abc import Mapping

import msgspec

from dronedispatch.kvctl.condition import lost_slots
from dronedispatch.kvctl.placing import registered
from dronedispatch.kvctl.recover import newest_kept
from dronedispatch.kvctl.session import CannotDo, ReplicaState, Session
from dronedispatch.replication.view import Member, Replica, Slot, View


def adopted(view: View, states: Mapping[str, ReplicaState], by: str) -> View:
    """`view` in which the copies have the place of the disks that they were made of, wherever no such disk answers.

    Its epoch is later than any that a replica has promised or seen. Raises CannotDo when a slot would have no copy.
    """
    lost = set(lost_slots(view, states))
    if not lost:
        raise CannotDo("nothing to adopt: every slot has an in-sync disk that answers")
    epoch = max([view.epoch, *(max(state.floor, state.published) for state in states.values())]) + 1
    slots = list(view.slots)
    for number in sorted(lost):
        slot = view.slots[number]
        copies = {
            name: Member(epoch, states[name].disk)
            for name, member in slot.in_sync.items()
            if name in states and states[name].was == member.disk
        }
        if not copies:
            held = ", ".join(f"{name} (disk {member.disk})" for name, member in slot.in_sync.items())
            raise CannotDo(
                f"slot {number}: no replica holds a complete copy of {held}; is one of them not started?"
            )
        slots[number] = Slot(slot.assigned, copies)
    replicas = {
        name: Replica(states[name].url, states[name].disk) if name in states else replica
        for name, replica in view.replicas.items()
    }
    return msgspec.structs.replace(view, epoch=epoch, by=by, slots=tuple(slots), replicas=replicas)


async def adopt(session: Session, _parsed: argparse.Namespace) -> int:
    """Give the copies their place in the view, which is that of Consul or else the newest that a replica has kept."""
    current, index = await session.view()
    states = await registered(session)
    if not states:
        raise CannotDo("no kvstore is registered: start them first")
    view = current if current is not None else newest_kept(states)
    after = adopted(view, states, uuid.uuid4().hex)
    if not await session.put_view(after, index):
        raise CannotDo("the view has changed meanwhile: look again")
    names = sorted(name for name, state in states.items() if state.was)
    sys.stdout.write(f"adopted the copies of {', '.join(names)}: epoch {after.epoch}\n")
    return 0
