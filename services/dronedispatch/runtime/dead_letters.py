"""What no consumer could handle: listed with its reasons, given back to its queue, or dropped."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aiormq.abc import DeliveredMessage

from dronedispatch.runtime.amqp_queues import DEAD_LETTERS, DEAD_LETTERS_MAX

TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`queue`: where it came from; "" when the broker does not say. `reason`: the consumer's words, or the broker's."""

    message_id: str
    queue: str
    reason: str
    body: bytes


class DeadLetters:
    """The queue as an operator uses it. `channel` with publisher confirms. Every call takes what stands there at once."""

    def __init__(self, channel: AbstractChannel) -> None:
        self._channel = channel

    async def listed(self, limit: int = DEAD_LETTERS_MAX) -> list[DeadLetter]:
        """The oldest `limit`; they stay where they are."""
        taken = await self._take(limit)
        try:
            return [_letter(one) for one in taken]
        finally:
            await _give_back(taken)

    async def replay(self, ids: Collection[str] | None = None) -> list[DeadLetter]:
        """Give these back to the queues that they came from (None: all); returns them.

        A letter leaves only after the broker has confirmed it in its queue: a crash in between repeats it, and every effect
        is safe to repeat. One whose queue is not known, or gone, stays.
        """
        return await self._settle(ids, again=True)

    async def drop(self, ids: Collection[str] | None = None) -> list[DeadLetter]:
        """Forget these (None: all); returns them."""
        return await self._settle(ids, again=False)

    async def _settle(self, ids: Collection[str] | None, *, again: bool) -> list[DeadLetter]:
        taken, done, left = (
            await self._take(DEAD_LETTERS_MAX),
            list[DeadLetter](),
            list[AbstractIncomingMessage](),
        )
        try:
            for message in taken:
                letter = _letter(message)
                wanted = ids is None or letter.message_id in ids
                if wanted and (not again or await self._return(letter, message)):
                    await message.ack()
                    done.append(letter)
                else:
                    left.append(message)
        finally:
            await _give_back(left)
        return done

    async def _return(self, letter: DeadLetter, message: AbstractIncomingMessage) -> bool:
        """Whether its queue has it."""
        if not letter.queue:
            return False
        confirmed = await self._channel.default_exchange.publish(
            aio_pika.Message(
                message.body,
                content_type=message.content_type,
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                message_id=message.message_id,
                correlation_id=message.correlation_id,
            ),
            routing_key=letter.queue,
            mandatory=True,
            timeout=TIMEOUT_S,
        )
        return not isinstance(confirmed, DeliveredMessage)

    async def _take(self, limit: int) -> list[AbstractIncomingMessage]:
        queue = await self._channel.declare_queue(DEAD_LETTERS, passive=True)
        taken: list[AbstractIncomingMessage] = []
        while len(taken) < limit and (message := await queue.get(no_ack=False, fail=False)) is not None:
            taken.append(message)
        return taken


async def _give_back(messages: list[AbstractIncomingMessage]) -> None:
    for message in messages:
        await message.nack(requeue=True)


def _letter(message: AbstractIncomingMessage) -> DeadLetter:
    headers: dict[str, Any] = dict(message.headers)
    deaths = headers.get("x-death") or [{}]  # the broker's own words, of a message that was tried too often
    queue = headers.get("queue") or deaths[0].get("queue") or ""
    reason = headers.get("reason") or deaths[0].get("reason") or "unknown"
    return DeadLetter(message.message_id or "", str(queue), str(reason), message.body)
