"""What stands at the broker, and how it is declared: the same from every process, and harmless to repeat.

A queue that stands there with other arguments (AMQP answers 406 and closes the channel) ends nobody's connection: a work
queue may hold messages and is used as it is, a subscription's own queue is made anew.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractQueue, FieldValue
from aio_pika.exceptions import ChannelPreconditionFailed

DEAD_LETTERS = "dead_letters"
DEAD_LETTERS_MAX = 10_000  # the oldest go first
DELIVERY_LIMIT = 20  # attempts of a work queue's message before the broker gives it to the dead letters
WORK_QUEUE_MAX = 100_000
SUBSCRIPTION_EXPIRES_MS = 60_000
SUBSCRIPTION_MAX = 10_000
DELETE_TIMEOUT_S = 60.0  # the broker asks its replicas for some seconds before it deletes without them

Arguments = dict[str, FieldValue]
_complained: set[str] = set()  # queues with other arguments, each said once a process

log = structlog.get_logger()


class Queues(NamedTuple):
    """`work`: durable quorum queues with dead-lettering, each fed by the fan-out exchange of its name. `fanouts`: more
    durable fan-out exchanges. `publishes`: those of both that this process publishes to: it binds their work queues, for
    which it may write to them.
    """

    work: tuple[str, ...]
    fanouts: tuple[str, ...]
    publishes: tuple[str, ...]

    @property
    def exchanges(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(dict.fromkeys((*self.fanouts, *self.work)))

    async def declare(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        """All of it. Raises what the broker says, but not that a queue has other arguments."""
        await _declare_work_queue(connection, DEAD_LETTERS, {"x-queue-type": "quorum"})
        for name in self.work:
            await _declare_work_queue(connection, name, work_arguments(DEAD_LETTERS), work_arguments(""))
        await self.declare_fanouts(channel)
        await trim_dead_letters(channel)

    async def declare_fanouts(self, channel: AbstractChannel) -> None:
        """The exchanges, and their bindings to the queues of the same name."""
        for name in (*self.exchanges, DEAD_LETTERS):
            exchange = await declare_fanout(channel, name)
            if name == DEAD_LETTERS or (name in self.work and name in self.publishes):
                queue = await channel.get_queue(name, ensure=False)
                await queue.bind(exchange)


def work_arguments(dead_letter_exchange: str) -> Arguments:
    """Of a work queue. The release before buried through the default exchange (""), as its queues still do."""
    return {
        "x-queue-type": "quorum",
        "x-dead-letter-exchange": dead_letter_exchange,
        "x-dead-letter-routing-key": DEAD_LETTERS,
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-max-length": WORK_QUEUE_MAX,
    }


async def declare_fanout(channel: AbstractChannel, name: str) -> aio_pika.abc.AbstractExchange:
    """A durable fan-out exchange."""
    return await channel.declare_exchange(name, aio_pika.ExchangeType.FANOUT, durable=True)


async def own_queue(connection: AbstractConnection, channel: AbstractChannel, name: str) -> AbstractQueue:
    """A subscription's queue. One of that name with other arguments is deleted: nothing in it is worth keeping."""
    arguments: Arguments = {
        "x-queue-type": "quorum",  # a classic queue is away for as long as the one broker that has it
        "x-expires": SUBSCRIPTION_EXPIRES_MS,
        "x-max-length": SUBSCRIPTION_MAX,
        "x-overflow": "drop-head",
    }
    if await _fits(connection, name, arguments):
        return await channel.get_queue(name, ensure=False)
    log.warning("our own queue stood there with other arguments: it is made anew", queue=name)
    await channel.queue_delete(name)
    return await channel.declare_queue(name, durable=True, arguments=arguments)


async def delete_own(connection: AbstractConnection, name: str) -> None:
    """A subscription's queue, on a channel for that alone: the one that waited for it answers nothing else."""
    log.warning("our own queue answers no consumer: it is made anew", queue=name)
    async with await connection.channel() as trial, asyncio.timeout(DELETE_TIMEOUT_S):
        await trial.queue_delete(name)


async def trim_dead_letters(channel: AbstractChannel) -> None:
    """Drop the oldest beyond DEAD_LETTERS_MAX: the release before declared the queue without a bound, and so it stays."""
    queue = await channel.declare_queue(DEAD_LETTERS, passive=True)
    for _ in range((queue.declaration_result.message_count or 0) - DEAD_LETTERS_MAX):
        if await queue.get(no_ack=True, fail=False) is None:
            return


async def _declare_work_queue(
    connection: AbstractConnection, name: str, arguments: Arguments, *older: Arguments
) -> None:
    for form in (arguments, *older):
        if await _fits(connection, name, form):
            return
    if name not in _complained:
        _complained.add(name)
        log.warning(
            "the queue has other arguments than ours and is used as it is; delete it at the broker to have it made anew",
            queue=name,
            ours=arguments,
        )


async def _fits(connection: AbstractConnection, name: str, arguments: Arguments) -> bool:
    """Declare it, on a channel for that alone; False when it stands there with other arguments."""
    async with await connection.channel() as trial:
        try:
            await trial.declare_queue(name, durable=True, arguments=arguments)
        except ChannelPreconditionFailed:
            return False
    return True
