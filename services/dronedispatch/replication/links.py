"""The way to the replicas: calls of concurrent operations joined into one request for each, and never sent twice.

Whatever has queued while the last batches were away goes with the next. A batch costs coordinator and replica some 300
us beyond its calls, most of it the sync: so under load one waits, up to a millisecond, until it holds its link's share
of all the calls under way. With few of them that share is one call, and nothing waits. Where no reply comes, the call
gets NOT_SENT (it certainly never reached the replica) or SILENT (anything else), so a caller is always answered.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import structlog

from dronedispatch.kv.wire import MSGPACK
from dronedispatch.replication.batches import Queued, ReplyReceiver, Underway, value_bytes
from dronedispatch.replication.calls import (
    NOT_SENT,
    SILENT,
    AnyCall,
    AnyReply,
    Relay,
    decode_replies,
    encode_calls,
)
from dronedispatch.replication.effects import Pulse
from dronedispatch.replication.patience import PING_MOST, PING_S, ReplicaPatience
from dronedispatch.replication.pings import Pings
from dronedispatch.replication.replica_connection import ReplicaConnection
from dronedispatch.runtime.addresses import host_port
from dronedispatch.runtime.clock import Clock
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.heads import request_head
from dronedispatch.runtime.http.proof import Prover
from dronedispatch.runtime.tally import TallyCounter, TallyHistogram

BATCH_TARGET: Final = "/replica/batch"
OFFER_TARGET: Final = "/replica/offer"
BATCH_CALLS_MAX: Final = 512
BATCH_VALUE_BYTES_MAX: Final = 4 * 1024 * 1024
AWAY_MAX: Final = 1
"""Batches under way to one replica. A second one would only wait there for the first one's sync, and stay as small."""
QUEUED_MAX: Final = 20_000
SHARE: Final = 0.8
"""A batch is worth sending once it holds this part of what each link would have, if all calls were spread evenly."""
LINGER_S: Final = 0.001
"""The longest that a batch waits to become so; the resolution of the loop's timers."""

LAST_WORD_S: Final = 0.5
"""How old a batch may get whose replica has left. A replica that was voted out for its silence owes an older one."""

