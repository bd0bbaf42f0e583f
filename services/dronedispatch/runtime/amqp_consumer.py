"""One consumer of one queue, on one channel of the broker: has what comes handled, and says what became of it.

What was handled is acknowledged in groups: one frame, and one entry in the log of the queue, for all that was handled within
`ack_after_s`. Who dies before has them delivered again; every effect is safe to repeat.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from random import Random

import aio_pika
import aiormq
import structlog
from aio_pika.abc import AbstractChannel
from aio_pika.exceptions import AMQPError
from aiormq.abc import DeliveredMessage
from prometheus_client import Counter
from ulid import ULID

from dronedispatch.runtime.amqp_queues import DEAD_LETTERS
from dronedispatch.runtime.backoff import full_jitter
from dronedispatch.runtime.logs import bind_request_id
from dronedispatch.runtime.loops import end, is_cancelled

CONFIRM_TIMEOUT_S = 10.0
CONSUME_TIMEOUT_S = 60.0  # a queue whose replicas never formed stands there, and answers no consumer
TEND_S = 2.0  # how often exchanges and bindings are declared again: it changes nothing where they stand
ACK_AFTER_S = 0.1  # of a work queue: what its consumer dies over counts as returned
ACK_OWN_AFTER_S = 1.0  # of a subscription: nobody else waits for what its queue holds

CONSUMED = Counter("dd_amqp_consumed_total", "Messages by outcome", ["queue", "outcome"])
_consumed = cache(CONSUMED.labels)
FAULTS = (AMQPError, OSError, TimeoutError, ConnectionError, asyncio.InvalidStateError, RuntimeError)

log = structlog.get_logger()


class Undecodable(Exception):
    """Raised by a handler: the message can never be understood. It goes to the dead letters with this reason."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message as a handler gets it."""

    body: bytes
    message_id: str
    request_id: str


Handler = Callable[[Message], Awaitable[None]]


class Acks:
    """What was handled of one channel's deliveries, by their tags: they count up from 1."""

    def __init__(self) -> None:
        self._open: dict[int, bool] = {}  # True: handled. In the order of tags
        self.waiting = 0

    def begun(self, tag: int) -> None:
        """It has come."""
        self._open[tag] = False

    def handled(self, tag: int) -> None:
        """It may be acknowledged."""
        self._open[tag] = True
        self.waiting += 1

    def returned(self, tag: int) -> None:
        """It was given back: there is nothing to acknowledge."""
        del self._open[tag]

    def due(self) -> list[tuple[int, bool]]:
        """(tag, with all before it) of each frame that says what is waiting; it waits no longer."""
        found: list[tuple[int, bool]] = []
        first_open = next((tag for tag, is_handled in self._open.items() if not is_handled), None)
        for tag in [tag for tag, is_handled in self._open.items() if is_handled]:
            del self._open[tag]
            if first_open is not None and tag > first_open:
                found.append((tag, False))
            else:
                found = [(tag, True)]
        self.waiting = 0
        return found


