"""One kept connection to a replica: a batch out, its replies in, nothing in between.

The general client (runtime/http) costs 60 us of task, timer and header work a request, as much as a batch of eight calls is
worth. This one knows the single request that a link sends and takes only the answer that a replica gives to it: a status
line, Content-Length, a body. Anything else breaks the connection, and its batch is SILENT. Nothing is ever written twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

HEAD_BYTES_MAX: Final = 8_192
BODY_BYTES_MAX: Final = 256 * 1024 * 1024

KNOWS_RELAY: Final = b"x-calls: relay"
"""The line of an answer's head by which a replica says that it knows Relay; one of an older release has none."""

_KNOWS_RELAY: Final = b"\r\n" + KNOWS_RELAY

Answered = Callable[[bytes | None], None]
"""Gets the body of a 200; None: broken, timed out, or any other answer."""


class ReplicaConnection(asyncio.Protocol):
    """At most one exchange at a time. `free` is told when the next one may begin, `gone` when none will.

    `knows_relay`: by its last answer. A process that took another's place has answered nothing on this connection.
    """

    __slots__ = ("_answered", "_gone", "_keep", "_received", "_total", "_transport", "free", "knows_relay")

    def __init__(
        self, free: Callable[[ReplicaConnection], None], gone: Callable[[ReplicaConnection], None]
    ) -> None:
        self.free = free
        self._gone = gone
        self._answered: Answered | None = None
        self._received = bytearray()
        self._total = 0
        self._keep = True
        self.knows_relay = False
        self._transport = cast(asyncio.Transport, None)

    @property
    def closing(self) -> bool:
        """No exchange can begin any more."""
        return self._transport.is_closing()

    @property
    def peer(self) -> Sequence[Any] | None:
        """Address and port of the other end."""
        peername: Sequence[Any] | None = self._transport.get_extra_info("peername")
        return peername

    def ask(self, request: bytes, answered: Answered) -> None:
        """Write `request`; `answered` is called exactly once."""
        assert self._answered is None, "one exchange at a time"
        self._answered = answered
        self._total = 0
        self._transport.write(request)

    def drop(self) -> None:
        """Close at once; an exchange under way is broken."""
        self._transport.abort()
        self._settle(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._answered is None:  # nobody asked
            self.drop()
            return
        received = self._received
        received += data
        if not self._total and not self._read_head():
            return
        if len(received) < self._total:
            return
        exact = len(received) == self._total
        fine = received[9:12] == b"200"
        body = bytes(received[received.find(b"\r\n\r\n") + 4 : self._total])
        received.clear()
        keep = self._keep and exact
        if not keep:
            self._transport.abort()
        answered, self._answered = self._answered, None
        if keep:
            self.free(self)
        answered(body if fine and exact else None)

    def _read_head(self) -> bool:
        """Whether the whole head is there and its length is known; breaks the connection when it is no answer of ours."""
        received = self._received
        end = received.find(b"\r\n\r\n")
        if end < 0:
            if len(received) > HEAD_BYTES_MAX:
                self.drop()
            return False
        head = bytes(received[:end]).lower()
        at = head.find(b"\r\ncontent-length:")
        length = head[at + 17 :].partition(b"\r\n")[0].strip()
        if (
            at < 0
            or not head.startswith(b"http/1.1 ")
            or not length.isdigit()
            or int(length) > BODY_BYTES_MAX
        ):
            self.drop()
            return False
        self._keep = b"\r\nconnection: close" not in head
        self.knows_relay = _KNOWS_RELAY in head
        self._total = end + 4 + int(length)
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._gone(self)
        self._settle(None)

    def _settle(self, body: bytes | None) -> None:
        answered, self._answered = self._answered, None
        if answered is not None:
            answered(body)
