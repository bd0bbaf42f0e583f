"""The bus on a real RabbitMQ: confirmed, repeated over a broker's death, dead letters with a reason."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from random import Random

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from prometheus_client import REGISTRY
from scripts.local.ports import Ports

from dronedispatch.runtime import amqp, amqp_consumer, amqp_queues
from dronedispatch.runtime.amqp import Bus, Message, Undecodable
from dronedispatch.runtime.amqp_queues import DEAD_LETTERS, DELIVERY_LIMIT
from dronedispatch.runtime.broker_source import BrokerSource
from dronedispatch.runtime.consul import ConsulClient
from dronedispatch.runtime.dead_letters import DeadLetters
from dronedispatch.runtime.settings import AmqpSettings
from support.real_parts import Part, broker_url, metadata_stores, rabbitmqctl, running_broker
from support.waiting import in_time, patient_s, repeated_until, until, until_true

pytestmark = pytest.mark.real


@pytest.fixture(scope="module", params=metadata_stores())
def broker(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[tuple[Ports, Part]]:
    folder = tmp_path_factory.mktemp("broker")
    with running_broker(folder) as (ports, part):
        if request.param == "khepri":
            told = rabbitmqctl(part.environ, "enable_feature_flag", "--opt-in", "khepri_db")
            assert told.returncode == 0, told.stdout + told.stderr
        yield ports, part


@pytest.fixture
async def buses(broker: tuple[Ports, Part]) -> AsyncIterator[Callable[[], Bus]]:
    made: list[Bus] = []
    consul = ConsulClient("127.0.0.1:1")

    def make(rng: Random | None = None) -> Bus:
        source = BrokerSource(AmqpSettings(url=broker_url(broker[0])), consul)
        bus = Bus(source, work_queues=("work", "news"), fanouts=("news",), rng=rng)
        bus.start()
        made.append(bus)
        return bus

    yield make
    for bus in made:
        await bus.stop()
    await consul.close()


class Inbox:
    """Collects what a consumer was given."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        if message.body == b"garbage":
            raise Undecodable("field x: not a number")
        self.messages.append(message)

    async def until(self, condition: Callable[[list[Message]], bool], ordinary_s: float = 30.0) -> None:
        await until(lambda: condition(self.messages), "the messages are here", ordinary_s)


class Hurried(Random):
    """Chance that never waits."""

    def random(self) -> float:
        return 0.0


async def test_a_message_that_no_handler_takes_is_tried_to_the_limit_and_then_a_dead_letter(
    buses: Callable[..., Bus], operator: AbstractChannel
) -> None:
    bus, tries = buses(Hurried()), [0]

    async def never(_message: Message) -> None:
        tries[0] += 1
        raise ConnectionError("the store is away")

    bus.consume("work", never)
    bus.to_queue("work", b"a poisoned one")
    await until(lambda: tries[0], "it is tried", 30.0)
    dead = await dead_letter(operator)
    await dead.ack()
    assert dead.body == b"a poisoned one"
    assert "delivery_limit" in str(dead.headers["x-death"])
    assert tries[0] == DELIVERY_LIMIT + 1


async def test_a_dead_letter_may_be_looked_at_more_often_than_any_broker_delivers_by_itself(
    buses: Callable[..., Bus], operator: AbstractChannel
) -> None:
    bus, inbox = buses(), Inbox()
    bus.consume("work", inbox)
    bus.to_queue("work", b"first")
    await inbox.until(lambda got: len(got) == 1)  # the queues are declared
    bus.to_queue("work", b"garbage")
    for _ in range(3 * DELIVERY_LIMIT):
        await (await dead_letter(operator)).nack(requeue=True)
    await (await dead_letter(operator)).ack()


async def told(bus: Bus, body: bytes, *inboxes: Inbox, ordinary_s: float = 30.0) -> None:
    """Everybody hears it, from whenever on they do."""
    await repeated_until(
        lambda: bus.to_fanout("news", body),
        lambda: all(any(message.body == body for message in inbox.messages) for inbox in inboxes),
        f"{body!r} is heard",
        ordinary_s,
    )


@pytest.fixture
async def operator(broker: tuple[Ports, Part]) -> AsyncIterator[AbstractChannel]:
    """Whose channel does at the broker what an operator may do."""
    async with await aio_pika.connect(broker_url(broker[0])) as connection:
        yield await connection.channel()


async def dead_letter(operator: AbstractChannel) -> AbstractIncomingMessage:
    """The first of them; a bus has declared their queue already."""
    queue = await operator.get_queue(DEAD_LETTERS, ensure=False)
    found: list[AbstractIncomingMessage] = []

    async def there() -> bool:
        one = await queue.get(fail=False)
        found.extend([] if one is None else [one])
        return bool(found)

    await until_true(there, "a message is among the dead letters", 30.0)
    return found[0]


