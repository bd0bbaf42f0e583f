"""What a consumer meets at the broker ends no consumer: only who wants it taken back ends it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import aio_pika
import pytest

from dronedispatch.runtime.amqp import Bus, Message
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


class Incoming(SimpleNamespace):
    """A message of the broker, and what was said of it."""

    def __init__(self) -> None:
        super().__init__(body=b"", message_id="m", correlation_id="c", said=[])

    async def ack(self) -> None:
        self.said.append("done")

    async def nack(self, *, requeue: bool) -> None:
        self.said.append("again" if requeue else "never")


async def test_a_message_whose_handler_waited_for_something_given_up_comes_again() -> None:
    async def handler(_message: Message) -> None:
        await fails(asyncio.CancelledError())

    incoming = Incoming()
    bus = Bus(
        BrokerSource(AmqpSettings(url="amqp://there"), ConsulClient("127.0.0.1:1")),
        work_queues=("work",),
        fanouts=(),
    )
    await in_time(bus._handle(SimpleNamespace(), "work", handler, incoming))  # type: ignore[arg-type]
    assert incoming.said == ["again"]
