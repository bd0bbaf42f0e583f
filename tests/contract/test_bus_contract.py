"""The bus and its memory twin keep the same promises; whoever is tested on the twin may rely on them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Protocol

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import ChannelAccessRefused
from scripts.local.ports import Ports

from dronedispatch.fleet.traffic import DELIVERY_REQUESTS, TRAFFIC, WORK_QUEUES
from dronedispatch.runtime.amqp import Bus, Handler, Message, Undecodable
from dronedispatch.runtime.amqp_queues import work_arguments
from dronedispatch.runtime.broker_source import BrokerSource
from dronedispatch.runtime.consul import ConsulClient
from dronedispatch.runtime.dead_letters import DeadLetters
from dronedispatch.runtime.logs import bind_request_id
from dronedispatch.runtime.settings import AmqpSettings
from dronedispatch.testing.broker import MemoryBus
from support.real_parts import broker_url, running_broker
from support.waiting import deadline, repeated_until, until, until_true

NUMBERS = itertools.count(1)


class AnyBus(Protocol):
    def to_queue(self, queue: str, body: bytes, *, message_id: str | None = None) -> None: ...

    def to_fanout(self, exchange: str, body: bytes, *, message_id: str | None = None) -> None: ...

    def consume(self, queue: str, handler: Handler) -> asyncio.Task[None]: ...

    def subscribe(
        self, exchange: str, queue: str, handler: Handler, attached: Callable[[], None] | None = None
    ) -> asyncio.Task[None]: ...


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    with running_broker(tmp_path_factory.mktemp("broker")) as (ports, _):
        yield ports


@pytest.fixture(scope="module")
def url(ports: Ports) -> str:
    return broker_url(ports)


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
        self.ids: list[tuple[str, str]] = []
        self.failures = failures

    async def __call__(self, message: Message) -> None:
        if message.body.startswith(b"garbage"):
            raise Undecodable("it is garbage")
        if self.failures:
            self.failures -= 1
            raise ConnectionError("not now")
        self.bodies.append(message.body)
        self.ids.append((message.message_id, message.request_id))

    async def until(self, holds: Callable[[Inbox], object]) -> None:
        await until(lambda: holds(self), "the messages are here", 30.0)


def fresh(word: str) -> bytes:
    """A body of this test alone: a real queue may hold what another test has left."""
    return f"{word} {next(NUMBERS)}".encode()


async def test_what_is_handed_over_for_a_queue_reaches_one_consumer_with_its_ids(bus: AnyBus) -> None:
    one, two, body = Inbox(), Inbox(), fresh("hello")
    bind_request_id("request-7")
    bus.consume("work", one)
    bus.consume("work", two)
    bus.to_queue("work", body, message_id="m-1")
    await one.until(lambda _: body in one.bodies or body in two.bodies)
    assert (one.bodies + two.bodies).count(body) == 1
    assert ("m-1", "request-7") in one.ids + two.ids


async def test_a_fanout_reaches_every_subscriber_and_the_work_queue_of_its_name(bus: AnyBus) -> None:
    inboxes, ready, body = [Inbox(), Inbox(), Inbox()], fresh("ready"), fresh("news")
    bus.consume("news", inboxes[0])
    for inbox in inboxes[1:]:
        bus.subscribe("news", f"news.{next(NUMBERS)}", inbox)
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


async def test_a_subscriber_is_told_when_it_is_attached_and_gets_all_that_is_published_from_then_on(
    bus: AnyBus,
) -> None:
    inbox, heard, body = Inbox(), asyncio.Event(), fresh("news")
    bus.subscribe("news", f"news.{next(NUMBERS)}", inbox, heard.set)
    async with deadline():
        await heard.wait()
    bus.to_fanout("news", body)
    await inbox.until(lambda got: body in got.bodies)


async def test_a_message_whose_handler_failed_comes_again(bus: AnyBus) -> None:
    inbox, body = Inbox(failures=2), fresh("again")
    bus.consume("work", inbox)
    bus.to_queue("work", body)
    await inbox.until(lambda got: body in got.bodies)
    assert inbox.failures == 0


async def test_a_message_that_cannot_be_decoded_blocks_nobody(bus: AnyBus) -> None:
    inbox, body = Inbox(), fresh("after")
    bus.consume("work", inbox)
    bus.to_queue("work", fresh("garbage"))
    bus.to_queue("work", body)
    await inbox.until(lambda got: body in got.bodies)
    assert not [got for got in inbox.bodies if got.startswith(b"garbage")]


async def test_messages_of_one_publisher_come_in_order(bus: AnyBus) -> None:
    inbox, mark = Inbox(), fresh("n")
    bus.consume("work", inbox)
    bodies = [mark + b" %d" % number for number in range(50)]
    for body in bodies:
        bus.to_queue("work", body)
    await inbox.until(lambda got: bodies[-1] in got.bodies)
    assert [body for body in inbox.bodies if body.startswith(mark)] == bodies


async def test_what_comes_while_nobody_consumes_waits_for_the_next_consumer(bus: AnyBus) -> None:
    first, second, body = Inbox(), Inbox(), fresh("later")
    over = bus.consume("work", first)
    over.cancel()
    await asyncio.gather(over, return_exceptions=True)
    bus.to_queue("work", body)
    bus.consume("work", second)
    await second.until(lambda got: body in got.bodies)
    assert body not in first.bodies


@contextlib.asynccontextmanager
async def bus_of(service: str, ports: Ports) -> AsyncIterator[Bus]:
    """As the service's process opens it, with its own user."""
    consul, own = ConsulClient("127.0.0.1:1"), TRAFFIC[service]
    bus = Bus(
        BrokerSource(AmqpSettings(url=broker_url(ports, service)), consul),
        work_queues=own.work_queues,
        fanouts=own.fanouts,
        publishes=own.publishes,
    )
    bus.start()
    try:
        yield bus
    finally:
        await bus.stop()
        await consul.close()


