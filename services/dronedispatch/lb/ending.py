"""What the log says of a request, and how it ends, once: an answer of our own, a cut, the end of a gateway's answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Final

from dronedispatch.lb.core.answers import own_answer
from dronedispatch.lb.core.heads import RequestHead
from dronedispatch.lb.core.upload import Upload
from dronedispatch.runtime.http.connection import Receiver

if TYPE_CHECKING:
    from dronedispatch.lb.door import Door
    from dronedispatch.lb.downstream import Downstream
    from dronedispatch.lb.gateways import Gateway

RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class Ending(Receiver):
    """The lowest of three storeys of one object: `Attempts` finds gateways, `Exchange` passes bytes both ways.

    Not three objects: each costs 2 % of a request. Times are those of the loop, in s; -1.0: it did not come to that.
    """

    __slots__ = (
        "_chunked_out",
        "_client",
        "_door",
        "_gateway",
        "_retry",
        "_streaming",
        "_tried",
        "_unresolved",
        "_upload",
        "address",
        "began_s",
        "body_done",
        "bytes_out",
        "connect_s",
        "ended",
        "head_s",
        "request",
        "response_s",
        "sent_s",
        "status",
        "tries",
    )

    def __init__(
        self, client: Downstream, request: RequestHead, address: str, began_s: float, now_s: float
    ) -> None:
        self._door: Door = client.door
        self._client = client
        self.request = request
        self.address = address
        self.began_s = began_s
        self.head_s = now_s
        self.sent_s = -1.0
        self.connect_s = -1.0  # how long the connect took; 0.0: the connection was there
        self.response_s = -1.0
        self.status = 0  # what the client was told; 0: nothing yet
        self.tries = 0
        self.bytes_out = 0
        self.ended = ""  # how; empty while it lives
        self.body_done = not request.body_bytes
        self._upload: Upload | None = None
        self._chunked_out = False
        self._gateway: Gateway | None = None
        self._tried: tuple[str, ...] = ()
        self._retry: asyncio.TimerHandle | None = None
        self._streaming = False  # the answer is an event stream
        self._unresolved = False  # a try was sent, got no answer, and may have changed something

    @property
    def bytes_in(self) -> int:
        """Bytes of the request's body so far, without framing."""
        return 0 if self._upload is None else self._upload.bytes_in

    @property
    def gateway_id(self) -> str:
        """Who has it, or had it last."""
        if self._gateway is not None:
            return self._gateway.id
        return self._tried[-1] if self._tried else ""

    def _answer(
        self, status: int, reason: str, ended: str, *, close: bool = False, retry_after_s: int | None = None
    ) -> None:
        """Tell the client that there will be no answer of a gateway.

        503 is a promise that nothing was done: a request of which a try may have been carried out gets 504 instead.
        """
        request, transport = self.request, self._client.transport
        close = (
            close or not request.keep_alive or self._door.draining or not self.body_done or not request.minor
        )
        self.status = 504 if status == 503 and self._unresolved else status
        if not transport.is_closing():
            transport.write(
                own_answer(
                    self.status,
                    reason,
                    request.request_id,
                    close=close,
                    head_only=request.method == b"HEAD",
                    retry_after_s=retry_after_s,
                    outcome_unknown=self._unresolved,
                    date=self._door.date(),
                )
            )
        self._finish(ended, close=close)

    def _cut(self, ended: str) -> None:
        """A part of the answer is out and the rest will not come: never invent an end.

        An answer that ends with its connection is cut by a reset, or the client would take it for complete.
        """
        transport = self._client.transport
        raw = transport.get_extra_info("socket")
        if not self._chunked_out and raw is not None and not transport.is_closing():
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        transport.abort()
        self._finish(ended, close=True)

    def _finish(self, ended: str, *, close: bool) -> None:
        if self.ended:
            return
        self.ended = ended
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        door, gateway = self._door, self._gateway
        door.account(self)
        if gateway is not None:
            self._gateway = None
            door.table.release(gateway, streaming=self._streaming)
        self._client.done(close=close, linger=not self.body_done)
