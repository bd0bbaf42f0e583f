"""Two writes in one request: what becomes of them at coordinators of two releases, and when an answer is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from sanic import HTTPResponse, Request

from dronedispatch.kv.client import Cas, Pair, PairResult
from dronedispatch.kv.errors import OutcomeUnknown, Unavailable
from dronedispatch.kv.http import server as http_server
from dronedispatch.kv.http_client import OLD_S, HttpKV
from dronedispatch.kv.record import Record
from dronedispatch.kv.version import Version
from dronedispatch.kvfront.coordinator import Coordinator
from dronedispatch.kvfront.core.pairing import PairResolution
from dronedispatch.kvfront.core.resolution import Conflict, Done, NotApplied, Resolution, Unknown
from dronedispatch.kvfront.settings import Settings
from dronedispatch.runtime.discovery import Endpoint
from dronedispatch.runtime.http.client import HttpClient
from dronedispatch.runtime.http.collector import HttpResponse
from dronedispatch.runtime.http.errors import Broken
from dronedispatch.runtime.problems import Problem
from dronedispatch.runtime.settings import ProcessSettings, Secret
from dronedispatch.runtime.web import create_web
from dronedispatch.testing.clock import FakeClock
from dronedispatch.testing.kv import MemoryKV
from dronedispatch.testing.serving import serving
from support.store_parts import TOKEN

FIRST, SECOND = Cas("idem/a", None, b"1"), Cas("delivery:b", None, b"2")


class Watched(HttpClient):
    """Remembers what was asked for; after `lose`, an answer to a pair never comes back."""

    def __init__(self) -> None:
        super().__init__(resend_on_reuse_reset=False)
        self.targets: list[str] = []
        self.lose = False

    async def request(self, *words: Any, **options: Any) -> HttpResponse:
        _, address, _, target = words
        self.targets.append(target)
        answer = await super().request(*words, **options)
        if self.lose:
            raise Broken(address, "reset")
        return answer


@asynccontextmanager
async def stores(*, old: int = 0, new: int = 0) -> AsyncIterator[tuple[MemoryKV, HttpKV, Watched, FakeClock]]:
    """Coordinators of the release before and of this one, over one store, and a client of all of them."""
    twin, http, clock = MemoryKV(), Watched(), FakeClock()
    async with AsyncExitStack() as stack:
        table = []
        for number in range(old + new):
            app = create_web("kvfront", ProcessSettings(store_token=Secret(TOKEN)), ready=lambda: None)
            if number < old:

                @app.post("/kv/pair", name="refused")
                async def refused(_request: Request) -> HTTPResponse:
                    raise Problem(405, "POST goes to /kv/cas and /kv/batch only")

            http_server.add_routes(app, lambda: twin)
            port = await stack.enter_async_context(serving(app))
            table.append(Endpoint(str(number), "127.0.0.1", port))
        kv = HttpKV(lambda: tuple(table), http, TOKEN, clock=clock)
        try:
            yield twin, kv, http, clock
        finally:
            await kv.close()
            await http.close()


async def test_a_pair_is_one_request() -> None:
    async with stores(new=2) as (twin, kv, http, _):
        first, second = await kv.pair(FIRST, SECOND)
        assert (first, second) == (Version(1, 1), Version(1, 1))
        assert sorted(twin.records) == ["delivery:b", "idem/a"]
        assert http.targets == ["/kv/pair"]


async def test_a_coordinator_of_the_release_before_refuses_it_and_both_are_written_in_order() -> None:
    async with stores(old=1, new=0) as (twin, kv, http, clock):
        written: list[str] = []
        twin.after = lambda op: written.append(op.key)
        assert await kv.pair(FIRST, SECOND) == (Version(1, 1), Version(1, 1))
        assert written == ["idem/a", "delivery:b"]
        assert http.targets == ["/kv/pair", "/kv/batch", "/kv/batch"]
        await kv.pair(Cas("idem/c", None, b""), Cas("delivery:d", None, b""))
        assert http.targets.count("/kv/pair") == 1  # it is remembered, for a while
        clock.advance(OLD_S)
        await kv.pair(Cas("idem/e", None, b""), Cas("delivery:f", None, b""))
        assert http.targets.count("/kv/pair") == 2


async def test_beside_one_of_the_release_before_every_pair_is_written() -> None:
    async with stores(old=1, new=1) as (twin, kv, _, clock):
        for number in range(6):
            pair = Cas(f"idem/{number}", None, b""), Cas(f"delivery:{number}", None, b"")
            assert await kv.pair(*pair) == (Version(1, 1), Version(1, 1))
            clock.advance(OLD_S)
        assert len(twin.records) == 12


async def test_of_a_pair_whose_answer_is_lost_both_are_unknown_and_nothing_is_sent_again() -> None:
    async with stores(new=2) as (twin, kv, http, _):
        http.lose = True
        first, second = await kv.pair(FIRST, SECOND)
        assert isinstance(first, OutcomeUnknown)
        assert isinstance(second, OutcomeUnknown)
        assert http.targets == ["/kv/pair"]
        assert len(twin.records) == 2


async def test_of_a_pair_whose_first_is_unknown_the_second_is_not_written() -> None:
    async with stores(new=1) as (twin, kv, _, __):

        def lost(op: Any) -> None:
            raise OutcomeUnknown("lost")

        twin.after = lost
        first, second = await kv.pair(FIRST, SECOND)
        assert isinstance(first, OutcomeUnknown)
        assert isinstance(second, Unavailable)
        assert list(twin.records) == ["idem/a"]


# --- at the coordinator ---


class Driven:
    """A driver whose operations end when a test says how."""

    def __init__(self) -> None:
        self.running = 0
        self.begun: list[Callable[[PairResolution | None, BaseException | None], None]] = []

    def begin(
        self, _steps: object, settle: Callable[[PairResolution | None, BaseException | None], None]
    ) -> None:
        self.begun.append(settle)


STORED = Done(Record(Version(1, 1), bytes(16), 1.0, False, None, (), b"1"))


def asked() -> tuple[Driven, list[PairResult]]:
    """A pair at a coordinator, with its results as they come."""
    driver, told = Driven(), list[PairResult]()
    coordinator = Coordinator(driver, FakeClock(), Settings(), lambda: None)  # type: ignore[arg-type]
    coordinator.begin_pairs((Pair(FIRST, SECOND),), told.extend)
    return driver, told


def test_a_pair_is_one_operation_with_two_results() -> None:
    driver, told = asked()
    (settle,) = driver.begun
    settle((STORED, STORED), None)
    assert told == [(Version(1, 1), Version(1, 1))]


@pytest.mark.parametrize("first", [Conflict(None, "version"), NotApplied("away"), Unknown("silent")])
def test_a_second_that_was_not_begun_is_certainly_not_written(first: Resolution) -> None:
    driver, told = asked()
    driver.begun[0]((first, None), None)
    assert isinstance(told[0][0], OutcomeUnknown) == isinstance(first, Unknown)
    assert isinstance(told[0][1], Unavailable)


def test_a_second_that_was_sent_behind_a_first_of_which_nothing_is_known_is_unknown_too() -> None:
    driver, told = asked()
    driver.begun[0]((Unknown("silent"), Unknown("behind")), None)
    assert [type(each) for each in told[0]] == [OutcomeUnknown, OutcomeUnknown]


def test_of_a_pair_that_ended_in_a_mistake_both_are_unknown() -> None:
    driver, told = asked()
    driver.begun[0](None, AssertionError("mistake"))
    assert [type(each) for each in told[0]] == [OutcomeUnknown, OutcomeUnknown]


async def test_pairs_beyond_what_a_coordinator_takes_are_refused_before_anything_is_done() -> None:
    driver = Driven()
    driver.running = 1
    coordinator = Coordinator(driver, FakeClock(), Settings(operations_max=1), lambda: None)  # type: ignore[arg-type]
    first, second = await coordinator.pair(FIRST, SECOND)
    assert isinstance(first, Unavailable)
    assert isinstance(second, Unavailable)
    assert driver.begun == []
