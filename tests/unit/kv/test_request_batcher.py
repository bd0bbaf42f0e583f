"""A client's way to the coordinators: who is asked, what is asked again, and what never is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from dronedispatch.kv import wire
from dronedispatch.kv.client import Get, Item, Op, OpResult, Put
from dronedispatch.kv.errors import OutcomeUnknown, Unauthorized, Unavailable
from dronedispatch.kv.request_batcher import AWAY_MAX, OPERATIONS, RequestBatcher, Waiting
from dronedispatch.kv.version import Version
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.collector import HttpResponse
from dronedispatch.runtime.http.errors import Broken, RequestNotSent, TimedOut
from dronedispatch.testing.clock import FakeClock
from support.waiting import deadline, in_time, until

ONE, TWO = Endpoint("one", "one", 1), Endpoint("two", "two", 2)


class Peer(HttpClient):
    """Answers a batch as `behave[address]` says; remembers who was sent what."""

    def __init__(self) -> None:
        super().__init__(resend_on_reuse_reset=False)
        self.sent: list[tuple[str, list[Op]]] = []
        self.behave: dict[str, Callable[[list[Op]], HttpResponse]] = {}
        self.gates: dict[str, asyncio.Event] = {}

    async def request(self, *words: Any, **options: Any) -> HttpResponse:
        _, address, *_ = words
        ops = wire.decode_ops(options["body"])
        self.sent.append((address, ops))
        if address in self.gates:
            await self.gates[address].wait()
        return self.behave.get(address, sound)(ops)


def sound(ops: list[Op]) -> HttpResponse:
    return HttpResponse(200, [], wire.encode([wire.outcome_of(result_of(op)) for op in ops]))


def result_of(op: Op) -> OpResult:
    return Item(op.key, Version(1, 1), b"v") if isinstance(op, Get) else Version(1, 1)


def problem(status: int) -> HttpResponse:
    return HttpResponse(status, [], msgspec.json.encode({"detail": f"because {status}"}))


class Client:
    """An batcher over two coordinators."""

    def __init__(self) -> None:
        self.peer = Peer()
        self.clock = FakeClock()
        self.table: tuple[Endpoint, ...] = (ONE, TWO)
        self.batcher = RequestBatcher(lambda: self.table, self.peer, (), self.clock, OPERATIONS)

    def ask(self, op: Op) -> asyncio.Future[OpResult]:
        done: asyncio.Future[OpResult] = asyncio.get_running_loop().create_future()
        self.batcher.put(Waiting(op, done, self.clock.monotonic_s() + 5.0))
        return done

    async def result(self, op: Op) -> OpResult:
        async with deadline():
            return await self.ask(op)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client()
    yield made
    for gate in made.peer.gates.values():
        gate.set()
    await made.batcher.close()
    await made.peer.close()


async def test_the_operations_of_one_turn_travel_together(client: Client) -> None:
    results = await asyncio.gather(*(client.ask(Get(f"k{n}")) for n in range(9)))
    assert len(results) == 9
    assert [len(ops) for _, ops in client.peer.sent] == [9]


async def test_coordinators_take_turns(client: Client) -> None:
    for n in range(4):
        await client.result(Get(f"k{n}"))
    assert sorted(address for address, _ in client.peer.sent) == ["one", "one", "two", "two"]


@pytest.mark.parametrize("op", [Get("k"), Put("k", b"v")])
async def test_a_batch_that_was_not_taken_goes_to_another_coordinator(client: Client, op: Op) -> None:
    def refused(_ops: list[Op]) -> HttpResponse:
        raise RequestNotSent("one:1", "refused")

    client.peer.behave = {"one": refused}
    assert await client.result(op) == result_of(op)
    client.peer.behave = {"one": lambda _ops: problem(503)}
    assert await client.result(op) == result_of(op)


@pytest.mark.parametrize("error", [Broken("one:1", "reset"), TimedOut("one:1", "late")])
async def test_of_a_broken_batch_reads_are_asked_again_and_writes_are_unknown(
    client: Client, error: Broken
) -> None:
    def broken(_ops: list[Op]) -> HttpResponse:
        raise error

    client.peer.behave = {"one": broken}
    client.table = (ONE,)
    write = client.ask(Put("w", b"v"))
    read = client.ask(Get("r"))
    assert isinstance(await in_time(write), OutcomeUnknown)
    client.table = (ONE, TWO)
    assert await in_time(read) == result_of(Get("r"))
    assert sum(isinstance(op, Put) for _, ops in client.peer.sent for op in ops) == 1


async def test_with_nobody_to_ask_everything_is_unavailable(client: Client) -> None:
    client.table = ()
    assert isinstance(await client.result(Put("k", b"v")), Unavailable)


@pytest.mark.parametrize(("status", "kind"), [(401, Unauthorized), (507, Unavailable), (500, OutcomeUnknown)])
async def test_an_answer_that_is_no_200_is_every_operations_result(
    client: Client, status: int, kind: type[Exception]
) -> None:
    client.peer.behave = {"one": lambda _ops: problem(status), "two": lambda _ops: problem(status)}
    assert isinstance(await client.result(Put("k", b"v")), kind)


async def test_an_unreadable_or_short_answer_is_unknown(client: Client) -> None:
    client.table = (ONE,)
    client.peer.behave = {"one": lambda _ops: HttpResponse(200, [], b"\xc1")}
    assert isinstance(await client.result(Put("k", b"v")), OutcomeUnknown)
    client.peer.behave = {"one": lambda _ops: HttpResponse(200, [], wire.encode([]))}
    assert isinstance(await client.result(Put("k", b"v")), OutcomeUnknown)


async def test_a_slow_coordinator_gets_nothing_new_and_its_reads_are_asked_elsewhere(client: Client) -> None:
    client.peer.gates["one"] = asyncio.Event()
    stuck = [client.ask(Get("first"))]
    await until(lambda: len(client.peer.sent) == 1, "sent")
    if client.peer.sent[0][0] == "two":
        await stuck[0]
        stuck = [client.ask(Get("second"))]
        await until(lambda: len(client.peer.sent) == 2, "sent")
    assert client.peer.sent[-1][0] == "one"
    client.clock.advance(1.0)
    for n in range(6):
        await client.result(Put(f"w{n}", b"v"))
    assert [address for address, ops in client.peer.sent if isinstance(ops[0], Put)] == ["two"] * 6
    assert isinstance(await in_time(stuck[0]), Item)


async def test_a_coordinator_that_answers_nothing_does_not_hold_up_the_others(client: Client) -> None:
    client.peer.gates["one"] = asyncio.Event()
    writes = []
    for n in range(AWAY_MAX * 2 + 4):
        writes.append(client.ask(Put(f"w{n}", b"v")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    await until(
        lambda: sum(write.done() for write in writes) >= AWAY_MAX + 2, "the other coordinator answers"
    )


async def test_what_nobody_could_take_in_time_is_sent_to_nobody_and_certainly_not_applied(
    client: Client,
) -> None:
    gate = client.peer.gates["one"] = asyncio.Event()
    client.table = (ONE,)
    away = []
    for turn in range(AWAY_MAX):
        away.append(client.ask(Put(f"away{turn}", b"v")))
        await until(lambda turn=turn: len(client.peer.sent) == turn + 1, "it is sent")  # type: ignore[misc]
    late, given_up = client.ask(Put("late", b"v")), client.ask(Put("given up", b"v"))
    given_up.cancel()
    client.clock.advance(5.0)
    gate.set()
    assert isinstance(await in_time(late), Unavailable)
    await in_time(asyncio.gather(*away))
    await client.result(Put("again", b"v"))
    assert [op.key for _, ops in client.peer.sent for op in ops] == ["away0", "away1", "again"]


async def test_closing_leaves_no_caller_waiting(client: Client) -> None:
    client.peer.gates = {"one": asyncio.Event(), "two": asyncio.Event()}
    asked = [client.ask(Put("w", b"v")), client.ask(Get("r"))]
    await until(lambda: bool(client.peer.sent), "sent")
    await client.batcher.close()
    assert isinstance(await asked[0], OutcomeUnknown)
    assert isinstance(await asked[1], Unavailable)