@pytest.mark.real
@pytest.mark.parametrize("queues", ["none yet", "of the release before"])
async def test_each_service_may_do_its_work_with_its_own_user(ports: Ports, queues: str) -> None:
    async with await aio_pika.connect(broker_url(ports)) as connection:
        channel = await connection.channel()
        for name in WORK_QUEUES:
            await channel.queue_delete(name)
            if queues == "of the release before":
                await channel.declare_queue(name, durable=True, arguments=work_arguments(""))
    async with (
        bus_of("dispatcher", ports) as dispatcher,
        bus_of("gateway", ports) as gateway,
        bus_of("drone-sim", ports) as fleet,
    ):
        buses = {"dispatcher": dispatcher, "gateway": gateway, "drone-sim": fleet}
        inboxes: list[tuple[str, Inbox]] = []
        for service, own in TRAFFIC.items():
            for name in own.works_off:
                inboxes.append((name, Inbox()))
                buses[service].consume(name, inboxes[-1][1])
            for name in own.subscribes:
                inboxes.append((name, Inbox()))
                buses[service].subscribe(name, f"{name}.{service}-1", inboxes[-1][1])

        def tell() -> None:
            for service, own in TRAFFIC.items():
                for name in own.publishes:
                    buses[service].to_fanout(name, name.encode())

        await repeated_until(
            tell, lambda: all(name.encode() in inbox.bodies for name, inbox in inboxes), "all hear all", 30.0
        )
        letters = await dead(ports, lambda: gateway.to_queue(DELIVERY_REQUESTS, b"garbage"))
        assert letters == [(DELIVERY_REQUESTS, "it is garbage")]


async def dead(ports: Ports, spoil: Callable[[], None]) -> list[tuple[str, str]]:
    spoil()
    async with await aio_pika.connect(broker_url(ports)) as connection:
        letters = DeadLetters(await connection.channel())

        async def there() -> bool:
            return DELIVERY_REQUESTS in {one.queue for one in await letters.listed()}

        await until_true(there, "it is among the dead letters", 30.0)
        return [(one.queue, one.reason) for one in await letters.drop() if one.queue == DELIVERY_REQUESTS]


EXCHANGES = sorted({name for own in TRAFFIC.values() for name in own.publishes})


@pytest.mark.real
@pytest.mark.parametrize("service", TRAFFIC)
async def test_nobody_publishes_what_another_service_says(ports: Ports, service: str) -> None:
    async with await aio_pika.connect(broker_url(ports)) as connection:
        channel = await connection.channel()
        for name in EXCHANGES:  # whatever ran before
            await channel.declare_exchange(name, aio_pika.ExchangeType.FANOUT, durable=True)
            await channel.declare_queue(f"{name}.somebody-1", durable=True)
    own = TRAFFIC[service]
    async with await aio_pika.connect(broker_url(ports, service)) as connection:
        for name in EXCHANGES:
            assert await allowed(connection, published(name, "")) == (name in own.publishes), name
            assert not await allowed(connection, published("", name)), name
            queue = f"{name}.somebody-1"
            assert await allowed(connection, bound(queue, name)) == (name in own.subscribes), name


def published(exchange: str, key: str) -> Callable[[AbstractChannel], Awaitable[object]]:
    async def act(channel: AbstractChannel) -> object:
        to = channel.default_exchange if not exchange else await channel.get_exchange(exchange, ensure=False)
        return await to.publish(aio_pika.Message(b"garbage"), routing_key=key, timeout=60.0)

    return act


def bound(queue: str, exchange: str) -> Callable[[AbstractChannel], Awaitable[object]]:
    async def act(channel: AbstractChannel) -> object:
        return await (await channel.get_queue(queue, ensure=False)).bind(exchange)

    return act


async def allowed(
    connection: AbstractConnection, act: Callable[[AbstractChannel], Awaitable[object]]
) -> bool:
    """Whether the broker lets this user do it."""
    channel = await connection.channel()
    try:
        await act(channel)
    except ChannelAccessRefused:
        return False
    await channel.close()
    return True
