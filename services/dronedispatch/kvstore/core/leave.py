"""A replica's own changes of the view, beside JOIN: leaving gracefully, and telling where it answers now."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial

from dronedispatch.kv import view as views
from dronedispatch.kv.calls import Replicate
from dronedispatch.kv.hashing import slot_of
from dronedispatch.kv.record import Record
from dronedispatch.kv.requests import CACHED, NONCE, READ_VIEW, Ask, Sleep, Steps, Swap, SwapView, ViewAt
from dronedispatch.kv.view import Node, View
from dronedispatch.kvstore.core.requests import Commit, LocalSteps
from dronedispatch.kvstore.core.txn import DamagedRecord, Txn

ATTEMPTS_MAX = 20
PAUSE_S = 0.05
LAST_CHANGES = 500
"""More than what is under way when a primary stops: coordinators wait for each other's batches, not for hundreds."""


def pass_on(name: str) -> LocalSteps[int]:
    """Give the other members what this primary, which begins no write any more, has applied last; returns how many copies.

    A coordinator replicates each of them too (kv-protocol, WRITE). One that is late finds the view changed, reads, and
    must find its record there: else it can only say "unknown". Under the same view, this is what a read would repair.
    """
    view: View | None = yield CACHED
    if view is None:
        return 0
    led = [slot for slot in range(len(view.slots)) if [who for who, _ in view.members(slot)][:1] == [name]]
    recent: list[tuple[str, Record]] = yield Commit(partial(_applied_last, slots=led))
    calls = [
        (other, Replicate(view.cluster, view.epoch, disk, slot_of(key), key, record))
        for key, record in recent
        for other, disk in view.members(slot_of(key))[1:]
    ]
    if calls:
        yield Ask(calls)
    return len(calls)


def _applied_last(txn: Txn, slots: Collection[int]) -> list[tuple[str, Record]]:
    log, lsn = txn.log_position()
    changes = txn.changes(slots, log, max(0, lsn - LAST_CHANGES), LAST_CHANGES)
    found = []
    for key in () if changes is None else changes.keys:
        with suppress(DamagedRecord):  # a reader repairs it from the copy
            if (record := txn.get(key)) is not None:
                found.append((key, record))
    return found


def leave(name: str) -> Steps[View | str]:
    """Be voted out of every slot that another member holds too, so that no operation fails by the stop that follows.

    Returns the view in which that is so, or the reason why it was not reached. The caller goes on answering for a
    moment: operations that began in an older view still count on it.
    """
    return (yield from _change(lambda view, by: views.left(view, name, by)))


def announce(name: str, url: str) -> Steps[View | str]:
    """Write this replica's address into the view, if the view knows the replica by another one; same returns as
    `leave`.
    """

    def change(view: View, by: str) -> View:
        node = view.nodes.get(name)
        return view if node is None else views.with_node(view, name, Node(url, node.disk), by)

    return (yield from _change(change))


def _change(change: Callable[[View, str], View]) -> Steps[View | str]:
    reason = "there is no view"
    by = ""
    for _ in range(ATTEMPTS_MAX):
        at: ViewAt | None = yield READ_VIEW
        if at is None or at.view is None:
            reason = "Consul does not answer" if at is None else "there is no view"
            yield Sleep(PAUSE_S)
            continue
        by = yield NONCE
        after = change(at.view, by)
        if after is at.view:
            return at.view
        swap = yield SwapView(after, at.index)
        if swap is Swap.DONE:
            return after
        reason = f"the view could not be changed: {swap.value}"
        if swap is not Swap.LOST:
            yield Sleep(PAUSE_S)
    return reason
