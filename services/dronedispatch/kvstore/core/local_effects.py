"""What a replica's own generators ask of their driver beside replication/effects.py."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

import msgspec

from dronedispatch.kvstore.core.txn import Txn
from dronedispatch.replication.effects import Request

T = TypeVar("T")


class NotCommitted(Exception):
    """Raised by the `yield` of a Commit: nothing of the step was done; the message is the reason (the disk is full)."""


class Commit(msgspec.Struct):
    """Run `step` in one local write transaction and sync it. Answer: what `step` returned, after the commit is
    durable. Raises NotCommitted.
    """

    step: Callable[[Txn], Any]


class Probe(msgspec.Struct):
    """Write any other key of Consul than the view. Answer: True when that has just succeeded."""


class Reached(msgspec.Struct):
    """Ask the coordinators whether they have an answer of this replica. Answer: True (one has), False (none of those that
    are registered), None (none is registered: nobody would be served by it yet).
    """


LocalRequest = Request | Commit | Probe | Reached
LocalSteps = Generator[LocalRequest, Any, T]
"""A generator of the replica itself (JOIN, leave) that returns a T."""
