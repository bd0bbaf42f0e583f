"""What a client sees of gateways that fail, of limits, and of a door that stops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dronedispatch.testing.door import endpoints, open_door, read_until_quiet, with_settings
from dronedispatch.testing.peer import OK, Script, always, answering, hang_up, peer, read_request, silent
from support.lb_wire import BUSY, GET, KEYED, POST, UNKNOWN, Seen, door_before, status_of
from support.virtual_time import now_s
from support.waiting import in_time, until

pytestmark = pytest.mark.virtual_time


@contextmanager
def refused_port() -> Iterator[int]:
    """A port that refuses, and stays so."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


def answering_when(go: asyncio.Event) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            await go.wait()
            writer.write(OK)

    return script


@pytest.mark.parametrize("request_", [GET, POST, KEYED])
async def test_a_refused_connect_is_tried_elsewhere_whatever_the_method(request_: bytes) -> None:
    with refused_port() as dead:
        async with peer(always(OK)) as alive, open_door([dead, alive.port]) as door:
            answers = [await door.exchange(request_) for _ in range(4)]
    assert [status_of(answer) for answer in answers] == [200] * 4


@pytest.mark.parametrize(
    ("request_", "status"),
    [(GET, 200), (KEYED, 200), (GET.replace(b"GET", b"DELETE"), 200), (POST, 502)],
)
@pytest.mark.parametrize("failing", [hang_up, always(BUSY)], ids=["reset", "503"])
async def test_what_was_sent_is_repeated_only_if_twice_is_as_good_as_once(
    request_: bytes, status: int, failing: Script
) -> None:
    async with door_before(always(OK), failing) as door:
        answers = [await door.exchange(request_) for _ in range(2)]
    wanted = {200, 503 if failing is not hang_up and status == 502 else status}
    assert {status_of(answer) for answer in answers} == wanted


async def test_a_kept_body_is_sent_again_whole() -> None:
    seen: Seen = []
    body = b"x" * 60_000
    request = b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n" + body
    async with door_before(always(OK, seen), hang_up) as door:
        for _ in range(2):
            assert status_of(await door.exchange(request)) == 200
    assert [got for _, got in seen] == [body, body]


async def test_a_body_too_long_to_keep_is_not_sent_again() -> None:
    body = b"x" * 200_000
    request = b"PUT /x HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" + body
    async with door_before(always(OK), hang_up) as door:
        answers = {status_of(await door.exchange(request)) for _ in range(2)}
    assert answers == {200, 502}


@pytest.mark.parametrize(("request_", "wanted"), [(GET, {200, 504}), (KEYED, {200})])
async def test_an_unknown_outcome_is_repeated_only_with_a_key(request_: bytes, wanted: set[int]) -> None:
    async with door_before(always(OK), always(UNKNOWN)) as door:
        assert {status_of(await door.exchange(request_)) for _ in range(2)} == wanted


async def test_when_every_gateway_says_503_the_last_ones_answer_is_the_answer() -> None:
    async with door_before(always(BUSY), always(BUSY)) as door:
        answer = await door.exchange(GET)
    assert status_of(answer) == 503
    assert answer.endswith(b"busy")


async def test_at_most_three_tries_and_each_at_another_gateway() -> None:
    seen: list[Seen] = [[], [], [], []]
    async with door_before(*(always(BUSY, requests) for requests in seen)) as door:
        await door.exchange(GET)
    assert sorted(len(requests) for requests in seen) == [0, 1, 1, 1]


async def test_retries_are_a_fifth_of_the_requests_at_most() -> None:
    seen: Seen = []
    # three: of two, one would soon be left out, and nobody be there to ask
    async with door_before(*[always(BUSY, seen)] * 3) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(GET * 400)
        answers = await read_until_quiet(reader, 5.0)
        writer.close()
    assert answers.count(b"HTTP/1.1 503") == 400
    assert 400 < len(seen) <= 480


async def test_a_dead_gateway_costs_few_clients_no_error_and_no_budget() -> None:
    settings = with_settings(retry_floor=0)
    with refused_port() as dead:
        async with peer(always(OK)) as alive, open_door([dead, alive.port], settings) as door:
            answers = [await door.exchange(POST) for _ in range(12)]
            assert door.core.books.retries == 5
    assert {status_of(answer) for answer in answers} == {200}


