"""A replica's own changes of the view, beside JOIN: leaving gracefully, and telling where it answers now."""

from __future__ import annotations

from collections.abc import Callable

from dronedispatch.replication import view as views
from dronedispatch.replication.effects import NONCE, READ_VIEW, Sleep, Steps, Swap, SwapView, ViewAt
from dronedispatch.replication.view import Replica, View

ATTEMPTS_MAX = 20
PAUSE_S = 0.05


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
        replica = view.replicas.get(name)
        return view if replica is None else views.with_replica(view, name, Replica(url, replica.disk), by)

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
