"""The replica's own HTTP: batches of calls from coordinators and joiners, and its state for operators."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec
from sanic import HTTPResponse, Request, Sanic
from sanic.response import raw

from dronedispatch.kv.record import Record
from dronedispatch.kv.wire import MSGPACK
from dronedispatch.kvstore.core.catch_up import absorb_hints
from dronedispatch.kvstore.txn import LmdbTxn
from dronedispatch.replication.calls import AnyCall, AnyReply, decode_calls, encode_replies
from dronedispatch.replication.links import BATCH_TARGET, OFFER_TARGET
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.web import json_answer, require_token

_decode_offer = msgspec.msgpack.Decoder(list[tuple[str, Record]]).decode


class ServedReplica(Protocol):
    """What these routes need of the process behind them."""

    def submit(self, calls: Sequence[AnyCall]) -> Awaitable[list[AnyReply]]: ...

    def commit(self, work: Callable[[LmdbTxn], int]) -> Awaitable[int]: ...

    def state(self) -> dict[str, object]: ...

    def look_at_view(self) -> None: ...

    def hand_over(self, slots: Sequence[int]) -> None: ...


class HandOver(msgspec.Struct, forbid_unknown_fields=True):
    """POST /replica/hand_over: begin no write in these slots for a moment, another replica is about to lead them."""

    slots: list[int]


def add_routes(app: Sanic[Any, Any], replica: Callable[[], ServedReplica]) -> None:
    """Add /replica/batch, /replica/offer, /replica/hand_over and /replica/state."""

    @app.post(BATCH_TARGET, name="replica_batch")
    @require_token("store")
    async def replica_batch(request: Request) -> HTTPResponse:
        try:
            calls = decode_calls(request.body)
        except ValueError as error:
            raise Problem(400, f"not a batch of calls: {error}") from error
        return raw(encode_replies(await replica().submit(calls)), content_type=MSGPACK)

    @app.post(OFFER_TARGET, name="replica_offer")
    @require_token("store")
    async def replica_offer(request: Request) -> HTTPResponse:
        """Hints from a coordinator's flush: taken for slots that are being filled, and a reminder to join."""
        try:
            entries = _decode_offer(request.body)
        except ValueError as error:
            raise Problem(400, f"not an offer of hints: {error}") from error
        taken = await replica().commit(partial(absorb_hints, entries=entries))
        replica().look_at_view()
        return json_answer({"offered": len(entries), "taken": taken})

    @app.post("/replica/hand_over", name="replica_hand_over")
    @require_token("store")
    async def replica_hand_over(request: Request) -> HTTPResponse:
        try:
            wanted = msgspec.json.decode(request.body, type=HandOver)
        except msgspec.MsgspecError as error:
            raise Problem(400, str(error)) from error
        replica().hand_over(wanted.slots)
        return json_answer({"handing_over": len(wanted.slots)})

    @app.get("/replica/state", name="replica_state")
    @require_token("store")
    async def replica_state(_request: Request) -> HTTPResponse:
        return json_answer(replica().state())
