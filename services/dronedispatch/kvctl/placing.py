"""kvctl move, rebalance, drain: who shall hold which slot. The replicas then join by themselves; this waits for them."""

from __future__ import annotations

import argparse
import asyncio
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence

from dronedispatch.kv.slots import SLOTS
from dronedispatch.kvctl.session import CannotDo, ReplicaState, Session
from dronedispatch.replication import view as views
from dronedispatch.replication.hashing import assignment
from dronedispatch.replication.view import Replica, View
from dronedispatch.runtime.addresses import host_port

PAUSE_S = 0.2
HAND_OVER_S = 0.15


def slots_of(text: str) -> list[int]:
    """The slots in "3,7,10-12". Raises CannotDo."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise CannotDo(f"slots {text!r}: expected something like 3,7,10-12")
        found += range(int(first), int(last or first) + 1)
    if not found or max(found) >= SLOTS:
        raise CannotDo(f"slots {text!r}: they are 0 to {SLOTS - 1}")
    return sorted(set(found))


async def known(session: Session, names: Sequence[str]) -> View:
    """The view, in which every replica of `names` is known: those that it lacks are taken from Consul. Raises CannotDo."""
    view = await session.needed_view()
    missing = [name for name in names if name not in view.replicas]
    if not missing:
        return view
    states = await registered(session)
    for name in missing:
        state = states.get(name)
        if state is None:
            raise CannotDo(
                f"no kvstore named {name} is registered; there are {', '.join(sorted(states)) or 'none'}"
            )
        if state.cluster not in ("", view.cluster):
            raise CannotDo(f"{name} belongs to another cluster ({state.cluster}): wipe its disk first")
        view = await session.change_view(_adding(name, Replica(state.url, state.disk)))
    return view


def _adding(name: str, replica: Replica) -> Callable[[View], View]:
    return lambda view: views.with_replica(view, name, replica, uuid.uuid4().hex)


async def registered(session: Session) -> Mapping[str, ReplicaState]:
    """The replicas that are registered and answer, by name."""
    endpoints = await session.endpoints("kvstore", passing=False)  # one that is in no set is not passing
    found = await session.states([f"http://{host_port(one.address, one.port)}" for one in endpoints])
    return {state.name: state for state in found if isinstance(state, ReplicaState)}


async def move(session: Session, parsed: argparse.Namespace) -> int:
    """Give slots to named replicas, the primary first."""
    slots = slots_of(parsed.slots)
    targets = parsed.to.split(",")
    await known(session, targets)
    wanted = dict.fromkeys(slots, targets)
    await _reassign(session, lambda _view: wanted, parsed.wait)
    return 0


async def rebalance(session: Session, parsed: argparse.Namespace) -> int:
    """Spread the slots evenly over all registered replicas, moving as few as possible."""
    names = sorted(await registered(session))
    view = await known(session, names)
    rf = parsed.rf or view.rf
    if rf > len(names):
        raise CannotDo(f"rf {rf} needs as many replicas; {len(names)} are registered")
    sys.stdout.write(f"over {', '.join(names)}\n")
    await _reassign(session, lambda now: _even(now, names, rf), parsed.wait)
    return 0


async def drain(session: Session, parsed: argparse.Namespace) -> int:
    """Move everything away from one replica; then the view forgets it."""
    view = await session.needed_view()
    if parsed.name not in view.replicas:
        raise CannotDo(f"the view does not know {parsed.name}; it knows {', '.join(sorted(view.replicas))}")
    others = sorted(name for name in view.replicas if name != parsed.name)
    if len(others) < view.rf:
        raise CannotDo(f"only {len(others)} other replicas: not enough for rf {view.rf}")
    await _reassign(session, lambda now: _even(now, others, now.rf), parsed.wait)
    if parsed.wait <= 0:
        return 0
    try:
        await session.change_view(lambda now: views.without_replica(now, parsed.name, uuid.uuid4().hex))
    except ValueError as error:
        raise CannotDo(str(error)) from error
    sys.stdout.write(f"{parsed.name} holds nothing any more and may be stopped\n")
    return 0


def _even(view: View, names: Sequence[str], rf: int) -> dict[int, Sequence[str]]:
    target = assignment(names, rf, [slot.assigned for slot in view.slots])
    return {slot: target[slot] for slot in range(SLOTS) if target[slot] != view.slots[slot].assigned}


async def _reassign(
    session: Session, wanted_in: Callable[[View], Mapping[int, Sequence[str]]], wait_s: float
) -> None:
    try:
        await _prepare_leads(session, wanted_in)
        view = await session.change_view(lambda now: views.reassigned(now, wanted_in(now), uuid.uuid4().hex))
    except ValueError as error:
        raise CannotDo(str(error)) from error
    sys.stdout.write(f"epoch {view.epoch}: {_unsettled(view)} slots have to move\n")
    if wait_s > 0:
        await settled(session, wait_s)


async def _prepare_leads(session: Session, wanted_in: Callable[[View], Mapping[int, Sequence[str]]]) -> None:
    """Let each primary that loses the lead of a slot finish its writes there first, so that none of them ends unknown."""
    now = await session.needed_view()
    after = views.reassigned(now, wanted_in(now), "only to compare")
    losing: dict[str, list[int]] = {}
    for slot in range(SLOTS):
        (name, _), (leader, _) = now.members(slot)[0], after.members(slot)[0]
        if name != leader:
            losing.setdefault(name, []).append(slot)
    for name, slots in losing.items():
        try:
            await session.hand_over(now.replicas[name].url, slots)
        except CannotDo as error:
            sys.stderr.write(f"{error}; its writes under way may end as unknown\n")
    if losing:
        await asyncio.sleep(HAND_OVER_S)


def _unsettled(view: View) -> int:
    return sum(set(slot.assigned) != set(slot.in_sync) for slot in view.slots)


async def settled(session: Session, within_s: float) -> View:
    """The view once everybody holds what he is assigned. Raises CannotDo after `within_s`."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while True:
        view = await session.needed_view()
        left = _unsettled(view)
        if not left:
            sys.stdout.write(f"settled in epoch {view.epoch}\n")
            return view
        if loop.time() >= deadline_s:
            raise CannotDo(f"{left} slots are still moving after {within_s:g} s: see `kvctl view`")
        await asyncio.sleep(PAUSE_S)
