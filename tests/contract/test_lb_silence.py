"""A gateway that says nothing: whoever may be asked again asks another in time, and nobody is told more than is known."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from dronedispatch.testing.door import SHORT, OpenDoor, open_door, with_settings
from dronedispatch.testing.peer import OK, Script, always, answering, hang_up, peer, read_request
from support.lb_wire import BUSY, GET, KEYED, POST, UNKNOWN, Seen, door_before, status_of
from support.virtual_time import now_s, pass_time
from support.waiting import in_time

pytestmark = pytest.mark.virtual_time

PUT, DELETE = POST.replace(b"POST", b"PUT"), GET.replace(b"GET", b"DELETE")
CONDITIONAL = PUT.replace(b"Host: a\r\n", b'Host: a\r\nIf-Match: "3"\r\n')


def late(seconds: float, seen: Seen) -> Script:
    """Every request is read at once and answered after `seconds`."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            seen.append(await read_request(reader))
            await pass_time(seconds)
            writer.write(OK)

    return script


async def timed(door: OpenDoor, request: bytes) -> tuple[int, float]:
    """(status, seconds until it was there)."""
    began_s = now_s()
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(request)
    head = await in_time(reader.readuntil(b"\r\n\r\n"))
    writer.close()
    return status_of(head), now_s() - began_s


@pytest.mark.parametrize("request_", [GET, KEYED, PUT, DELETE], ids=["get", "keyed", "put", "delete"])
async def test_what_may_be_repeated_is_asked_elsewhere_before_the_response_deadline(request_: bytes) -> None:
    swallowed: Seen = []
    async with door_before(always(OK), late(60.0, swallowed)) as door:
        status, seconds = await timed(door, request_)
    assert (status, len(swallowed)) == (200, 1)
    assert SHORT.try_s <= seconds < SHORT.response_s


async def test_an_order_without_key_waits_and_is_told_that_nobody_knows() -> None:
    swallowed: Seen = []
    arrived: Seen = []
    async with door_before(always(OK, arrived), late(60.0, swallowed)) as door:
        answers = [await door.exchange(POST) for _ in range(2)]
    assert sorted(map(status_of, answers)) == [200, 504]
    assert (len(swallowed), len(arrived)) == (1, 1)
    assert b"\r\nx-outcome: unknown\r\n" in max(answers, key=status_of)


async def test_without_budget_the_door_waits_on_for_a_gateway_that_is_only_slow() -> None:
    asked: Seen = []
    spared: Seen = []
    settings = with_settings(retry_floor=0, retry_share=0.0)
    async with door_before(always(OK, spared), late(0.5, asked), settings=settings) as door:
        answers = [await door.exchange(GET) for _ in range(2)]
        assert door.core.books.without_budget == 1
    assert [*map(status_of, answers)] == [200, 200]
    assert (len(asked), len(spared)) == (1, 1)


async def test_gateways_that_are_all_slow_get_a_fifth_more_at_most_and_answer_everybody() -> None:
    seen: Seen = []
    async with door_before(
        late(0.5, seen), late(0.5, seen), late(0.5, seen), settings=with_settings(in_flight_max=200)
    ) as door:
        answers = await asyncio.gather(*(timed(door, GET) for _ in range(200)))
        assert door.core.books.without_budget > 100
    assert {status for status, _ in answers} == {200}
    assert 200 < len(seen) <= 240


async def test_when_every_gateway_is_frozen_each_is_told_within_its_bound_and_no_more_than_is_known() -> None:
    timeouts = replace(SHORT, read_s=0.5)
    async with door_before(
        late(600.0, []), late(600.0, []), settings=with_settings(timeouts=timeouts)
    ) as door:
        read, order, keyed = await asyncio.gather(
            timed(door, GET), timed(door, POST.replace(b"/x", b"/deliveries")), timed(door, KEYED)
        )
        outcomes = [await door.exchange(wire) for wire in (GET, KEYED)]
    assert (read[0], order[0], keyed[0]) == (504, 504, 504)
    assert read[1] <= timeouts.read_s + 0.15
    assert order[1] <= timeouts.response_s + 0.15
    assert keyed[1] <= timeouts.try_s + timeouts.response_s + 0.25
    assert [b"x-outcome: unknown" in outcome.lower() for outcome in outcomes] == [False, True]


