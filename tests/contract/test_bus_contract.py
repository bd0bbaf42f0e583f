"""The bus and its memory twin keep the same promises; whoever is tested on the twin may rely on them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol

import pytest

from dronedispatch.runtime.amqp import Bus, Handler, Message, Undecodable
from dronedispatch.runtime.broker_source import BrokerSource
from dronedispatch.runtime.consul import ConsulClient
from dronedispatch.runtime.settings import AmqpSettings
from dronedispatch.testing.broker import MemoryBus
from support.real_parts import broker_url, running_broker
from support.waiting import deadline, repeated_until, until

NUMBERS = itertools.count(1)


class AnyBus(Protocol):
    def to_queue(self, queue: str, body: bytes, *, message_id: str | None = None) -> None: ...

    def to_fanout(self, exchange: str, body: bytes, *, message_id: str | None = None) -> None: ...

    def consume(self, queue: str, handler: Handler) -> asyncio.Task[None]: ...

    def subscribe(
        self, exchange: str, queue: str, handler: Handler, attached: Callable[[], None] | None = None
    ) -> asyncio.Task[None]: ...


@pytest.fixture(scope="module")
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_broker(tmp_path_factory.mktemp("broker")) as (ports, _):
        yield broker_url(ports)


@pytest.fixture(params=["memory", pytest.param("rabbitmq", marks=pytest.mark.real)])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[AnyBus]:
    if request.param == "memory":
        yield MemoryBus()
        return
    consul = ConsulClient("127.0.0.1:1")
    source = BrokerSource(AmqpSettings(url=request.getfixturevalue("url")), consul)
    real = Bus(source, work_queues=("work", "news"), fanouts=("news",))
    real.start()
    yield real
    await real.stop()
    await consul.close()


class Inbox:
    """A handler that collects, and fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.bodies: list[bytes] = []
        self.ids: list[str] = []
        self.failures = failures

    async def __call__(self, message: Message) -> None:
        if message.body.startswith(b"garbage"):
            raise Undecodable("it is garbage")
        if self.failures:
            self.failures -= 1
            raise ConnectionError("not now")
        self.bodies.append(message.body)
        self.ids.append(message.message_id)

    async def until(self, holds: Callable[[Inbox], object]) -> None:
        await until(lambda: holds(self), "the messages are here", 30.0)


def fresh(word: str) -> bytes:
    """A body of this test alone: a real queue may hold what another test has left."""
    return f"{word} {next(NUMBERS)}".encode()


async def test_what_is_handed_over_for_a_queue_reaches_one_consumer_with_its_id(bus: AnyBus) -> None:
    one, two, body = Inbox(), Inbox(), fresh("hello")
    tasks = [bus.consume("work", one), bus.consume("work", two)]
    bus.to_queue("work", body, message_id="m-1")
    await one.until(lambda _: body in one.bodies or body in two.bodies)
    assert (one.bodies + two.bodies).count(body) == 1
    assert "m-1" in one.ids + two.ids
    await ended(tasks)


async def test_a_fanout_reaches_every_subscriber_and_the_work_queue_of_its_name(bus: AnyBus) -> None:
    inboxes, ready, body = [Inbox(), Inbox(), Inbox()], fresh("ready"), fresh("news")
    tasks = [
        bus.consume("news", inboxes[0]),
        bus.subscribe("news", f"news.{next(NUMBERS)}", inboxes[1]),
        bus.subscribe("news", f"news.{next(NUMBERS)}", inboxes[2]),
    ]
    await repeated_until(
        lambda: bus.to_fanout("news", ready),
        lambda: all(ready in inbox.bodies for inbox in inboxes),
        "every subscriber has heard",
        30.0,
    )
    bus.to_fanout("news", body)
    for inbox in inboxes:
        await inbox.until(lambda got: body in got.bodies)
    assert [inbox.bodies.count(body) for inbox in inboxes] == [1, 1, 1]
    await ended(tasks)


async def test_a_subscriber_is_told_when_it_is_attached_and_gets_all_that_is_published_from_then_on(
    bus: AnyBus,
) -> None:
    inbox, heard, body = Inbox(), asyncio.Event(), fresh("news")
    tasks = [bus.subscribe("news", f"news.{next(NUMBERS)}", inbox, heard.set)]
    async with deadline():
        await heard.wait()
    bus.to_fanout("news", body)
    await inbox.until(lambda got: body in got.bodies)
    await ended(tasks)


async def test_a_message_whose_handler_failed_comes_again(bus: AnyBus) -> None:
    inbox, body = Inbox(failures=2), fresh("again")
    tasks = [bus.consume("work", inbox)]
    bus.to_queue("work", body)
    await inbox.until(lambda got: body in got.bodies)
    assert inbox.failures == 0
    await ended(tasks)


async def test_a_message_that_cannot_be_decoded_blocks_nobody(bus: AnyBus) -> None:
    inbox, body = Inbox(), fresh("after")
    tasks = [bus.consume("work", inbox)]
    bus.to_queue("work", fresh("garbage"))
    bus.to_queue("work", body)
    await inbox.until(lambda got: body in got.bodies)
    assert not [got for got in inbox.bodies if got.startswith(b"garbage")]
    await ended(tasks)


async def test_messages_of_one_publisher_come_in_order(bus: AnyBus) -> None:
    inbox, mark = Inbox(), fresh("n")
    tasks = [bus.consume("work", inbox)]
    bodies = [mark + b" %d" % number for number in range(50)]
    for body in bodies:
        bus.to_queue("work", body)
    await inbox.until(lambda got: bodies[-1] in got.bodies)
    assert [body for body in inbox.bodies if body.startswith(mark)] == bodies
    await ended(tasks)


async def test_what_comes_while_nobody_consumes_waits_for_the_next_consumer(bus: AnyBus) -> None:
    first, second, body = Inbox(), Inbox(), fresh("later")
    await ended([bus.consume("work", first)])
    bus.to_queue("work", body)
    tasks = [bus.consume("work", second)]
    await second.until(lambda got: body in got.bodies)
    assert body not in first.bodies
    await ended(tasks)


async def ended(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
