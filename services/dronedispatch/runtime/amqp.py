"""Messages through RabbitMQ: confirmed, bounded, repeated; never trusted to arrive.

Publishing never delays its caller: a message goes into a bounded buffer, and a task of its own sends it with publisher
confirms, full-jitter back-off and the same message id each time (a lost confirm is ambiguous, so consumers are idempotent).
aio-pika's robust connections do not replay a failed publish, so both directions reconnect by loops of ours, which also
ask for the broker's address again each time. What somebody deletes at the broker (an exchange, a queue, a binding) is made
again within TEND_S; a queue that exists with other arguments is used as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Protocol

import aio_pika
import aiormq
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import DeliveredMessage
from prometheus_client import Counter, Gauge
from ulid import ULID

from dronedispatch.runtime.amqp_consumer import (
    ACK_OWN_AFTER_S,
    CONFIRM_TIMEOUT_S,
    FAULTS,
    TEND_S,
    Consumer,
    Handler,
    Message,
    Undecodable,
)
from dronedispatch.runtime.amqp_queues import Queues, delete_own, own_queue, trim_dead_letters
from dronedispatch.runtime.away import Confirms
from dronedispatch.runtime.backoff import full_jitter
from dronedispatch.runtime.broker_connections import BrokerConnections, close_in_time
from dronedispatch.runtime.broker_source import BrokerSource, NoBroker
from dronedispatch.runtime.clock import Clock, SystemClock
from dronedispatch.runtime.logs import current_request_id
from dronedispatch.runtime.loops import end, is_cancelled

__all__ = ["Bus", "Handler", "Message", "Publisher", "Undecodable"]

BUFFER_MAX = 10_000  # messages; the oldest goes first, counted: the periodic round finds the same facts
IN_FLIGHT_MAX = 200
PERSISTENT = 2  # AMQP's delivery mode
UNCONFIRMED_S = 3.0  # a connection without a confirmation for so long is none: one stuck queue holds up all

PUBLISHED = Counter("dd_amqp_published_total", "Messages by outcome", ["target", "outcome"])
PUBLISHED_BYTES = Counter("dd_amqp_published_bytes_total", "Bytes of confirmed messages", ["target"])
BUFFERED = Gauge("dd_amqp_buffered", "Messages waiting to be published")
_published, _published_bytes = cache(PUBLISHED.labels), cache(PUBLISHED_BYTES.labels)

log = structlog.get_logger()

Run = Callable[[AbstractConnection, AbstractChannel], Awaitable[None]]


class Publisher(Protocol):
    """Where events are handed over; a memory twin is in testing/broker.py."""

    def to_queue(self, queue: str, body: bytes, *, message_id: str | None = None) -> None:
        """Hand over for a work queue; returns at once, drops the oldest when the buffer is full."""

    def to_fanout(self, exchange: str, body: bytes, *, message_id: str | None = None) -> None:
        """Hand over for everybody who subscribed to `exchange`."""


@dataclass(frozen=True, slots=True)
class _Outgoing:
    target: str
    body: bytes
    message_id: str
    request_id: str


class Bus:
    """The broker as one process sees it: a publisher, and consumers of work queues and of fan-outs.

    `work_queues`: durable quorum queues with dead-lettering, each fed by the fan-out exchange of its name. `fanouts`: more
    durable fan-out exchanges. `publishes`: those of both that it publishes to and may write to; None: all.
    """

    def __init__(
        self,
        source: BrokerSource,
        *,
        work_queues: Sequence[str],
        fanouts: Sequence[str],
        publishes: Sequence[str] | None = None,
        rng: Random | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._source = source
        written = (*work_queues, *fanouts) if publishes is None else publishes
        self._queues = Queues(tuple(work_queues), tuple(fanouts), tuple(written))
        self._rng = rng or Random()
        self._buffer: deque[_Outgoing] = deque()
        self._news = asyncio.Event()
        self._unheard: set[str] = set()
        self._stopping = False
        self._connected = False
        self._confirms = Confirms(clock or SystemClock())
        self._connections = BrokerConnections()
        self._tasks: list[asyncio.Task[None]] = []

    # -- publishing --------------------------------------------------------------------------------------------

    def to_queue(self, queue: str, body: bytes, *, message_id: str | None = None) -> None:
        self._offer(_Outgoing(queue, body, message_id or str(ULID()), current_request_id()))

    def to_fanout(self, exchange: str, body: bytes, *, message_id: str | None = None) -> None:
        self._offer(_Outgoing(exchange, body, message_id or str(ULID()), current_request_id()))

    def heard(self, exchange: str) -> bool:
        """False: nobody was bound to `exchange` when it was published to last."""
        return exchange not in self._unheard

    def _offer(self, message: _Outgoing) -> None:
        if len(self._buffer) >= BUFFER_MAX:
            lost = self._buffer.popleft()
            PUBLISHED.labels(lost.target, "dropped").inc()
        self._buffer.append(message)
        BUFFERED.set(len(self._buffer))
        self._news.set()

    def start(self) -> None:
        """Connect in the background; never waits for the broker."""
        self._source.start()
        running = self._keep_connected("publish", self._publish_all)
        self._tasks.append(asyncio.create_task(running, name="publish"))

    async def stop(self, drain_s: float = 2.0) -> None:
        """Send what is buffered, at most for `drain_s`, then close."""
        self._stopping = True
        self._news.set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                while self._buffer and self.publishing:  # noqa: ASYNC110 - at the end of life only
                    await asyncio.sleep(0.02)
        await end(self._tasks)
        await self._source.stop()

    @property
    def publishing(self) -> bool:
        """Whether the broker takes what is published."""
        return self._connected and self._confirms.waiting_s < UNCONFIRMED_S

    async def _publish_all(self, _connection: AbstractConnection, channel: AbstractChannel) -> None:
        wire = (
            await channel.get_underlay_channel()
        )  # aio-pika's own publish takes twice the time, for the same frames
        self._connected = True
        away: dict[asyncio.Task[None], _Outgoing] = {}  # in the order of sending
        failed: list[BaseException] = []

        def settled(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                failed.append(error)
            elif not task.cancelled():
                del away[task]
            self._news.set()

        def tended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                failed.append(error)
                self._news.set()

        tending = asyncio.create_task(self._tend(channel), name="tend")
        tending.add_done_callback(tended)
        try:
            while not channel.is_closed and not failed:
                self._news.clear()
                while self._buffer and len(away) < IN_FLIGHT_MAX:
                    message = self._buffer.popleft()
                    task = asyncio.create_task(self._publish(wire, message))
                    away[task] = message
                    task.add_done_callback(settled)
                BUFFERED.set(len(self._buffer))
                await self._news.wait()
            if failed:
                raise failed[0]
        finally:
            self._connected = False
            await end([tending, *away])
            self._buffer.extendleft(reversed(away.values()))  # again, in their order

    async def _tend(self, channel: AbstractChannel) -> None:
        """Bind again what somebody has unbound: only who publishes may."""
        while True:
            await asyncio.sleep(TEND_S)
            async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                await self._queues.declare_fanouts(channel)

    async def _publish(self, wire: aiormq.abc.AbstractChannel, message: _Outgoing) -> None:
        """Raises what the broker or the connection says; the caller then has it sent again."""
        sent = False
        self._confirms.sent()
        try:
            result = await wire.basic_publish(
                message.body,
                exchange=message.target,
                properties=aiormq.spec.Basic.Properties(
                    content_type="application/json",
                    delivery_mode=PERSISTENT,
                    message_id=message.message_id,
                    correlation_id=message.request_id,
                ),
                mandatory=True,
                timeout=CONFIRM_TIMEOUT_S,
            )
            self._note_listeners(message, heard=not isinstance(result, DeliveredMessage))
            sent = True
        finally:
            self._confirms.ended(confirmed=sent)
            _published(message.target, "confirmed" if sent else "retried").inc()
            if sent:
                _published_bytes(message.target).inc(len(message.body))

    def _note_listeners(self, message: _Outgoing, *, heard: bool) -> None:
        """Raises NoBroker for a message that the broker gave back though its work queue should be there."""
        if heard:
            self._unheard.discard(message.target)
        elif message.target in self._queues.work:
            raise NoBroker(f"the queue {message.target} is gone or not bound: it is declared again")
        else:
            self._unheard.add(message.target)

    # -- consuming ---------------------------------------------------------------------------------------------

    def consume(self, queue: str, handler: Handler, *, prefetch: int = 100) -> asyncio.Task[None]:
        """Work off `queue` until the returned task is cancelled; acknowledges after `handler` has returned."""

        async def run(connection: AbstractConnection, channel: AbstractChannel) -> None:
            async def tend() -> None:
                await self._queues.declare_fanouts(channel)
                await trim_dead_letters(channel)

            await Consumer(queue, handler, prefetch, self._rng).receive(channel, tend, asyncio.Event())

        return self._consumer(queue, run)

    def subscribe(
        self, exchange: str, queue: str, handler: Handler, attached: Callable[[], None] | None = None
    ) -> asyncio.Task[None]:
        """Get everything that `exchange` carries from now on, through a queue of our own that expires with us.

        `attached` is called at each (re)connection: what is published from then on arrives, earlier messages may be lost.
        Cancelling the returned task takes the subscription back. A queue that left its consumer without an answer is made
        anew: the broker never heals it, and whoever publishes to it waits for it.
        """
        unanswered = asyncio.Event()

        async def run(connection: AbstractConnection, channel: AbstractChannel) -> None:
            if unanswered.is_set():
                await delete_own(connection, queue)
            own = await own_queue(connection, channel, queue)
            await own.bind(exchange)
            if attached is not None:
                attached()

            async def tend() -> None:
                await channel.declare_exchange(exchange, aio_pika.ExchangeType.FANOUT, durable=True)
                await own.bind(exchange)

            unanswered.set()
            try:
                consumer = Consumer(queue, handler, 200, self._rng, ACK_OWN_AFTER_S)
                await consumer.receive(channel, tend, unanswered)
            except asyncio.CancelledError:
                if is_cancelled() and not self._stopping:
                    with contextlib.suppress(*FAULTS):
                        async with asyncio.timeout(TEND_S):
                            await own.delete(if_unused=False, if_empty=False)
                raise

        return self._consumer(queue, run)

    def _consumer(self, queue: str, run: Run) -> asyncio.Task[None]:
        task = asyncio.create_task(self._keep_connected(f"consume {queue}", run), name=f"consume {queue}")
        self._tasks.append(task)
        task.add_done_callback(lambda ended: self._tasks.remove(ended) if ended in self._tasks else None)
        return task

    # -- the connection ----------------------------------------------------------------------------------------

    async def _keep_connected(self, direction: str, run: Run) -> None:
        failures = 0
        with self._connections.wanted(direction.partition(" ")[0]) as told_up:
            while True:
                connection: AbstractConnection | None = None
                try:
                    url = await self._source.url()
                    connection = await aio_pika.connect(url, timeout=5.0, ssl_context=self._source.tls)
                    channel = await connection.channel(publisher_confirms=True)
                    await self._queues.declare(connection, channel)
                    log.info("broker connected", direction=direction)
                    told_up(True)
                    failures = 0
                    await run(connection, channel)
                except (Exception, asyncio.CancelledError) as exc:  # one that ended would go unnoticed
                    if is_cancelled():  # and the library may have made a fault of it
                        raise asyncio.CancelledError from exc
                    if failures == 0:
                        log.warning("broker lost, retrying", direction=direction, error=repr(exc))
                finally:
                    if not is_cancelled():
                        told_up(False)
                    if connection is not None:
                        await close_in_time(connection)
                await asyncio.sleep(0.1 + full_jitter(failures, base_s=0.2, cap_s=3.0, rng=self._rng))
                failures += 1
