"""What a consumer meets at the broker ends no consumer: only who wants it taken back ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import aio_pika
import pytest

from dronedispatch.runtime.amqp import Bus, Message
from dronedispatch.runtime.amqp_consumer import Acks, Consumer
from dronedispatch.runtime.broker_source import BrokerSource
from dronedispatch.runtime.consul import ConsulClient
from dronedispatch.runtime.settings import AmqpSettings
from support.virtual_time import pass_time
from support.waiting import in_time

pytestmark = pytest.mark.virtual_time


async def ignored(_message: Message) -> None:
    """A handler that is never reached."""


async def fails(error: BaseException) -> Any:
    """As aiormq answers what waited on a channel that another call has closed: no task was cancelled."""
    raise error


def connection(*, channel: BaseException, close: BaseException | None) -> SimpleNamespace:
    async def closed() -> None:
        if close is not None:
            raise close

    return SimpleNamespace(channel=lambda **_options: fails(channel), close=closed)


@pytest.mark.parametrize(
    ("channel", "close"),
    [
        (asyncio.CancelledError(), None),
        (KeyError("a frame of another kind"), None),
        (OSError("reset"), asyncio.CancelledError()),
        (OSError("reset"), KeyError("a frame of another kind")),
    ],
)
async def test_whatever_the_library_raises_a_consumer_connects_again(
    channel: BaseException, close: BaseException | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = asyncio.Event()
    broken = [connection(channel=channel, close=close)]

    async def connect(*_words: object, **_options: object) -> SimpleNamespace:
        if not broken:
            again.set()
            await asyncio.get_running_loop().create_future()
        return broken.pop()

    monkeypatch.setattr(aio_pika, "connect", connect)
    bus = Bus(
        BrokerSource(AmqpSettings(url="amqp://there"), ConsulClient("127.0.0.1:1")),
        work_queues=("work",),
        fanouts=(),
    )
    consumer = bus.consume("work", ignored)
    await in_time(asyncio.wait([consumer, asyncio.create_task(again.wait())], return_when="FIRST_COMPLETED"))
    assert not consumer.done()
    await bus.stop()
    assert consumer.cancelled()


class Wire(SimpleNamespace):
    """A channel and the one below it, and what was said on it."""

    def __init__(self) -> None:
        super().__init__(said=[], on_consumer_cancel_callbacks=set(), come=None)

    async def set_qos(self, *, prefetch_count: int) -> None:
        assert prefetch_count

    async def get_underlay_channel(self) -> Wire:
        return self

    async def closed(self) -> None:
        await asyncio.get_running_loop().create_future()

    async def basic_consume(self, _queue: str, come: Callable[[Any], Awaitable[None]]) -> None:
        self.come = come

    async def basic_ack(self, tag: int, *, multiple: bool) -> None:
        self.said.append((tag, "all" if multiple else "one"))

    async def basic_nack(self, tag: int, *, requeue: bool) -> None:
        self.said.append((tag, "again" if requeue else "never"))


def incoming(tag: int) -> Any:
    told = SimpleNamespace(message_id="m", correlation_id="c")
    return SimpleNamespace(body=b"", delivery_tag=tag, header=SimpleNamespace(properties=told))


async def test_a_message_whose_handler_waited_for_something_given_up_comes_again() -> None:
    async def handler(_message: Message) -> None:
        await fails(asyncio.CancelledError())

    wire: Any = Wire()
    consumer = Consumer("work", handler, 100, Random(1))
    await in_time(consumer.handle(wire, wire, incoming(7)))
    assert wire.said == [(7, "again")]


async def test_what_was_handled_is_acknowledged_together_and_at_the_latest_at_the_end() -> None:
    async def handler(_message: Message) -> None:
        pass

    async def tend() -> None:
        pass

    wire: Any = Wire()
    consumer = Consumer("work", handler, 20, Random(1), ack_after_s=0.5)
    receiving = asyncio.create_task(consumer.receive(wire, tend, asyncio.Event()))
    await pass_time(0.0)
    for tag in (1, 2, 3):
        await wire.come(incoming(tag))
    await pass_time(0.4)
    assert wire.said == []
    await pass_time(0.2)
    assert wire.said == [(3, "all")]
    for tag in range(4, 9):
        await wire.come(incoming(tag))
    await pass_time(0.0)
    assert wire.said[1:] == [(8, "all")]  # a quarter of what may be on its way: it waits for no moment
    await wire.come(incoming(9))
    receiving.cancel()
    await asyncio.gather(receiving, return_exceptions=True)
    assert wire.said[2:] == [(9, "all")]


def test_what_was_handled_in_a_row_is_acknowledged_at_once_and_nothing_that_is_still_at_work() -> None:
    acks = Acks()
    for tag in range(1, 8):
        acks.begun(tag)
    for tag in (2, 1, 3, 5, 7):
        acks.handled(tag)
    acks.returned(4)
    assert acks.due() == [(5, True), (7, False)]
    assert acks.due() == []
    acks.handled(6)
    assert acks.due() == [(6, True)]
