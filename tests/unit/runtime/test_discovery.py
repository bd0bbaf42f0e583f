"""What a watch makes of Consul's answers, of its errors and of its restarts."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from dronedispatch.runtime import discovery
from dronedispatch.runtime.consul import BLOCKING_WAIT_S, ConsulClient, ConsulError, Endpoint, next_index
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.runtime.health import AWAY_S
from dronedispatch.testing.clock import FakeClock
from support.waiting import until

A, B = Endpoint("a", "127.0.0.1", 1, {}), Endpoint("b", "127.0.0.1", 2, {})
Answer = tuple[int, tuple[Endpoint, ...]] | ConsulError


class Scripted:
    """A Consul that gives these answers, then none."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []
        self.consistent: list[bool] = []

    async def health(
        self, _service: str, *, index: int, consistent: bool
    ) -> tuple[int, tuple[Endpoint, ...]]:
        self.asked.append(index)
        self.consistent.append(consistent)
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, ConsulError):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "RESET_PAUSE_S", 0.0)


async def watched(consul: Scripted) -> tuple[ServiceWatch, list[tuple[Endpoint, ...]]]:
    """The watch when Consul has nothing more to say, and what it told."""
    told: list[tuple[Endpoint, ...]] = []
    watch = ServiceWatch(cast(ConsulClient, consul), "gateway")
    watch.on_change(told.append)
    questions = len(consul.answers) + 1
    watch.start()
    await until(lambda: len(consul.asked) == questions, "every answer was taken")
    await watch.stop()
    return watch, told


async def test_the_next_question_waits_for_what_is_newer() -> None:
    consul = Scripted((5, (A,)), (9, (A, B)))
    watch, told = await watched(consul)
    assert (consul.asked, told) == ([0, 5, 9], [(A,), (A, B)])
    assert watch.stale_s == 0.0


async def test_an_error_is_no_empty_answer() -> None:
    watch, told = await watched(Scripted((5, (A,)), ConsulError("away")))
    assert (watch.endpoints, told) == ((A,), [(A,)])
    assert watch.stale_s > 0.0


async def test_a_consul_that_stands_still_is_stale_as_soon_as_its_answer_is_overdue() -> None:
    clock, consul = FakeClock(), Scripted((5, (A,)))
    watch = ServiceWatch(cast(ConsulClient, consul), "gateway", clock=clock)
    watch.start()
    await until(lambda: consul.asked == [0, 5], "it waits for what is newer")
    clock.advance(BLOCKING_WAIT_S)
    assert watch.stale_s == 0.0
    clock.advance(AWAY_S - BLOCKING_WAIT_S + 0.1)
    assert watch.stale_s > AWAY_S  # health says so when it says it of a dead one
    await watch.stop()


async def test_an_empty_answer_is_one() -> None:
    watch, told = await watched(Scripted((5, (A,)), (6, ())))
    assert (watch.endpoints, told) == ((), [(A,), ()])


@pytest.mark.parametrize("answer", [(3, (A,)), (0, (A,)), ConsulError("away")])
async def test_after_an_error_or_an_index_that_went_back_it_asks_from_the_beginning(answer: Answer) -> None:
    consul = Scripted((5, (A,)), answer)
    await watched(consul)
    assert consul.asked == [0, 5, 0]


@pytest.mark.parametrize("answer", [(3, (A,)), (0, (A,)), ConsulError("away")])
async def test_who_begins_anew_is_not_told_what_once_was(answer: Answer) -> None:
    consul = Scripted((5, (A,)), (6, (A, B)), answer)
    await watched(consul)
    assert consul.consistent == [True, False, False, True]


async def test_the_same_answer_again_is_no_news() -> None:
    _, told = await watched(Scripted((5, (A,)), (6, (A,))))
    assert told == [(A,)]


class Nonsense(Exception):
    """Not one of ours: an entry of the catalogue that cannot be read."""


async def test_an_error_of_any_kind_leaves_the_watch_alive() -> None:
    class Broken(Scripted):
        async def health(
            self, service: str, *, index: int, consistent: bool
        ) -> tuple[int, tuple[Endpoint, ...]]:
            if not self.asked:
                self.asked.append(index)
                raise Nonsense
            return await super().health(service, index=index, consistent=consistent)

    consul = Broken((5, (A,)))
    watch = ServiceWatch(cast(ConsulClient, consul), "gateway")
    watch.start()
    await until(lambda: watch.endpoints == (A,), "it asked on, and was told")
    await watch.stop()


@pytest.mark.parametrize(
    ("asked", "answered", "following"), [(0, 5, 5), (5, 5, 5), (5, 9, 9), (9, 5, 0), (5, 0, 0), (0, 0, 0)]
)
def test_an_index_that_goes_back_begins_anew(asked: int, answered: int, following: int) -> None:
    assert next_index(asked, answered) == following


async def test_a_consul_that_answers_index_0_is_not_asked_without_a_pause(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "RESET_PAUSE_S", 3600.0)
    consul = Scripted(*[(0, (A,))] * 50)
    watch = ServiceWatch(cast(ConsulClient, consul), "gateway")
    watch.start()
    await until(watch.seen.is_set, "the first answer")
    for _ in range(20):
        await asyncio.sleep(0)
    assert consul.asked == [0]
    await watch.stop()
