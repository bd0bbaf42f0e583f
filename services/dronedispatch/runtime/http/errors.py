"""What may go wrong on an HTTP hop, sorted by what the caller may do next."""

from __future__ import annotations


class HttpError(Exception):
    """No usable answer came back from `peer` ("address:port")."""

    def __init__(self, peer: str, reason: str) -> None:
        super().__init__(f"{peer}: {reason}")
        self.peer = peer
        self.reason = reason


class RequestNotSent(HttpError):
    """Definite: not one byte of the request reached the peer (refused or timed-out connect, no free connection)."""


class Broken(HttpError):
    """Indefinite: the request, or a part of it, was written and no full answer came back.

    `reused`: the connection had served an earlier request, so the peer may just have closed it as idle.
    `answered`: at least one byte of the answer had arrived.
    """

    def __init__(self, peer: str, reason: str, *, reused: bool = False, answered: bool = False) -> None:
        super().__init__(peer, reason)
        self.reused = reused
        self.answered = answered

    @property
    def looks_like_an_idle_close(self) -> bool:
        """True when the usual cause is a peer that closed a kept connection while we wrote on it."""
        return self.reused and not self.answered


class Malformed(Broken):
    """Indefinite: the peer answered something that is no HTTP/1.1, or more than the limits allow."""


class TimedOut(Broken):
    """Indefinite: the request was written and the deadline passed before the full answer."""
