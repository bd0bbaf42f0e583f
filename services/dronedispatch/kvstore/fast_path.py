"""The replica's fast lane: batches of calls, the one request that coordinators send all the time."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Sequence

from dronedispatch.kv.wire import MSGPACK
from dronedispatch.kvstore.committer import CommitFailed, Told
from dronedispatch.replication.calls import AnyCall, AnyReply, decode_calls, encode_replies
from dronedispatch.replication.links import BATCH_TARGET
from dronedispatch.replication.replica_connection import KNOWS_RELAY
from dronedispatch.runtime.fast_path import FastRequest, Lane
from dronedispatch.runtime.settings import Secret

_TARGET = BATCH_TARGET.encode()
_HEAD = f"content-type: {MSGPACK}\r\n".encode() + KNOWS_RELAY + b"\r\n"

Begin = Callable[[Sequence[AnyCall], Told], None]


def lane(begin: Callable[[], Begin], token: Secret | None) -> Lane:
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

        def told(replies: list[AnyReply] | CommitFailed) -> None:
            if isinstance(replies, CommitFailed):
                request.respond(500, b"", b"")
            else:
                request.respond(200, _HEAD, encode_replies(replies))

        begin()(calls, told)
        return True

    return take
