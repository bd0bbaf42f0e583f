"""What a consumer meets at the broker ends no consumer: only who wants it taken back ends it."""

from __future__ import annotations

import asyncio
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
    """A channel, and what was said on it."""

    def __init__(self) -> None:
        super().__init__(said=[])

    async def basic_nack(self, tag: int, *, requeue: bool) -> None:
        self.said.append((tag, "again" if requeue else "never"))


async def test_a_message_whose_handler_waited_for_something_given_up_comes_again() -> None:
    async def handler(_message: Message) -> None:
        await fails(asyncio.CancelledError())

    told = SimpleNamespace(message_id="m", correlation_id="c")
    incoming, wire = (
        SimpleNamespace(body=b"", delivery_tag=7, header=SimpleNamespace(properties=told)),
        Wire(),
    )
    consumer: Any = Consumer("work", handler, 100, Random(1))
    await in_time(consumer.handle(SimpleNamespace(), wire, incoming))
    assert wire.said == [(7, "again")]


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