async def test_silence_is_answered_by_one_more_try_and_all_together_have_an_end() -> None:
    swallowed: Seen = []
    settings = with_settings(timeouts=replace(SHORT, total_s=SHORT.response_s))
    async with door_before(
        late(60.0, swallowed), late(60.0, swallowed), late(60.0, swallowed), settings=settings
    ) as door:
        status, seconds = await timed(door, GET)
    assert (status, len(swallowed)) == (504, 2)
    assert SHORT.response_s <= seconds < SHORT.response_s + SHORT.try_s


@pytest.mark.parametrize("first", [hang_up, late(60.0, []), always(UNKNOWN)], ids=["reset", "silence", "504"])
@pytest.mark.parametrize(
    ("request_", "status"), [(KEYED, 504), (PUT, 504), (GET, 503)], ids=["keyed", "put", "get"]
)
async def test_nothing_was_done_is_never_said_of_what_may_have_been_done(
    request_: bytes, status: int, first: Script
) -> None:
    """The second gateway's 503 speaks of the second try alone; a GET does nothing, so there it is the answer."""
    if request_ is not KEYED and first.__qualname__.startswith("always"):
        status = 504  # an unknown outcome is passed on as it came: nobody repeats it without a key
    async with door_before(always(BUSY), first) as door:
        answer = await door.exchange(request_)
    assert status_of(answer) == status
    assert (b"x-outcome: unknown\r\n" in answer.lower()) is (status == 504)


@pytest.mark.parametrize("first", [hang_up, late(60.0, [])], ids=["reset", "silence"])
@pytest.mark.parametrize(
    ("request_", "refusal", "status"),
    [
        (CONDITIONAL, 412, 504),
        (PUT, 409, 504),
        (DELETE, 404, 504),
        (DELETE, 410, 504),
        (CONDITIONAL, 422, 422),
        (KEYED, 409, 409),
        (GET, 404, 404),
    ],
    ids=["if-match", "put", "delete", "delete-gone", "another-refusal", "keyed", "get"],
)
async def test_a_refusal_that_the_first_try_may_have_caused_is_unknown(
    request_: bytes, refusal: int, status: int, first: Script
) -> None:
    """Carried out and not answered, the first try has changed what the second is refused for."""
    refused = b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nno" % refusal
    async with (
        peer(always(refused)) as second,
        peer(first) as asked_first,
        open_door([second.port, asked_first.port]) as door,
        open_door([second.port]) as calm,
    ):
        alone, answer = await calm.exchange(request_), await door.exchange(request_)
    assert (status_of(alone), status_of(answer)) == (refusal, status)
    assert (b"x-outcome: unknown\r\n" in answer.lower()) is (status == 504)


async def test_when_nobody_is_left_to_ask_what_may_have_been_done_is_unknown() -> None:
    async with door_before(hang_up) as door:
        answers = {method: await door.exchange(wire) for method, wire in (("PUT", PUT), ("GET", GET))}
    assert [*map(status_of, answers.values())] == [502, 502]
    assert b"\r\nx-outcome: unknown\r\n" in answers["PUT"]
    assert b"x-outcome" not in answers["GET"]


async def test_the_kept_connections_of_a_gateway_that_fell_silent_are_used_no_more() -> None:
    async def one_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answering(OK)(reader, writer)
        await reader.read()

    async with peer(one_answer) as silent, peer(always(OK)) as alive, open_door([silent.port]) as door:
        await asyncio.gather(*(timed(door, GET) for _ in range(3)))
        table = door.core.backends
        assert table.members["g0"].pool.idle_count == 3
        assert (await timed(door, GET))[0] == 504
        assert table.members["g0"].pool.idle_count == 0
        assert alive.connections == 0


async def test_an_answer_that_is_put_aside_and_stops_in_the_middle_keeps_no_connection() -> None:
    closed = asyncio.Event()

    async def stops(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(BUSY[:-1])
        await reader.read()
        closed.set()

    async with door_before(stops, always(OK)) as door:
        statuses = {(await timed(door, GET))[0] for _ in range(2)}
        assert statuses == {200}
        await in_time(closed.wait())
