"""kvctl bootstrap: the one writer of the first view."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

from dronedispatch.kvctl.session import CannotDo, ReplicaState, Session
from dronedispatch.replication import view as views
from dronedispatch.replication.hashing import assignment
from dronedispatch.replication.view import Replica
from dronedispatch.runtime.addresses import host_port

PAUSE_S = 0.2


async def bootstrap(
    session: Session, *, rf: int, replicas: int | None, within_s: float, say: Callable[[str], None]
) -> None:
    """Write the view of epoch 1 over the kvstores registered in Consul; an existing view is success.

    Waits up to `within_s` for `replicas` of them (default: as many as `rf`). Raises CannotDo; nothing is written then.
    """
    view, _ = await session.view()
    if view is not None:
        say(f"there is a view already: cluster {view.cluster}, epoch {view.epoch}, rf {view.rf}")
        return
    states = await _gather(session, max(rf, replicas or rf), within_s)
    old = sorted(state.name for state in states if state.floor > 0 or state.cluster)
    if old:
        raise CannotDo(
            f"there is no view in Consul, but {', '.join(old)} already served in one: its data would be lost. "
            "Run `dronedispatch kvctl recover` instead (or wipe the disks, if that is what you want)"
        )
    known = {state.name: Replica(state.url, state.disk) for state in states}
    assigned = assignment(sorted(known), rf)
    first = views.bootstrap(uuid.uuid4().hex, known, rf, assigned, uuid.uuid4().hex)
    if not await session.put_view(first, 0):
        view, _ = await session.view()
        if view is None:
            raise CannotDo("Consul did not take the view, and has none: try again")
        say(f"another bootstrap was first: cluster {view.cluster}, epoch {view.epoch}, rf {view.rf}")
        return
    say(f"bootstrapped cluster {first.cluster}: {len(known)} replicas ({', '.join(sorted(known))}), rf {rf}")


async def _gather(session: Session, wanted: int, within_s: float) -> list[ReplicaState]:
    """The states of the registered replicas once there are `wanted` of them, each with a name of its own."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while True:
        endpoints = await session.endpoints("kvstore", passing=False)
        found = await session.states([f"http://{host_port(one.address, one.port)}" for one in endpoints])
        states = [state for state in found if isinstance(state, ReplicaState)]
        if len(states) >= wanted:
            break
        if loop.time() >= deadline_s:
            reasons = [str(one) for one in found if isinstance(one, CannotDo)]
            raise CannotDo(
                f"{len(states)} of {wanted} kvstores are registered and answer after {within_s:g} s"
                + (f" ({reasons[0]})" if reasons else "")
            )
        await asyncio.sleep(PAUSE_S)
    names = [state.name for state in states]
    double = sorted({name for name in names if names.count(name) > 1})
    if double:
        raise CannotDo(f"more than one kvstore calls itself {double[0]}: give each its own KVSTORE_NAME")
    return states
