"""What a protocol generator asks of its driver: `yield <request>`, and the driver sends the answer in.

Coordinator operations (kvfront/core) and the joining replica (kvstore/core/join.py) are generators of these
requests: they await nothing, know no clock, and are run by an asyncio driver in production and by the simulation
in tests.

    reply = None
    while True:
        try: request = generator.send(reply)
        except StopIteration as done: return done.value
        reply = <carry out `request`; see its docstring for the answer>

A driver joins the `Ask`s of concurrent operations for the same replica into one batch. It keeps one cached view:
every `ReadView` answer and every `SwapView` that is DONE replaces it if its epoch is higher, as does the watch on
the key. A generator that is closed (its client went away) must be left to run to its end instead: shield it.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from enum import Enum
from typing import Any, TypeVar

import msgspec

from dronedispatch.replication.calls import AnyCall
from dronedispatch.replication.view import View

T = TypeVar("T")


class Ask(msgspec.Struct, gc=False):
    """Send each call to its replica (by name; the url is in the view), all at once. Answer: list of one reply
    each, in order.

    `NOT_SENT` or `SILENT` stands where no reply came in time. Never raises, never resends.
    """

    calls: Sequence[tuple[str, AnyCall]]


class Fire(msgspec.Struct, gc=False):
    """Send the calls and forget them (hints). Answer: None, at once."""

    calls: Sequence[tuple[str, AnyCall]]


class Cached(msgspec.Struct):
    """Answer: the driver's cached View, or None while there is none (not bootstrapped, or Consul not yet reached)."""


class ViewAt(msgspec.Struct, frozen=True):
    """The view as Consul has it, and its ModifyIndex. `view` None: the key does not exist."""

    view: View | None
    index: int


class ReadView(msgspec.Struct):
    """Read the view with ?consistent. Answer: ViewAt, or None when Consul did not answer."""


class AwaitView(msgspec.Struct):
    """Wait until the cached view's epoch is at least `epoch`, at most `timeout_s`. Answer: None."""

    epoch: int
    timeout_s: float


class Swap(Enum):
    """What became of a compare-and-set of the view."""

    DONE = "done"
    LOST = "lost"  # another writer was first
    UNKNOWN = "unknown"  # sent, no answer
    UNAVAILABLE = "unavailable"  # certainly not written


class SwapView(msgspec.Struct):
    """PUT `view` with ?cas=`index`. Answer: Swap."""

    view: View
    index: int


class Pulse(Enum):
    """What a ping of a replica's health showed."""

    ALIVE = "alive"
    REFUSED = "refused"
    SILENT = "silent"
    UNSURE = (
        "unsure"  # no answer, but the asker was itself asleep, or answers have become slower than its limit
    )


class Ping(msgspec.Struct):
    """Ask the replica `replica` for a sign of life. Answer: Pulse."""

    replica: str


class RollCall(msgspec.Struct):
    """Ask all these replicas for a sign of life at once. Answer: {name: Pulse}."""

    replicas: Collection[str]


class SecondOpinion(msgspec.Struct):
    """Ask another coordinator whether it reaches `replica`. Answer: True (it does), False (nor does it), None (nobody
    to ask).
    """

    replica: str


class Sleep(msgspec.Struct):
    """Answer: None after `seconds`."""

    seconds: float


class Now(msgspec.Struct):
    """Answer: the monotonic time in seconds."""


class Nonce(msgspec.Struct):
    """Answer: a fresh str of at least 64 random bits (the `by` of a view)."""


class Note(msgspec.Struct):
    """Something worth a counter and a log line happened. Answer: None. `event` is one of a small fixed set of words."""

    event: str
    replica: str = ""
    count: int = 1


Request = (
    Ask
    | Fire
    | Cached
    | ReadView
    | AwaitView
    | SwapView
    | Ping
    | RollCall
    | SecondOpinion
    | Sleep
    | Now
    | Nonce
    | Note
)
Steps = Generator[Request, Any, T]
"""A protocol generator that returns a T."""

CACHED = Cached()
READ_VIEW = ReadView()
NOW = Now()
NONCE = Nonce()
