"""kvctl recover: a view again, after Consul has lost it, holds nonsense, or was put back to an older state."""

from __future__ import annotations

import argparse
import base64
import sys
import uuid
from collections.abc import Mapping

import msgspec

from dronedispatch.kvctl.condition import lost_slots
from dronedispatch.kvctl.placing import registered, slots_of
from dronedispatch.kvctl.session import CannotDo, ReplicaState, Session
from dronedispatch.replication import view as views
from dronedispatch.replication.view import Replica, View


def newest_kept(states: Mapping[str, ReplicaState]) -> View:
    """The newest of the views that the replicas have kept. Raises CannotDo when none has one, or not of one cluster."""
    kept = [
        views.decode(base64.b64decode(state.last_view))
        for state in states.values()
        if state.last_view is not None
    ]
    if not kept:
        raise CannotDo("no replica has kept a view: this is a new store, run `dronedispatch kvctl bootstrap`")
    if len({view.cluster for view in kept}) > 1:
        raise CannotDo("the registered replicas belong to different clusters: stop those of the others first")
    return max(kept, key=lambda view: view.epoch)


def recovered(kept: View, current: View | None, states: Mapping[str, ReplicaState], by: str) -> View:
    """`kept` in an epoch after every one that any replica has promised or seen, with the replicas' present addresses."""
    seen = [max(state.floor, state.published) for state in states.values()]
    epoch = max([kept.epoch, current.epoch if current else 0, *seen]) + 1
    replicas = {
        name: Replica(states[name].url if name in states else replica.url, replica.disk)
        for name, replica in kept.replicas.items()
    }
    return msgspec.structs.replace(views.bumped(kept, by, epoch), replicas=replicas)


async def recover(session: Session, parsed: argparse.Namespace) -> int:
    """See the module's promise; --accept-loss gives up what only lost disks held."""
    current, index = await session.view(or_nonsense=True)
    states = await registered(session)
    if not states:
        raise CannotDo("no kvstore is registered: start them first, recovery asks all of them")
    kept = newest_kept(states)
    missing = sorted(set(kept.replicas) - set(states))
    if missing and not parsed.without_all:
        raise CannotDo(
            f"{', '.join(missing)} of the last view are not there: one of them may have kept a newer view. "
            "Start them, or say --without-all"
        )
    used = max(state.published for state in states.values())
    if used > kept.epoch and not parsed.without_all:
        raise CannotDo(
            f"a view of epoch {used} was in use, and the newest that anybody has kept is of {kept.epoch}: "
            "what was acknowledged in between may be missing. Say --without-all to go on with it"
        )
    in_order = current is not None and current.epoch >= max(kept.epoch, used)
    view = current if current is not None and in_order else recovered(kept, current, states, uuid.uuid4().hex)
    for slot in slots_of(parsed.accept_loss) if parsed.accept_loss else ():
        view = _accept_loss(view, slot, states)
    if view is current:
        lost = lost_slots(view, states)
        if not lost:
            sys.stdout.write(f"nothing to recover: the view of epoch {view.epoch} is the newest\n")
            return 0
        copied = sorted(name for name, state in states.items() if state.was)
        sys.stdout.write(
            f"the view of epoch {view.epoch} is the newest, but {len(lost)} of {len(view.slots)} slots have no in-sync disk "
            f"that answers: {_ranges(lost)}\n"
            + (
                f"{', '.join(copied)} hold a complete copy of such a disk: run `dronedispatch kvctl adopt`\n"
                if copied
                else "start the replicas that hold them; only if their disks are gone for good: "
                f"dronedispatch kvctl recover --accept-loss {_ranges(lost)}\n"
            )
        )
        return 3
    if not await session.put_view(view, index):
        raise CannotDo("the view has changed meanwhile: look again")
    sys.stdout.write(f"recovered: epoch {view.epoch}, {len(view.replicas)} replicas\n")
    return 0


def _ranges(slots: list[int]) -> str:
    """As --accept-loss takes them: "3,7-9"."""
    parts: list[list[int]] = []
    for slot in slots:
        if parts and slot == parts[-1][-1] + 1:
            parts[-1].append(slot)
        else:
            parts.append([slot])
    return ",".join(f"{part[0]}-{part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _accept_loss(view: View, slot: int, states: Mapping[str, ReplicaState]) -> View:
    """The slot starts again with what the best of its assigned replicas has now. Raises CannotDo while a member lives."""
    alive = [name for name, disk in view.members(slot) if name in states and states[name].disk == disk]
    if alive:
        raise CannotDo(f"slot {slot} is not lost: {alive[0]} holds it on the disk that the view knows")
    candidates = [name for name in view.slots[slot].assigned if name in states] or sorted(states)
    name = candidates[0]
    return views.accepted_loss(view, slot, name, states[name].disk, uuid.uuid4().hex)