async def test_a_consumer_that_the_broker_takes_off_comes_back_and_is_told(
    buses: Callable[[], Bus], operator: AbstractChannel
) -> None:
    bus, inbox, attached = buses(), Inbox(), list[None]()
    bus.subscribe("news", "news.deleted", inbox, lambda: attached.append(None))
    await told(bus, b"before", inbox)
    assert len(attached) == 1
    await operator.queue_delete("news.deleted")
    await told(bus, b"after", inbox)
    assert len(attached) >= 2  # under Khepri a first new attachment can still meet the end of the old queue


async def deleted_exchange(channel: AbstractChannel) -> None:
    await channel.exchange_delete("news")


async def deleted_bindings(channel: AbstractChannel) -> None:
    for queue in ("news.one", "news"):
        await (await channel.get_queue(queue, ensure=False)).unbind("news")


async def deleted_queues(channel: AbstractChannel) -> None:
    for queue in ("news.one", "news"):
        await channel.queue_delete(queue)


@pytest.mark.parametrize("harm", [deleted_exchange, deleted_bindings, deleted_queues])
async def test_what_an_operator_deletes_is_made_again_and_everybody_hears(
    buses: Callable[[], Bus], operator: AbstractChannel, harm: Callable[[AbstractChannel], Awaitable[None]]
) -> None:
    publisher, listener = buses(), buses()
    inboxes = [Inbox(), Inbox()]
    listener.consume("news", inboxes[0])
    listener.subscribe("news", "news.one", inboxes[1])
    await told(publisher, f"before {harm.__name__}".encode(), *inboxes)
    await harm(operator)
    await told(publisher, f"after {harm.__name__}".encode(), *inboxes)


async def evaluated(broker: tuple[Ports, Part], erlang: str) -> None:
    said = await asyncio.to_thread(rabbitmqctl, broker[1].environ, "eval", erlang)
    assert said.returncode == 0, said.stdout + said.stderr