async def test_a_kept_connection_that_was_closed_under_us_is_no_error_and_costs_no_budget() -> None:
    async with door_before(answering(OK, b"")) as door:
        answers = [await door.exchange(GET) for _ in range(3)]
        assert door.core.books.resent == 2
        assert door.core.books.retries == 0
    assert [status_of(answer) for answer in answers] == [200] * 3


async def test_a_post_without_key_on_a_connection_closed_under_us_is_not_repeated() -> None:
    seen: Seen = []
    async with door_before(answering(OK, b"", seen=seen)) as door:
        answers = [await door.exchange(POST) for _ in range(2)]
    assert [status_of(answer) for answer in answers] == [200, 502]
    assert len(seen) == 2


async def test_a_gateway_that_keeps_failing_is_left_out_and_comes_back_when_it_answers() -> None:
    with refused_port() as dead:
        async with peer(always(OK)) as alive, open_door([dead, alive.port]) as door:
            for _ in range(12):
                await door.exchange(GET)
            gateway = door.core.backends.members["g0"]
            assert gateway.record.ejected(door.core.now())
            tried = gateway.requests
            for _ in range(6):
                await door.exchange(GET)
            assert gateway.requests == tried
            assert await door.core.backends.probe() == "1 ejected, 0 back"
            gateway.port = alive.port
            assert await door.core.backends.probe() == "1 ejected, 1 back"
            assert not gateway.record.ejected(door.core.now())


async def test_a_gateway_that_accepts_and_hangs_up_stays_out() -> None:
    async with door_before(hang_up, always(OK)) as door:
        for _ in range(12):
            await door.exchange(GET)
        assert await door.core.backends.probe() == "1 ejected, 0 back"


async def test_after_early_hints_nothing_is_tried_again() -> None:
    async def hint_and_hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + BUSY)

    async with door_before(hint_and_hang_up, hint_and_hang_up) as door:
        answer = await door.exchange(GET)
    assert answer.count(b"HTTP/1.1 103") == 1
    assert answer.endswith(b"busy")


async def test_an_ejection_outlives_the_gateways_absence_from_the_catalogue() -> None:
    with refused_port() as dead:
        async with peer(always(OK)) as alive, open_door([dead, alive.port]) as door:
            for _ in range(12):
                await door.exchange(GET)
            table = door.core.backends
            both = endpoints([dead, alive.port])
            table.replace(both[1:])
            table.replace(both)
            assert table.members["g0"].record.ejected(door.core.now())


async def test_the_last_gateway_is_never_left_out() -> None:
    with refused_port() as dead:
        async with open_door([dead]) as door:
            answers = [await door.exchange(GET) for _ in range(12)]
            assert not door.core.backends.members["g0"].record.ejected(door.core.now())
    assert {status_of(answer) for answer in answers} == {503}


async def test_an_empty_catalogue_leaves_the_last_table_for_a_while() -> None:
    settings = with_settings(empty_grace_s=0.1)
    async with peer(always(OK)) as gateway, open_door([gateway.port], settings) as door:
        door.core.backends.replace(())
        assert status_of(await door.exchange(GET)) == 200
        await until(lambda: not door.core.backends.members, "the grace is over")
        assert status_of(await door.exchange(GET)) == 503
        door.core.backends.replace(endpoints([gateway.port]))
        assert status_of(await door.exchange(GET)) == 200


async def test_a_gateway_that_left_gets_nothing_new_and_finishes_what_it_has() -> None:
    go = asyncio.Event()
    async with (
        peer(answering_when(go)) as leaving,
        peer(always(OK)) as staying,
        open_door([leaving.port]) as door,
    ):
        waiting = asyncio.create_task(door.exchange(POST))
        await until(lambda: leaving.connections == 1, "the request is there")
        door.core.backends.replace(endpoints([0, staying.port])[1:])
        assert [status_of(await door.exchange(GET)) for _ in range(2)] == [200, 200]
        go.set()
        assert status_of(await waiting) == 200
        assert leaving.connections == 1


