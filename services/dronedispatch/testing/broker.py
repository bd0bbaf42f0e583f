"""The broker's memory twin: the same promises (and the same lack of them), no network."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ulid import ULID

from dronedispatch.runtime.amqp import Handler, Message, Undecodable
from dronedispatch.runtime.logs import current_request_id

ATTEMPTS_MAX = 20  # as runtime/amqp.py's DELIVERY_LIMIT


@dataclass(slots=True)
class _Queue:
    waiting: deque[Message] = field(default_factory=deque)
    handlers: list[Handler] = field(default_factory=list)
    turn: int = 0
    attempts: dict[str, int] = field(default_factory=dict)
    busy: bool = False


class MemoryBus:
    """One broker with everybody's connections to it.

    `fate` decides what becomes of a published message: the list of copies that arrive (none: it is lost). `down`: the
    broker is away, and what is published stays in the buffer until it is back.
    """

    def __init__(
        self, fate: Callable[[str, Message], list[Message]] = lambda _target, message: [message]
    ) -> None:
        self.fate = fate
        self.dead_letters: list[tuple[Message, str]] = []
        self.published: list[tuple[str, Message]] = []
        self._down = False
        self._buffer: list[tuple[str, Message]] = []
        self._queues: dict[str, _Queue] = {}
        self._subscribed: dict[str, list[str]] = {}
        self._attached: list[Callable[[], None]] = []
        self._unheard: set[str] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._consumers: set[asyncio.Task[None]] = set()  # the loop keeps none from the garbage collector

    # -- publishing ----------------------------------------------------------------------------------------------

    @property
    def publishing(self) -> bool:
        return not self._down

    def to_queue(self, queue: str, body: bytes, *, message_id: str | None = None) -> None:
        """See runtime.amqp.Publisher."""
        self._offer(queue, self._message(body, message_id))

    def to_fanout(self, exchange: str, body: bytes, *, message_id: str | None = None) -> None:
        """See runtime.amqp.Publisher. An exchange feeds the work queue of its own name, too."""
        self._offer(exchange, self._message(body, message_id))

    def heard(self, exchange: str) -> bool:
        """See runtime.amqp.Bus."""
        return exchange not in self._unheard

    def _message(self, body: bytes, message_id: str | None) -> Message:
        return Message(body, message_id or str(ULID()), current_request_id())

    def _offer(self, target: str, message: Message) -> None:
        self.published.append((target, message))
        if self._down:
            self._buffer.append((target, message))
            return
        if self._subscribed.get(target) or self._queue(target).handlers:
            self._unheard.discard(target)
        else:
            self._unheard.add(target)
        for copy in self.fate(target, message):
            self.deliver(target, copy)

    def deliver(self, target: str, message: Message) -> None:
        """It arrives now, whatever its fate should have been."""
        for queue in (target, *self._subscribed.get(target, ())):
            self._queue(queue).waiting.append(message)
            self._pump(queue)

    def stop_broker(self) -> None:
        """The broker goes away; consumers hear nothing."""
        self._down = True

    def start_broker(self) -> None:
        """It is back, with its durable queues; the publishers' buffers are sent."""
        self._down = False
        for attached in self._attached:
            attached()
        buffered, self._buffer = self._buffer, []
        for target, message in buffered:
            self._offer(target, message)
        for name in list(self._queues):
            self._pump(name)

    # -- consuming -----------------------------------------------------------------------------------------------

    def consume(self, queue: str, handler: Handler, *, prefetch: int = 100) -> asyncio.Task[None]:
        """See runtime.amqp.Bus.consume."""
        own = self._queue(queue)
        own.handlers.append(handler)
        self._pump(queue)
        return self._until_cancelled(own, handler)

    def subscribe(
        self, exchange: str, queue: str, handler: Handler, attached: Callable[[], None] | None = None
    ) -> asyncio.Task[None]:
        """See runtime.amqp.Bus.subscribe."""
        names = self._subscribed.setdefault(exchange, [])
        if queue not in names:
            names.append(queue)
        told = attached or (lambda: None)
        self._attached.append(told)
        if not self._down:
            told()
        task = self.consume(queue, handler)

        def taken_back(_: asyncio.Task[None]) -> None:
            self._attached.remove(told)
            names.remove(queue)
            self._queues.pop(queue, None)

        task.add_done_callback(taken_back)
        return task

    def _until_cancelled(self, queue: _Queue, handler: Handler) -> asyncio.Task[None]:
        async def wait() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                queue.handlers.remove(handler)

        task = asyncio.create_task(wait())
        self._consumers.add(task)
        task.add_done_callback(self._consumers.discard)
        return task

    def _queue(self, name: str) -> _Queue:
        return self._queues.setdefault(name, _Queue())

    def _pump(self, name: str) -> None:
        queue = self._queue(name)
        if queue.handlers and queue.waiting and not queue.busy and not self._down:
            queue.busy = True
            task = asyncio.create_task(self._deliver(queue))
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _deliver(self, queue: _Queue) -> None:
        try:
            while queue.waiting and queue.handlers and not self._down:
                message = queue.waiting[0]
                queue.turn += 1
                handler = queue.handlers[queue.turn % len(queue.handlers)]
                if await self._handled(queue, handler, message):
                    queue.waiting.popleft()
        finally:
            queue.busy = False

    async def _handled(self, queue: _Queue, handler: Handler, message: Message) -> bool:
        try:
            await handler(message)
        except Undecodable as exc:
            self.dead_letters.append((message, str(exc)))
        except Exception as exc:  # noqa: BLE001 - as the real one: a bad message must not end its consumer
            tries = queue.attempts[message.message_id] = queue.attempts.get(message.message_id, 0) + 1
            if tries < ATTEMPTS_MAX:
                await asyncio.sleep(0)
                return False
            self.dead_letters.append((message, repr(exc)))
        return True

    async def settled(self) -> None:
        """Until every message that somebody consumes has been handled."""
        while self._pumps:
            pumps = set(self._pumps)
            await asyncio.gather(*pumps)
            self._pumps -= pumps  # from Python 3.12 on, gathering what has ended lets no callback run


@dataclass(frozen=True, slots=True)
class Handed:
    """One message as it was handed over; `target` is the queue's or the exchange's name."""

    target: str
    body: bytes
    message_id: str


@dataclass(slots=True)
class MemoryPublisher:
    """A runtime.amqp.Publisher that keeps everything."""

    handed: list[Handed] = field(default_factory=list)

    def to_queue(self, queue: str, body: bytes, *, message_id: str | None = None) -> None:
        self.handed.append(Handed(queue, body, message_id or str(ULID())))

    def to_fanout(self, exchange: str, body: bytes, *, message_id: str | None = None) -> None:
        self.handed.append(Handed(exchange, body, message_id or str(ULID())))

    def bodies(self, target: str) -> list[bytes]:
        """The bodies handed over for `target`."""
        return [one.body for one in self.handed if one.target == target]