async def test_a_queue_of_ours_that_answers_no_consumer_is_made_anew(
    buses: Callable[[], Bus], broker: tuple[Ports, Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_consumer, "CONSUME_TIMEOUT_S", patient_s(1.0))
    publisher, first, second, inboxes = buses(), buses(), buses(), [Inbox(), Inbox()]
    first.subscribe("news", "news.stuck", inboxes[0])
    await told(publisher, b"before", inboxes[0])
    # as after a broker's start on a machine without time: the queue is declared, and its replica answers nobody
    await evaluated(broker, 'sys:suspend(whereis(list_to_atom("%2F_news.stuck"))).')
    await first.stop()
    second.subscribe("news", "news.stuck", inboxes[1])
    await told(publisher, b"after", inboxes[1], ordinary_s=120.0)


async def test_a_publisher_whose_messages_a_stuck_queue_holds_up_says_that_the_broker_takes_none(
    buses: Callable[[], Bus], broker: tuple[Ports, Part], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp, "CONFIRM_TIMEOUT_S", 3600.0)  # no new connection meanwhile
    publisher, reader, inbox = buses(), buses(), Inbox()
    reader.subscribe("news", "news.held", inbox)
    await repeated_until(
        lambda: publisher.to_fanout("news", b"before"),
        lambda: inbox.messages and publisher.publishing,
        "heard",
    )
    held = 'whereis(list_to_atom("%2F_news.held"))'
    await evaluated(broker, f"sys:suspend({held}).")
    publisher.to_fanout("news", b"during")
    await until(lambda: not publisher.publishing, "it says so", 30.0)
    await evaluated(broker, f"sys:resume({held}).")
    await until(lambda: publisher.publishing, "it is confirmed", 60.0)


class HeldSource(BrokerSource):
    """Has no answer for the consumer of news.late until it is `released`."""

    released: asyncio.Event

    async def url(self) -> str:
        task = asyncio.current_task()
        if task is not None and task.get_name() == "consume news.late":
            await self.released.wait()
        return await super().url()


async def test_a_process_is_connected_when_all_consumers_are_that_it_still_wants(
    broker: tuple[Ports, Part],
) -> None:
    def connected() -> float | None:
        return REGISTRY.get_sample_value("dd_amqp_connected", {"direction": "consume"})

    consul, attached = ConsulClient("127.0.0.1:1"), asyncio.Event()
    source = HeldSource(AmqpSettings(url=broker_url(broker[0])), consul)
    source.released = asyncio.Event()
    bus = Bus(source, work_queues=("work", "news"), fanouts=("news",))
    bus.subscribe("news", "news.late", Inbox())
    taken_back = bus.subscribe("news", "news.back", Inbox(), attached.set)
    await in_time(attached.wait(), 30.0)
    assert connected() == 0.0
    source.released.set()
    await until(lambda: connected() == 1.0, "both are connected", 30.0)
    taken_back.cancel()
    await until(taken_back.done, "it is taken back", 30.0)
    assert connected() == 1.0
    await bus.stop()
    await consul.close()


async def test_queues_with_other_arguments_end_nobodys_connection(
    broker: tuple[Ports, Part], operator: AbstractChannel
) -> None:
    for name in ("strange", "news.strange"):
        await operator.declare_queue(name, durable=True, arguments={"x-max-length": 7})
    consul, inboxes = ConsulClient("127.0.0.1:1"), [Inbox(), Inbox()]
    source = BrokerSource(AmqpSettings(url=broker_url(broker[0])), consul)
    bus = Bus(source, work_queues=("strange",), fanouts=("news",))
    bus.start()
    try:
        bus.consume("strange", inboxes[0])
        bus.subscribe("news", "news.strange", inboxes[1])
        bus.to_queue("strange", b"work")
        await inboxes[0].until(lambda got: len(got) == 1)
        await told(bus, b"told", inboxes[1])
    finally:
        await bus.stop()
        await consul.close()


async def test_a_publisher_learns_whether_anybody_listens(buses: Callable[[], Bus]) -> None:
    bus, inbox = buses(), Inbox()
    task = bus.subscribe("news", "news.listener", inbox)
    await told(bus, b"heard", inbox)
    assert bus.heard("news")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    lonely = Bus(bus._source, work_queues=(), fanouts=("lonely",))
    lonely.start()
    await repeated_until(
        lambda: lonely.to_fanout("lonely", b"anybody?"),
        lambda: not lonely.heard("lonely"),
        "nobody listens",
        30.0,
    )
    await lonely.stop()


async def test_dead_letters_are_listed_with_their_reason_given_back_and_dropped(
    buses: Callable[[], Bus], operator: AbstractChannel
) -> None:
    bus, inbox, wiser = buses(), Inbox(), list[bytes]()
    task = bus.consume("work", inbox)
    for number in range(3):
        bus.to_queue("work", b"garbage", message_id=f"bad-{number}")
    letters = DeadLetters(operator)

    async def three() -> bool:
        return len(await letters.listed()) >= 3

    await until_true(three, "three are dead", 30.0)
    found = await letters.listed()
    assert {(one.queue, one.reason) for one in found} == {("work", "field x: not a number")}
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [one.message_id for one in await letters.replay({"bad-1"})] == ["bad-1"]
    assert sorted(one.message_id for one in await letters.drop()) == ["bad-0", "bad-2"]
    assert await letters.listed() == []

    async def takes_anything(message: Message) -> None:
        wiser.append(message.message_id.encode())

    bus.consume("work", takes_anything)
    await until(lambda: wiser == [b"bad-1"], "what was given back is taken", 30.0)


async def test_the_oldest_dead_letters_beyond_the_bound_go(
    buses: Callable[[], Bus], operator: AbstractChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(amqp_queues, "DEAD_LETTERS_MAX", 2)
    bus, inbox = buses(), Inbox()
    bus.consume("work", inbox)
    bus.to_queue("work", b"first")
    await inbox.until(lambda got: len(got) == 1)  # the queues are declared
    for number in range(6):
        message = aio_pika.Message(b"x", message_id=f"bad-{number}")
        await operator.default_exchange.publish(message, routing_key=DEAD_LETTERS)

    async def bounded() -> bool:
        queue = await operator.declare_queue(DEAD_LETTERS, passive=True)
        return queue.declaration_result.message_count == 2

    await until_true(bounded, "two are left", 30.0)
    letters = DeadLetters(operator)
    assert sorted(one.message_id for one in await letters.drop()) == ["bad-4", "bad-5"]


async def test_what_is_published_over_a_broker_death_arrives(
    buses: Callable[[], Bus], broker: tuple[Ports, Part]
) -> None:
    bus, inbox = buses(), Inbox()
    bus.consume("work", inbox)
    bus.to_queue("work", b"0")
    await inbox.until(lambda got: len(got) == 1)
    broker[1].stop(signal.SIGKILL)
    for number in range(1, 50):
        bus.to_queue("work", str(number).encode())
    await asyncio.to_thread(broker[1].start)
    await inbox.until(lambda got: len({message.body for message in got}) == 50, 60.0)