async def test_beyond_the_cap_requests_wait_and_beyond_the_queue_they_are_503() -> None:
    go = asyncio.Event()
    settings = with_settings(in_flight_max=2, queue_max=1)
    async with peer(answering_when(go)) as gateway, open_door([gateway.port], settings) as door:
        first = [asyncio.create_task(door.exchange(GET)) for _ in range(2)]
        await until(lambda: gateway.connections == 2, "two are at the gateway")
        queued = asyncio.create_task(door.exchange(GET))
        await until(lambda: len(door.core.backends.waiting) == 1, "one waits")
        refused = await door.exchange(GET)
        go.set()
        answers = [status_of(await task) for task in (*first, queued)]
        assert door.core.books.ended["queue_full"] == 1
    assert answers == [200, 200, 200]
    assert status_of(refused) == 503
    assert b"retry-after: 1\r\n" in refused


async def test_over_the_clients_rate_is_429_with_the_time_to_wait_and_never_reaches_a_gateway() -> None:
    seen: Seen = []
    settings = with_settings(client_rate_per_s=0.5, client_rate_burst=2)
    async with door_before(always(OK, seen), settings=settings) as door:
        answers = [await door.exchange(GET) for _ in range(3)]
    assert [status_of(answer) for answer in answers] == [200, 200, 429]
    assert b"retry-after: 2\r\n" in answers[2]
    assert len(seen) == 2


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"GET / HTTP/1.1\r\nHo", 408),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", 408),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", 408),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 17_000, 431),
        (b"GET /" + b"a" * 17_000, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: 1\r\n" * 101 + b"\r\n", 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", 413),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"FFFF\r\n%b\r\n" % (b"x" * 65535) * 33,
            413,
        ),
    ],
    ids=[
        "slow head",
        "slow body",
        "slow chunk",
        "long header",
        "long target",
        "many headers",
        "long body",
        "long chunks",
    ],
)
async def test_slow_or_oversized_requests_are_told_so_and_closed(wire: bytes, status: int) -> None:
    async with door_before(silent) as door:
        answer = await door.exchange(wire)
        await until(lambda: not door.core.connections.members, "the connection is closed")
    assert status_of(answer) == status


async def test_a_slowloris_that_drips_is_cut_by_the_heads_deadline() -> None:
    async with open_door([]) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        began_s = now_s()
        ended = asyncio.create_task(reader.read())
        while not ended.done():
            writer.write(b"G")
            await asyncio.wait([ended], timeout=0.03)
        assert status_of(await ended) == 408
        assert now_s() - began_s < 1.5
        writer.close()


async def test_a_client_that_takes_nothing_of_its_answer_is_cut() -> None:
    body = b"x" * 30_000_000
    wire = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    async with door_before(answering(wire)) as door:
        raw = socket.create_connection(("127.0.0.1", door.port))
        raw.sendall(GET)
        await until(lambda: door.core.books.ended["client_slow"] == 1, "it is cut")
        raw.close()


async def test_an_answer_that_stops_in_the_middle_is_cut_in_time() -> None:
    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await reader.read()

    async with door_before(half) as door:
        answer = await door.exchange(GET)
        await until(lambda: door.core.books.ended["upstream_timeout"] == 1, "it is cut")
    assert answer.endswith(b"half")


async def test_an_answer_whose_status_is_none_is_counted_as_an_error_and_keeps_no_place() -> None:
    strange = b"HTTP/1.1 999 Strange\r\nContent-Length: 2\r\n\r\nok"
    async with door_before(always(strange)) as door:
        answer = await door.exchange(GET)
        assert door.core.books.statuses[5] == 1
        assert [backend.in_flight for backend in door.core.backends.members.values()] == [0]
    assert status_of(answer) == 999


async def test_a_draining_door_answers_closes_and_leaves_nobody() -> None:
    go = asyncio.Event()
    async with peer(answering_when(go)) as gateway, open_door([gateway.port]) as door:
        flying = asyncio.create_task(door.exchange(GET))
        await until(lambda: gateway.connections == 1, "one is in flight")
        idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", door.port)
        await until(lambda: len(door.core.connections) == 2, "one is idle")
        draining = asyncio.create_task(door.core.connections.drain(5.0))
        go.set()
        answer = await flying
        assert await in_time(idle_reader.read()) == b""
        assert await in_time(draining) == 0
        idle_writer.close()
    assert status_of(answer) == 200
    assert b"connection: close" in answer
