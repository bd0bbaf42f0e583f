"""What a proxied request needs of its client's connection, and of whoever keeps the books."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dronedispatch.lb.proxied_request import ProxiedRequest


class ClientSide(Protocol):
    """The client's connection, as its request sees it. `lb/downstream.py` is one."""

    transport: asyncio.Transport
    address: str  # of the peer
    party: str  # whom its limits are counted with
    lines: bytes  # what is said of the peer to a backend (core/forward.py)
    deadline_s: float  # when `ProxiedRequest.expired` is called; inf: never
    write_paused: bool  # it takes nothing for now
    tokens_refused: bool  # a token shown here has been read by others

    def pause(self) -> None:
        """Read no more of the request."""

    def resume(self) -> None: ...

    def done(self, now_s: float, *, close: bool, linger: bool) -> None:
        """The request is over. `linger`: the client may still be sending what nobody will read."""


class Books(Protocol):
    """Counters and access log. `lb/accounting.py` is one."""

    retries: int
    resent: int
    without_budget: int
    date: bytes  # the value of a Date header, now

    def request_id(self) -> bytes:
        """A new id, unique over processes and restarts."""

    def record(self, request: ProxiedRequest, now_s: float) -> None:
        """Count it and write its line: once, at its end."""
