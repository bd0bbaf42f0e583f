"""The way to a replica: joined calls, an answer for each of them whatever happens, and nothing sent twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from dronedispatch.replication.calls import (
    NOT_SENT,
    SILENT,
    AnyCall,
    AnyReply,
    Found,
    Read,
    decode_calls,
    encode_replies,
)
from dronedispatch.replication.effects import Pulse
from dronedispatch.replication.links import AWAY_MAX, LAST_WORD_S, LINGER_S, Links
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.proof import Prover, prove
from dronedispatch.runtime.settings import Secret
from dronedispatch.testing.clock import FakeClock
from support.virtual_time import LoopClock
from support.waiting import until

pytestmark = pytest.mark.virtual_time

Answer = Callable[[list[AnyCall]], bytes | None]


class StubReplica:
    """A peer that remembers each batch it was sent and answers as the test says."""

    def __init__(self) -> None:
        self.batches: list[list[AnyCall]] = []
        self.heads: list[bytes] = []
        self.answer: Answer = sound
        self.proof: Callable[[bytes], bytes] = lambda _head: response(b"")
        self.gate = asyncio.Event()
        self.gate.set()
        self.port = 0
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or b"0")
                body = await reader.readexactly(length)
                if head.startswith(b"GET"):
                    writer.write(self.proof(head))
                    continue
                self.heads.append(head)
                self.batches.append(decode_calls(body))
                await self.gate.wait()
                answer = self.answer(self.batches[-1])
                if answer is None:
                    writer.close()
                    return
                writer.write(answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()
        finally:
            self.open -= 1


def response(body: bytes, *, status: str = "200 OK", more: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n{more}\r\n".encode() + body


def sound(calls: list[AnyCall]) -> bytes:
    return response(encode_replies([Found(None) for _ in calls]))


class StubReceiver:
    """Collects replies by place."""

    def __init__(self) -> None:
        self.replies: dict[int, AnyReply] = {}

    def replied(self, place: int, reply: AnyReply) -> None:
        assert place not in self.replies, "a call was answered twice"
        self.replies[place] = reply

    async def all_of(self, count: int) -> list[AnyReply]:
        await until(lambda: len(self.replies) == count, f"{count} replies")
        return [self.replies[place] for place in range(count)]


@pytest.fixture
async def replica() -> AsyncIterator[StubReplica]:
    made = StubReplica()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    made.gate.set()
    server.close()


@pytest.fixture
async def links(replica: StubReplica) -> AsyncIterator[Links]:
    http = HttpClient(resend_on_reuse_reset=False)
    made = Links(http, "token", LoopClock(), call_timeout_s=0.3, ping_timeout_s=0.2)
    made.follow({"r": f"http://127.0.0.1:{replica.port}"}, lambda _name: False)
    yield made
    await made.close()
    await http.close()


def read(key: str) -> Read:
    return Read("c", 1, "d", 0, key)


def two_links(links: Links, replica: StubReplica) -> None:
    """Another name beside "r", at the same address."""
    url = f"http://127.0.0.1:{replica.port}"
    links.follow({"r": url, "other": url}, lambda _name: False)


def put(links: Links, receiver: StubReceiver, count: int, first: int = 0, *, name: str = "r") -> None:
    link = links.get(name)
    assert link is not None
    for place in range(first, first + count):
        link.put(read(f"k{place}"), receiver, place)


async def test_the_calls_of_one_turn_travel_in_one_batch_with_the_token(
    replica: StubReplica, links: Links
) -> None:
    receiver = StubReceiver()
    put(links, receiver, 10)
    assert await receiver.all_of(10) == [Found(None)] * 10
    assert [len(batch) for batch in replica.batches] == [10]
    assert b"authorization: Bearer token\r\n" in replica.heads[0]


async def test_a_replica_at_an_address_that_can_be_none_was_certainly_not_reached(links: Links) -> None:
    links.follow({"r": "http://kvstore..example:80"}, lambda _name: False)
    receiver = StubReceiver()
    for turn in range(2):
        put(links, receiver, 1, first=turn)
        assert (await receiver.all_of(turn + 1))[turn] == NOT_SENT


async def test_the_connection_of_a_replica_that_moved_is_closed_with_its_last_answer(
    replica: StubReplica, links: Links
) -> None:
    receiver = StubReceiver()
    replica.gate.clear()
    put(links, receiver, 1)
    await until(lambda: replica.batches, "the batch has left")
    links.follow({"r": "http://127.0.0.1:1"}, lambda _name: False)
    replica.gate.set()
    assert await receiver.all_of(1) == [Found(None)]
    await until(lambda: not replica.open, "nothing is open to the old address")


async def test_what_queues_while_batches_are_away_goes_with_the_next(
    replica: StubReplica, links: Links
) -> None:
    receiver = StubReceiver()
    replica.gate.clear()
    for turn in range(AWAY_MAX):
        put(links, receiver, 1, first=turn)
        await until(lambda turn=turn: len(replica.batches) == turn + 1, "the batch has left")  # type: ignore[misc]
    put(links, receiver, 7, first=AWAY_MAX)
    put(links, receiver, 5, first=AWAY_MAX + 7)
    replica.gate.set()
    await receiver.all_of(AWAY_MAX + 12)
    assert [len(batch) for batch in replica.batches] == [1] * AWAY_MAX + [12]


async def test_under_load_a_batch_waits_for_its_share_of_the_calls_but_only_a_moment(
    replica: StubReplica, links: Links
) -> None:
    receiver = StubReceiver()
    two_links(links, replica)
    replica.gate.clear()
    put(links, receiver, 20, name="other")
    await until(lambda: len(replica.batches) == 1, "the first batch has left")
    put(links, receiver, 1, first=20)
    await asyncio.sleep(0)  # a turn of the loop: a lone call would have left
    put(links, receiver, 1, first=21)
    await until(lambda: len(replica.batches) == 2, "the second batch has left, though nothing has returned")
    assert [len(batch) for batch in replica.batches] == [20, 2]
    assert not receiver.replies
    replica.gate.set()
    await receiver.all_of(22)


async def test_a_batch_that_holds_its_share_does_not_wait(replica: StubReplica, links: Links) -> None:
    receiver = StubReceiver()
    loop = asyncio.get_running_loop()
    two_links(links, replica)
    replica.gate.clear()
    put(links, receiver, 1, name="other")
    await until(lambda: len(replica.batches) == 1, "the first batch has left")
    timers: list[float] = []
    call_later = loop.call_later

    def noted(delay_s: float, callback: Callable[..., object], *arguments: object) -> asyncio.TimerHandle:
        timers.append(delay_s)
        return call_later(delay_s, callback, *arguments)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "call_later", noted)
        put(links, receiver, 9, first=1)
        await until(lambda: len(replica.batches) == 2, "the second batch has left")
    assert LINGER_S not in timers
    assert not receiver.replies
    replica.gate.set()
    await receiver.all_of(10)


async def test_a_replica_that_does_not_answer_is_silent_and_gets_nothing_twice(
    replica: StubReplica, links: Links
) -> None:
    receiver = StubReceiver()
    replica.gate.clear()
    put(links, receiver, 3)
    assert await receiver.all_of(3) == [SILENT] * 3
    replica.gate.set()
    put(links, receiver, 1, first=3)
    await until(lambda: 3 in receiver.replies, "the next batch is answered")
    assert [len(batch) for batch in replica.batches] == [3, 1]


@pytest.mark.parametrize(
    "answer",
    [
        lambda _calls: None,
        lambda _calls: response(b"", status="503 Service Unavailable"),
        lambda _calls: response(b"\xc1"),
        lambda calls: response(encode_replies([Found(None)] * (len(calls) + 1))),
        lambda _calls: b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        lambda _calls: b"nonsense\r\n\r\n",
        lambda calls: sound(calls) + b"more than was asked for",
        lambda _calls: b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 2_000,
    ],
    ids=["closed", "503", "no msgpack", "too many", "chunked", "nonsense", "excess", "endless head"],
)
async def test_an_answer_that_is_none_leaves_the_calls_silent(
    replica: StubReplica, links: Links, answer: Answer
) -> None:
    replica.answer = answer
    receiver = StubReceiver()
    put(links, receiver, 2)
    assert await receiver.all_of(2) == [SILENT] * 2
    replica.answer = sound
    again = StubReceiver()
    put(links, again, 1)
    assert await again.all_of(1) == [Found(None)]


async def test_a_refused_connection_is_definite(links: Links) -> None:
    links.follow({"r": "http://127.0.0.1:1"}, lambda _name: False)
    receiver = StubReceiver()
    put(links, receiver, 4)
    assert await receiver.all_of(4) == [NOT_SENT] * 4
    assert await links.ping("r") is Pulse.REFUSED


async def test_a_connection_that_is_closed_right_after_its_proof_has_carried_nothing(
    replica: StubReplica,
) -> None:
    def proven_and_closed(head: bytes) -> bytes:
        nonce = head.partition(b"nonce=")[2].partition(b" ")[0].decode()
        return response(
            prove("ours", nonce, "127.0.0.1", replica.port).encode(), more="connection: close\r\n"
        )

    http, receiver = HttpClient(resend_on_reuse_reset=False), StubReceiver()
    links = Links(http, "token", LoopClock(), call_timeout_s=60.0, prover=Prover(Secret("ours")))
    links.follow({"r": f"http://127.0.0.1:{replica.port}"}, lambda _name: False)
    replica.proof = proven_and_closed
    put(links, receiver, 2)
    assert await receiver.all_of(2) == [NOT_SENT] * 2
    assert not replica.batches
    await links.close()
    await http.close()


async def test_a_kept_connection_that_the_replica_closed_is_replaced(
    replica: StubReplica, links: Links
) -> None:
    replica.answer = lambda calls: response(
        encode_replies([Found(None) for _ in calls]), more="connection: close\r\n"
    )
    receiver = StubReceiver()
    for place in range(3):
        put(links, receiver, 1, first=place)
        await until(lambda place=place: place in receiver.replies, "answered")  # type: ignore[misc]
    assert await receiver.all_of(3) == [Found(None)] * 3


@pytest.fixture
async def patient(replica: StubReplica) -> AsyncIterator[tuple[Links, FakeClock]]:
    """Links whose calls time out after a minute only."""
    http, clock = HttpClient(resend_on_reuse_reset=False), FakeClock()
    made = Links(http, "token", clock, call_timeout_s=60.0)
    made.follow({"r": f"http://127.0.0.1:{replica.port}"}, lambda _name: False)
    yield made, clock
    await made.close()
    await http.close()


@pytest.mark.parametrize("voted_out_for_silence", [True, False])
async def test_a_replica_that_leaves_has_its_last_word_and_one_that_is_silent_is_not_waited_for(
    replica: StubReplica, patient: tuple[Links, FakeClock], voted_out_for_silence: bool
) -> None:
    links, clock = patient
    replica.gate.clear()
    receiver = StubReceiver()
    link = links.get("r")
    assert link is not None
    link.put(read("sent"), receiver, 0)
    await until(lambda: replica.batches, "the batch is there")
    link.put(read("queued"), receiver, 1)
    if voted_out_for_silence:
        clock.advance(LAST_WORD_S)
    links.follow({"r": f"http://127.0.0.1:{replica.port}"}, lambda _name: True)
    assert receiver.replies == ({0: SILENT, 1: NOT_SENT} if voted_out_for_silence else {1: NOT_SENT})
    if not voted_out_for_silence:
        replica.gate.set()
        assert await receiver.all_of(2) == [Found(None), NOT_SENT]


async def test_a_last_word_that_does_not_come_is_not_waited_for(
    replica: StubReplica, patient: tuple[Links, FakeClock]
) -> None:
    links, clock = patient
    replica.gate.clear()
    receiver = StubReceiver()
    link = links.get("r")
    assert link is not None
    link.put(read("sent"), receiver, 0)
    await until(lambda: replica.batches, "the batch is there")
    clock.advance(LAST_WORD_S - 0.01)
    links.follow({"r": f"http://127.0.0.1:{replica.port}"}, lambda _name: True)
    assert await receiver.all_of(1) == [SILENT]


async def test_a_ping_tells_alive_from_silent_and_unknown(replica: StubReplica, links: Links) -> None:
    assert await links.ping("r") is Pulse.ALIVE
    assert await links.ping("nobody") is Pulse.SILENT


async def test_calls_and_pings_wait_longer_where_answers_have_taken_longer(
    replica: StubReplica, patient: tuple[Links, FakeClock]
) -> None:
    links, clock = patient
    replica.gate.clear()
    receiver = StubReceiver()
    put(links, receiver, 1)
    await until(lambda: replica.batches, "the batch is there")
    clock.advance(0.4)
    replica.gate.set()
    await receiver.all_of(1)
    assert links.patience.ping_s(clock.monotonic_s()) == pytest.approx(4 * 0.4)


async def test_a_roll_call_asks_everybody_at_once_and_tells_who_answers(
    replica: StubReplica, links: Links
) -> None:
    links.follow({"r": f"http://127.0.0.1:{replica.port}", "gone": "http://127.0.0.1:1"}, lambda _name: False)
    pulses = await links.pings.roll_call({"r", "gone", "nobody"})
    assert pulses == {"r": Pulse.ALIVE, "gone": Pulse.REFUSED, "nobody": Pulse.SILENT}


async def test_a_roll_call_that_nobody_answers_makes_more_patient(replica: StubReplica, links: Links) -> None:
    replica.proof = lambda _head: b""
    limit_s = links.patience.ping_s(0.0)
    assert await links.pings.roll_call({"r"}) == {"r": Pulse.SILENT}
    assert links.patience.ping_s(links.clock.monotonic_s()) == pytest.approx(4 * limit_s)