BATCHES = TallyCounter("dd_kv_link_batches", "Batches sent to replicas by outcome", ["replica", "outcome"])
JOINED = TallyHistogram(
    "dd_kv_link_calls", "Calls joined into one batch", (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)


log = structlog.get_logger()


def _rest(_connection: ReplicaConnection) -> None:
    """A connection that has not proved itself yet waits for no batch."""


class Link:
    """The queue and the batches under way for one replica at one address."""

    def __init__(self, name: str, url: str, links: Links) -> None:
        self.name = name
        self.url = url
        parts = urlsplit(url)
        self._address = parts.hostname or ""
        self._port = parts.port or 80
        self._links = links
        self._head = links.head_for(self._address, self._port)
        self._queue: deque[Queued] = deque()
        self._away: set[Underway] = set()
        self._idle: list[ReplicaConnection] = []
        self._connecting: set[asyncio.Task[None]] = set()
        self._scheduled = self._moved = False
        self._linger: asyncio.TimerHandle | None = None

    @property
    def address(self) -> tuple[str, int]:
        """Its host and port."""
        return self._address, self._port

    @property
    def calls(self) -> int:
        """Calls queued or under way."""
        calls = len(self._queue)
        for away in self._away:
            calls += len(away.batch)
        return calls

    def put(self, call: AnyCall, receiver: ReplyReceiver | None, place: int) -> None:
        """Send `call` with the next batch; `receiver` hears the reply."""
        queued = Queued(call, receiver, place, self._links.clock.monotonic_s())
        if len(self._queue) >= QUEUED_MAX:
            asyncio.get_running_loop().call_soon(queued.settle, NOT_SENT)
            return
        self._queue.append(queued)
        self._wake()

    def _wake(self) -> None:
        if not self._scheduled and len(self._away) < AWAY_MAX:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._scheduled = False
        if not self._queue:
            return
        if len(self._queue) >= self._links.worth_sending():
            self._send_now()
        elif self._linger is None:
            self._linger = asyncio.get_running_loop().call_later(LINGER_S, self._send_now)

    def _send_now(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        while self._queue and len(self._away) < AWAY_MAX:
            away = Underway(self._take())
            self._away.add(away)
            JOINED.observe(len(away.batch))
            while self._idle and away.connection is None:
                connection = self._idle.pop()
                away.connection = None if connection.closing else connection
            if away.connection is None:
                task = asyncio.create_task(self._connect(away))
                self._connecting.add(task)
                task.add_done_callback(self._connecting.discard)
            else:
                self._ask(away, away.connection)

    def _take(self) -> list[Queued]:
        queue = self._queue
        if len(queue) == 1:
            return [queue.popleft()]
        batch: list[Queued] = []
        size = 0
        while queue and len(batch) < BATCH_CALLS_MAX:
            size += value_bytes(queue[0].call)
            if batch and size > BATCH_VALUE_BYTES_MAX:
                break
            batch.append(queue.popleft())
        return batch

    async def _connect(self, away: Underway) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._links.call_limit_s()):
                _, connection = await loop.create_connection(
                    lambda: ReplicaConnection(_rest, self._gone), self._address, self._port
                )
                if self._links.prover is not None and not await self._proves(connection, self._links.prover):
                    connection.drop()
                    self._end(away, NOT_SENT)
                    return
        except (OSError, TimeoutError, ValueError):  # the last: a host's name that can be none
            self._end(away, NOT_SENT)
            return
        connection.free = self._freed
        if away.over:
            connection.drop()
            return
        if connection.closing:  # the replica closed it right after its proof: nothing was written
            self._end(away, NOT_SENT)
            return
        away.connection = connection
        self._ask(away, connection)

    async def _proves(self, connection: ReplicaConnection, prover: Prover) -> bool:
        """Whether the other end is a service of ours: asked once a connection, before it is told anything."""
        question = prover.question()
        request = request_head("GET", host_port(self._address, self._port), question.target, (), 0)
        answered: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        try:
            connection.ask(request, lambda body: None if answered.done() else answered.set_result(body))
            body = await answered
        except asyncio.CancelledError:
            connection.drop()
            raise
        why_not = prover.why_not(question, connection.peer, 0 if body is None else 200, body or b"")
        if why_not is not None:
            log.warning(
                "no proof that this is a replica of ours", replica=self.name, url=self.url, reason=why_not
            )
        return why_not is None

    def _ask(self, away: Underway, connection: ReplicaConnection) -> None:
        if not connection.knows_relay and not away.keep_back(Relay):
            self._close(away)
            self._idle.append(connection)
            return
        body = encode_calls([queued.call for queued in away.batch])
        away.since_s = self._links.clock.monotonic_s()
        away.limit_s = self._links.patience.call_s(away.since_s)
        away.timer = asyncio.get_running_loop().call_later(away.limit_s, self._expired, away)
        connection.ask(self._head + b"%d\r\n\r\n" % len(body) + body, partial(self._answered, away))

    def _answered(self, away: Underway, body: bytes | None) -> None:
        if away.over:
            return
        replies: list[AnyReply] | None = None
        if body is not None:
            try:
                replies = decode_replies(body)
            except ValueError:
                replies = None
        if replies is None or len(replies) != len(away.batch):
            self._end(away, SILENT)
            return
        self._close(away)
        now_s = self._links.clock.monotonic_s()
        self._links.patience.took(now_s, now_s - away.since_s)
        BATCHES.add(self.name, "ok")
        for queued, reply in zip(away.batch, replies, strict=True):
            queued.settle(reply)

    def _expired(self, away: Underway) -> None:
        """Nobody waits longer; and who has waited in the queue as long need not find out again."""
        now_s = self._links.clock.monotonic_s()
        self._links.patience.took(now_s, now_s - away.since_s - away.limit_s)  # how late this timer is
        old = []
        while self._queue and self._queue[0].since_s <= now_s - away.limit_s:
            old.append(self._queue.popleft())
        self._end(away, SILENT)
        for queued in old:
            queued.settle(NOT_SENT)

    def _end(self, away: Underway, instead: AnyReply) -> None:
        """This batch has no replies."""
        if away.over:
            return
        self._close(away)
        if away.connection is not None:
            away.connection.drop()
        BATCHES.add(self.name, "lost")
        for queued in away.batch:
            queued.settle(instead)

    def _close(self, away: Underway) -> None:
        away.over = True
        if away.timer is not None:
            away.timer.cancel()
        self._away.discard(away)
        if self._queue:
            self._wake()

    def _freed(self, connection: ReplicaConnection) -> None:
        if self._moved:
            connection.drop()
        else:
            self._idle.append(connection)

    def _gone(self, connection: ReplicaConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def give_up(self, last_word_s: float = LAST_WORD_S) -> None:
        """The replica is out of every set, or at another address: nobody needs to wait for it much longer.

        One that stops by itself still answers what it was asked: what it gets no time for is a write of unknown outcome.
        """
        queued, self._queue = self._queue, deque()
        now_s = self._links.clock.monotonic_s()
        for away in list(self._away):
            left_s = away.batch[0].since_s + last_word_s - now_s
            if away.connection is None:
                self._end(away, NOT_SENT)
            elif left_s <= 0.0:
                self._end(away, SILENT)
            else:
                asyncio.get_running_loop().call_later(left_s, self._end, away, SILENT)
        for entry in queued:
            entry.settle(NOT_SENT)

    def move(self) -> None:
        """The replica is at another address: give up, and close each connection once nobody uses it."""
        self._moved = True
        self.give_up()
        self.close_idle()

    def close_idle(self) -> None:
        """Close the connections that nobody uses."""
        for connection in list(self._idle):
            connection.drop()
        self._idle.clear()

    async def close(self) -> None:
        """Give up, and close the connections."""
        self.give_up(last_word_s=0.0)
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        self.close_idle()


class Links:
    """One link for each replica that the view names; `follow` keeps them in step with it."""

    def __init__(
        self,
        http: HttpClient,
        token: str,
        clock: Clock,
        *,
        call_timeout_s: float,
        call_timeout_most_s: float = 0.0,
        ping_timeout_s: float = PING_S,
        prover: Prover | None = None,
    ) -> None:
        self.http = http
        self.clock = clock
        self.patience = ReplicaPatience(
            call_s=call_timeout_s,
            call_most_s=call_timeout_most_s,
            ping_s=ping_timeout_s,
            ping_most_s=PING_MOST * ping_timeout_s,
        )
        self.prover = prover
        self._token = token
        self._links: dict[str, Link] = {}
        self.pings = Pings(http, clock, self.patience)

    def head_for(self, address: str, port: int) -> bytes:
        """The head of a batch's request, up to its length."""
        return (
            f"POST {BATCH_TARGET} HTTP/1.1\r\nhost: {host_port(address, port)}\r\nauthorization: Bearer {self._token}\r\n"
            f"content-type: {MSGPACK}\r\ncontent-length: "
        ).encode("latin-1")

    def get(self, name: str) -> Link | None:
        """The link to the replica `name`; None: no view has named it."""
        return self._links.get(name)

    def call_limit_s(self) -> float:
        """After which a call that is sent now is silent."""
        return self.patience.call_s(self.clock.monotonic_s())

    def worth_sending(self) -> int:
        """From how many calls on a batch goes without waiting for more."""
        calls = 0
        for (
            link
        ) in self._links.values():  # asked before each batch: a generator expression costs twice as much
            calls += link.calls
        return int(SHARE * calls / max(1, len(self._links)))

    def follow(self, urls: dict[str, str], gone: Callable[[str], bool]) -> None:
        """The newest view has its replicas at `urls`; those that are `gone` from every set need not be waited for."""
        for name, link in list(self._links.items()):
            if urls.get(name) != link.url:
                link.move()
                del self._links[name]
            elif gone(name):
                link.give_up()
        for name, url in urls.items():
            if name not in self._links:
                self._links[name] = Link(name, url, self)
        self.pings.follow({name: link.address for name, link in self._links.items()})

    async def ping(self, name: str) -> Pulse:
        """A sign of life of `name`."""
        return await self.pings.ping(name)

    async def close(self) -> None:
        """Give up everything."""
        for link in self._links.values():
            await link.close()
        self._links.clear()
