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
from random import Random
from typing import Protocol

import aio_pika
import structlog
from aio_pika.abc import (
    AbstractChannel,
    AbstractConnection,
    AbstractExchange,
    AbstractIncomingMessage,
)
from aio_pika.exceptions import AMQPError
from aiormq.abc import DeliveredMessage
from prometheus_client import Counter, Gauge
from ulid import ULID

from dronedispatch.runtime.amqp_queues import DEAD_LETTERS, Queues, delete_own, own_queue, trim_dead_letters
from dronedispatch.runtime.away import Confirms
from dronedispatch.runtime.backoff import full_jitter
from dronedispatch.runtime.broker_connections import BrokerConnections, close_in_time
from dronedispatch.runtime.broker_source import BrokerSource, NoBroker
from dronedispatch.runtime.clock import Clock, SystemClock
from dronedispatch.runtime.logs import bind_request_id, current_request_id
from dronedispatch.runtime.loops import end, is_cancelled

BUFFER_MAX = 10_000  # messages; the oldest goes first, counted: the periodic round finds the same facts
IN_FLIGHT_MAX = 200
CONFIRM_TIMEOUT_S = 10.0
UNCONFIRMED_S = 3.0  # a connection without a confirmation for so long is none: one stuck queue holds up all
CONSUME_TIMEOUT_S = 60.0  # a queue whose replicas never formed stands there, and answers no consumer
TEND_S = 2.0  # how often exchanges and bindings are declared again: it changes nothing where they stand

PUBLISHED = Counter("dd_amqp_published_total", "Messages by outcome", ["target", "outcome"])
PUBLISHED_BYTES = Counter("dd_amqp_published_bytes_total", "Bytes of confirmed messages", ["target"])
CONSUMED = Counter("dd_amqp_consumed_total", "Messages by outcome", ["queue", "outcome"])
BUFFERED = Gauge("dd_amqp_buffered", "Messages waiting to be published")

log = structlog.get_logger()

_FAULTS = (AMQPError, OSError, TimeoutError, ConnectionError, asyncio.InvalidStateError, RuntimeError)


class Undecodable(Exception):
    """Raised by a handler: the message can never be understood. It goes to the dead letters with this reason."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a handler gets it."""

    body: bytes
    message_id: str
    request_id: str


Handler = Callable[[Message], Awaitable[None]]
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
        exchanges: dict[str, AbstractExchange] = {
            name: await channel.get_exchange(name, ensure=False) for name in self._queues.exchanges
        }
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
                    task = asyncio.create_task(self._publish(exchanges[message.target], message))
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

    async def _publish(self, exchange: AbstractExchange, message: _Outgoing) -> None:
        """Raises what the broker or the connection says; the caller then has it sent again."""
        sent = False
        self._confirms.sent()
        try:
            result = await exchange.publish(
                aio_pika.Message(
                    message.body,
                    content_type="application/json",
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                    message_id=message.message_id,
                    correlation_id=message.request_id,
                ),
                routing_key="",
                mandatory=True,
                timeout=CONFIRM_TIMEOUT_S,
            )
            self._note_listeners(message, heard=not isinstance(result, DeliveredMessage))
            sent = True
        finally:
            self._confirms.ended(confirmed=sent)
            PUBLISHED.labels(message.target, "confirmed" if sent else "retried").inc()
            if sent:
                PUBLISHED_BYTES.labels(message.target).inc(len(message.body))

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

            await self._receive(channel, queue, handler, prefetch, tend, asyncio.Event())

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
                await self._receive(channel, queue, handler, 200, tend, unanswered)
            except asyncio.CancelledError:
                if is_cancelled() and not self._stopping:
                    with contextlib.suppress(*_FAULTS):
                        async with asyncio.timeout(TEND_S):
                            await own.delete(if_unused=False, if_empty=False)
                raise

        return self._consumer(queue, run)

    def _consumer(self, queue: str, run: Run) -> asyncio.Task[None]:
        task = asyncio.create_task(self._keep_connected(f"consume {queue}", run), name=f"consume {queue}")
        self._tasks.append(task)
        task.add_done_callback(lambda ended: self._tasks.remove(ended) if ended in self._tasks else None)
        return task

    async def _receive(
        self,
        channel: AbstractChannel,
        queue: str,
        handler: Handler,
        prefetch: int,
        tend: Callable[[], Awaitable[None]],
        unanswered: asyncio.Event,
    ) -> None:
        """Until the channel or the consumer ends. `tend` is called every TEND_S; it raises what ends it, too.

        `unanswered` is cleared when the broker has taken the consumer. Raises TimeoutError when it does not.
        """
        await channel.set_qos(prefetch_count=prefetch)
        source = await channel.get_queue(queue, ensure=False)

        async def received(message: AbstractIncomingMessage) -> None:
            try:
                await self._handle(channel, queue, handler, message)
            except _FAULTS as exc:  # of settling it: what the handler raises is settled there
                log.info("the channel ended under a message, it comes again", queue=queue, error=repr(exc))

        cancelled = asyncio.Event()  # by the broker: the queue was deleted, or its last replica is gone
        (await channel.get_underlay_channel()).on_consumer_cancel_callbacks.add(lambda _: cancelled.set())
        async with asyncio.timeout(CONSUME_TIMEOUT_S):
            await source.consume(received)
        unanswered.clear()
        ends = [asyncio.ensure_future(channel.closed()), asyncio.create_task(cancelled.wait())]
        try:
            while not (await asyncio.wait(ends, timeout=TEND_S, return_when=asyncio.FIRST_COMPLETED))[0]:
                async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                    await tend()
        finally:
            for end in ends:
                end.cancel()
        why = "the broker took the consumer off" if cancelled.is_set() else "the channel was closed"
        raise ConnectionError(why)

    async def _handle(
        self, channel: AbstractChannel, queue: str, handler: Handler, incoming: AbstractIncomingMessage
    ) -> None:
        message = Message(incoming.body, incoming.message_id or "", incoming.correlation_id or str(ULID()))
        bind_request_id(message.request_id)
        try:
            await handler(message)
        except Undecodable as exc:
            log.warning("undecodable message", queue=queue, message_id=message.message_id, reason=str(exc))
            letter = aio_pika.Message(
                message.body,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                message_id=message.message_id,
                correlation_id=message.request_id,
                headers={"reason": str(exc)[:500], "queue": queue},
            )
            dead = await channel.get_exchange(DEAD_LETTERS, ensure=False)
            await dead.publish(letter, routing_key=DEAD_LETTERS, timeout=CONFIRM_TIMEOUT_S)
            CONSUMED.labels(queue, "undecodable").inc()
            await incoming.ack()
        except (Exception, asyncio.CancelledError) as exc:  # a loop runner: one bad message must not end it
            if is_cancelled():
                raise
            log.warning("message not handled, again later", queue=queue, error=repr(exc))
            CONSUMED.labels(queue, "again").inc()
            await asyncio.sleep(0.05 + full_jitter(0, base_s=1.0, cap_s=1.0, rng=self._rng))
            await incoming.nack(requeue=True)
        else:
            CONSUMED.labels(queue, "done").inc()
            await incoming.ack()

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
