"""What a watch makes of Consul's answers, of its errors and of its restarts."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from dronedispatch.runtime.consul import ConsulClient, ConsulError, Endpoint
from dronedispatch.runtime.discovery import ServiceWatch
from dronedispatch.testing.waiting import until

A, B = Endpoint("a", "127.0.0.1", 1, {}), Endpoint("b", "127.0.0.1", 2, {})
Answer = tuple[int, tuple[Endpoint, ...]] | ConsulError


class Scripted:
    """A Consul that gives these answers, then none."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    async def health(self, _service: str, *, index: int) -> tuple[int, tuple[Endpoint, ...]]:
        self.asked.append(index)
        if not self.answers:
            await asyncio.Event().wait()
        answer = self.answers.pop(0)
        if isinstance(answer, ConsulError):
            raise answer
        return answer


async def watched(consul: Scripted) -> tuple[ServiceWatch, list[tuple[Endpoint, ...]]]:
    """The watch when Consul has nothing more to say, and what it told."""
    told: list[tuple[Endpoint, ...]] = []
    watch = ServiceWatch(cast(ConsulClient, consul), "gateway")
    watch.on_change(told.append)
    questions = len(consul.answers) + 1
    watch.start()
    await until(lambda: len(consul.asked) == questions, "every answer was taken")
    return watch, told


async def test_the_next_question_waits_for_what_is_newer() -> None:
    consul = Scripted((5, (A,)), (9, (A, B)))
    watch, told = await watched(consul)
    assert (consul.asked, told) == ([0, 5, 9], [(A,), (A, B)])
    assert watch.stale_s == 0.0
    await watch.stop()


async def test_an_error_is_no_empty_answer() -> None:
    watch, told = await watched(Scripted((5, (A,)), ConsulError("away")))
    assert (watch.endpoints, told) == ((A,), [(A,)])
    assert watch.stale_s > 0.0
    await watch.stop()


async def test_an_empty_answer_is_one() -> None:
    watch, told = await watched(Scripted((5, (A,)), (6, ())))
    assert (watch.endpoints, told) == ((), [(A,), ()])
    await watch.stop()


@pytest.mark.parametrize("answer", [(3, (A,)), (0, (A,)), ConsulError("away")])
async def test_after_an_error_or_an_index_that_went_back_it_asks_from_the_beginning(answer: Answer) -> None:
    consul = Scripted((5, (A,)), answer)
    watch, _ = await watched(consul)
    assert consul.asked == [0, 5, 0]
    await watch.stop()


async def test_the_same_answer_again_is_no_news() -> None:
    watch, told = await watched(Scripted((5, (A,)), (6, (A,))))
    assert told == [(A,)]
    await watch.stop()
