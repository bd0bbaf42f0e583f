"""An answer that nobody will see, read to its end so that its connection can serve on."""

from __future__ import annotations

import asyncio
from typing import Final

from dronedispatch.lb.core.retry import BODY_KEPT_BYTES_MAX
from dronedispatch.runtime.http.connection import Connection, Headers
from dronedispatch.runtime.http.errors import Broken

DISCARD_S: Final = 1.0
"""A rest that takes longer costs more than a new connection, and may never come."""


class Discard:
    """A receiver that forgets."""

    __slots__ = ("_connection", "_deadline", "_left")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._left = BODY_KEPT_BYTES_MAX
        self._deadline = asyncio.get_running_loop().call_later(DISCARD_S, connection.drop)

    def response_interim(self, status: int, headers: Headers) -> None:
        """Forgotten."""

    def response_head(self, status: int, headers: Headers, body_bytes: int | None) -> None:
        """Forgotten."""

    def response_body(self, piece: bytes) -> None:
        self._left -= len(piece)
        if self._left < 0:
            self._deadline.cancel()
            self._connection.drop()

    def response_flush(self) -> None:
        """Forgotten."""

    def response_end(self) -> None:
        """The connection is home."""
        self._deadline.cancel()

    def response_lost(self, error: Broken) -> None:
        """Forgotten: the gateway's failure was counted when its answer was put aside."""
        self._deadline.cancel()

    def upstream_paused(self) -> None:
        """Nothing is written any more."""

    def upstream_resumed(self) -> None:
        """See upstream_paused."""
