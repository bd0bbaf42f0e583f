"""Hints that a stand-in keeps for an absent replica, as the coordinator asks for them."""

from __future__ import annotations

from dronedispatch.replication.calls import Fetched, PullHints
from dronedispatch.replication.effects import Ask, Steps
from dronedispatch.replication.view import View

OFFER_KEYS = 500


def pull_hints(view: View, stand_in: str, target: str) -> Steps[list[object]]:
    """The first page of the hints that `stand_in` keeps for `target`: a reminder, and a head start for its JOIN."""
    call = PullHints(view.cluster, view.epoch, view.replicas[stand_in].disk, 0, target, None, OFFER_KEYS)
    (reply,) = yield Ask([(stand_in, call)])
    return list(reply.entries) if isinstance(reply, Fetched) else []