class Consumer:
    """`handler` may be called for up to `prefetch` messages at once."""

    def __init__(
        self, queue: str, handler: Handler, prefetch: int, rng: Random, ack_after_s: float = ACK_AFTER_S
    ) -> None:
        self._queue = queue
        self._handler = handler
        self._prefetch = prefetch
        self._rng = rng
        self._ack_after_s = ack_after_s
        self._acks = Acks()
        self._some = asyncio.Event()
        self._many = asyncio.Event()

    async def receive(
        self, channel: AbstractChannel, tend: Callable[[], Awaitable[None]], unanswered: asyncio.Event
    ) -> None:
        """Until the channel or the consumer ends. `tend` is called every TEND_S; it raises what ends it, too.

        `unanswered` is cleared when the broker has taken the consumer. Raises TimeoutError when it does not.
        """
        await channel.set_qos(prefetch_count=self._prefetch)
        wire = (
            await channel.get_underlay_channel()
        )  # aio-pika's own consumers take a task more for each message

        async def received(incoming: DeliveredMessage) -> None:
            try:
                await self.handle(channel, wire, incoming)
            except FAULTS as exc:  # of settling it: what the handler raises is settled there
                log.info(
                    "the channel ended under a message, it comes again", queue=self._queue, error=repr(exc)
                )

        cancelled = asyncio.Event()  # by the broker: the queue was deleted, or its last replica is gone
        wire.on_consumer_cancel_callbacks.add(lambda _: cancelled.set())
        async with asyncio.timeout(CONSUME_TIMEOUT_S):
            await wire.basic_consume(self._queue, received)
        unanswered.clear()
        acknowledging = asyncio.create_task(self._acknowledge(wire))
        ends = [asyncio.ensure_future(channel.closed()), asyncio.create_task(cancelled.wait()), acknowledging]
        try:
            while not (await asyncio.wait(ends, timeout=TEND_S, return_when=asyncio.FIRST_COMPLETED))[0]:
                async with asyncio.timeout(CONFIRM_TIMEOUT_S):
                    await tend()
        finally:
            for one in ends:
                one.cancel()
            await end([acknowledging])
            with contextlib.suppress(*FAULTS):
                async with asyncio.timeout(TEND_S):
                    await self._say(wire)
        why = "the broker took the consumer off" if cancelled.is_set() else "the channel was closed"
        raise ConnectionError(why)

    async def _acknowledge(self, wire: aiormq.abc.AbstractChannel) -> None:
        """A little after the first that was handled, or as soon as they are many."""
        while True:
            await self._some.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._ack_after_s):
                    await self._many.wait()
            await self._say(wire)

    async def _say(self, wire: aiormq.abc.AbstractChannel) -> None:
        self._some.clear()
        self._many.clear()
        for tag, with_all_before in self._acks.due():
            await wire.basic_ack(tag, multiple=with_all_before)

    def _handled(self, tag: int, outcome: str) -> None:
        _consumed(self._queue, outcome).inc()
        self._acks.handled(tag)
        self._some.set()
        if self._acks.waiting >= self._prefetch // 4:
            self._many.set()

    async def handle(
        self, channel: AbstractChannel, wire: aiormq.abc.AbstractChannel, incoming: DeliveredMessage
    ) -> None:
        """Have one message handled, and settle it. Raises what ends the channel."""
        tag, told = incoming.delivery_tag, incoming.header.properties
        assert tag is not None, "only what is delivered has come"
        self._acks.begun(tag)
        message = Message(incoming.body, told.message_id or "", told.correlation_id or str(ULID()))
        bind_request_id(message.request_id)
        try:
            await self._handler(message)
        except Undecodable as exc:
            await self._bury(channel, message, exc)
            self._handled(tag, "undecodable")
        except (Exception, asyncio.CancelledError) as exc:  # a loop runner: one bad message must not end it
            if is_cancelled():
                raise
            log.warning("message not handled, again later", queue=self._queue, error=repr(exc))
            _consumed(self._queue, "again").inc()
            await asyncio.sleep(0.05 + full_jitter(0, base_s=1.0, cap_s=1.0, rng=self._rng))
            self._acks.returned(tag)
            await wire.basic_nack(tag, requeue=True)
        else:
            self._handled(tag, "done")

    async def _bury(self, channel: AbstractChannel, message: Message, why: Undecodable) -> None:
        log.warning("undecodable message", queue=self._queue, message_id=message.message_id, reason=str(why))
        letter = aio_pika.Message(
            message.body,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message.message_id,
            correlation_id=message.request_id,
            headers={"reason": str(why)[:500], "queue": self._queue},
        )
        dead = await channel.get_exchange(DEAD_LETTERS, ensure=False)
        await dead.publish(letter, routing_key=DEAD_LETTERS, timeout=CONFIRM_TIMEOUT_S)
