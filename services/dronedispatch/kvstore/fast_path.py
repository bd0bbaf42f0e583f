"""The replica's fast lane: batches of calls, the one request that coordinators send all the time."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Sequence

from dronedispatch.kv.wire import MSGPACK
from dronedispatch.replication.calls import AnyCall, AnyReply, decode_calls, encode_replies
from dronedispatch.replication.links import BATCH_TARGET
from dronedispatch.replication.replica_connection import KNOWS_RELAY
from dronedispatch.runtime.fast_path import FastRequest, Lane
from dronedispatch.runtime.settings import Secret

_TARGET = BATCH_TARGET.encode()
_HEAD = f"content-type: {MSGPACK}\r\n".encode() + KNOWS_RELAY + b"\r\n"

Submit = Callable[[Sequence[AnyCall]], asyncio.Future[list[AnyReply]]]


def lane(submit: Callable[[], Submit], token: Secret | None) -> Lane:
    """POST /replica/batch with the right token; anything else, errors too, is Sanic's."""
    wanted = b"" if token is None else b"Bearer " + token.value.encode()

    def take(request: FastRequest) -> bool:
        if request.target != _TARGET or request.method != b"POST":
            return False
        if not wanted or not hmac.compare_digest(request.headers.get(b"authorization", b""), wanted):
            return False
        try:
            calls = decode_calls(request.body)
        except ValueError:
            return False

        def done(replies: asyncio.Future[list[AnyReply]]) -> None:
            if replies.cancelled() or replies.exception() is not None:
                request.respond(500, b"", b"")
            else:
                request.respond(200, _HEAD, encode_replies(replies.result()))

        submit()(calls).add_done_callback(done)
        return True

    return take
