"""Runs the protocol's generators: carries out what they ask for, and joins the calls of all that run at a time.

An operation is no task: its generator is stepped by whatever it waits for (replies, a timer, Consul), so a client that goes
away cancels nothing, and thousands at a time cost what their steps cost.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar, cast

import structlog
from prometheus_client import Counter

from dronedispatch.replication.calls import NOT_SENT, AnyReply
from dronedispatch.replication.effects import (
    Ask,
    AwaitView,
    Cached,
    Fire,
    Nonce,
    Note,
    Now,
    Ping,
    ReadView,
    RollCall,
    SecondOpinion,
    Sleep,
    SwapView,
)
from dronedispatch.replication.links import Links
from dronedispatch.replication.view import View
from dronedispatch.replication.view_store import ViewStore
from dronedispatch.runtime.clock import Clock

T = TypeVar("T")
EVENTS = Counter("dd_kv_protocol_events_total", "What the protocol's operations met", ["event"])
EVENTS.labels(
    "unknown"
)  # a series from the start: an alert that waits for the first one must see it rise from 0
_LOGGED = frozenset(
    {"voted_out", "bumped", "peer_disagrees", "joined", "join_started", "last_member", "unknown"}
)

log = structlog.get_logger()


class Driver:
    """One process' coordinator or joiner: its cached view, its links, and the generators that run on them."""

    def __init__(
        self,
        views: ViewStore,
        links: Links,
        clock: Clock,
        *,
        second_opinion: Callable[[str], Coroutine[Any, Any, bool | None]],
        on_note: Callable[[Note], None] = lambda _note: None,
    ) -> None:
        self.views = views
        self.links = links
        self.clock = clock
        self.second_opinion = second_opinion
        self.on_note = on_note
        self.running = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        views.on_change(self._follow)

    def run(self, generator: Generator[Any, Any, T]) -> asyncio.Future[T]:
        """The value that `generator` returns. It runs to its end, whether or not anybody still waits."""
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        def settle(value: T | None, error: BaseException | None) -> None:
            if done.done():  # nobody waits any longer
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(cast(T, value))

        self.begin(generator, settle)
        return done

    def begin(
        self, generator: Generator[Any, Any, T], settle: Callable[[T | None, BaseException | None], None]
    ) -> None:
        """The same, told to `settle` as soon as it is known: the value, or the error of a programming mistake."""
        _Run(self, generator, settle).step(None)

    def note(self, note: Note) -> None:
        """Count, and log what is rare."""
        EVENTS.labels(note.event).inc(note.count)
        self.on_note(note)
        if note.event in _LOGGED:
            log.info("protocol", event_name=note.event, replica=note.replica or None, count=note.count)

    def start(
        self,
        work: Coroutine[Any, Any, Any],
        then: Callable[[Any], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        """Carry out `work` in a task; its result goes to `then`, what it raised (or its cancellation) to `failed`."""
        task = asyncio.create_task(work)
        self._tasks.add(task)

        def ended(done: asyncio.Task[Any]) -> None:
            self._tasks.discard(done)
            if done.cancelled():
                failed(asyncio.CancelledError("the driver was closed"))
            elif (error := done.exception()) is not None:
                failed(error)
            else:
                then(done.result())

        task.add_done_callback(ended)

    def carry_out(self, request: Any) -> Coroutine[Any, Any, Any]:
        """The rarer requests, those that wait for Consul, a ping or a peer."""
        kind = type(request)
        if kind is ReadView:
            return self.views.read()
        if kind is SwapView:
            return self.views.swap(request.view, request.index)
        if kind is AwaitView:
            return self.views.wait_for(request.epoch, request.timeout_s)
        if kind is Ping:
            return self.links.ping(request.replica)
        if kind is RollCall:
            return self.links.pings.roll_call(request.replicas)
        if kind is SecondOpinion:
            return self.second_opinion(request.replica)
        raise AssertionError(f"no such request: {request!r}")

    async def close(self) -> None:
        """Stop what waits for Consul or for peers. Close the links afterwards."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _follow(self, view: View) -> None:
        held = {name for slot in view.slots for name in slot.in_sync}
        urls = {name: replica.url for name, replica in view.replicas.items()}
        assigned = {name for slot in view.slots for name in slot.assigned}
        self.links.follow(urls, lambda name: name not in held and name in assigned)


class _Run:
    """One generator under way, and the replies that it waits for."""

    __slots__ = ("_driver", "_generator", "_missing", "_replies", "_settle")

    def __init__(
        self,
        driver: Driver,
        generator: Generator[Any, Any, Any],
        settle: Callable[[Any, BaseException | None], None],
    ) -> None:
        self._driver = driver
        self._generator = generator
        self._settle = settle
        self._replies: list[AnyReply] = []
        self._missing = 0
        driver.running += 1

    def replied(self, place: int, reply: AnyReply) -> None:
        """See batches.ReplyReceiver."""
        self._replies[place] = reply
        self._missing -= 1
        if not self._missing:
            self.step(self._replies)

    def step(self, answer: Any) -> None:
        """Give the generator what it waited for, and go on until it has to wait again."""
        self._go_on(self._generator.send, answer)

    def failed(self, error: BaseException) -> None:
        """What it asked for has raised: so does its `yield`. An operation that nobody resumes is one that never ends."""
        self._go_on(self._generator.throw, error)

    def _go_on(self, resume: Callable[[Any], Any], answer: Any) -> None:
        driver = self._driver
        send = self._generator.send
        try:
            while True:
                request = resume(answer)
                resume = send
                kind = type(request)
                if kind is Ask:
                    self._ask(request)
                    return
                if kind is Cached:
                    answer = driver.views.cached
                elif kind is Now:
                    answer = driver.clock.monotonic_s()
                elif kind is Fire:
                    answer = None
                    self._fire(request)
                elif kind is Note:
                    answer = None
                    driver.note(request)
                elif kind is Nonce:
                    answer = os.urandom(12).hex()
                elif kind is Sleep:
                    asyncio.get_running_loop().call_later(request.seconds, self.step, None)
                    return
                else:
                    driver.start(driver.carry_out(request), self.step, self.failed)
                    return
        except StopIteration as end:
            driver.running -= 1
            self._settle(end.value, None)
        except BaseException as error:
            driver.running -= 1
            self._settle(None, error)
            if not isinstance(error, Exception | asyncio.CancelledError):
                raise

    def _ask(self, request: Ask) -> None:
        calls = request.calls
        self._missing = len(calls)
        self._replies = [NOT_SENT] * len(calls)
        for place, (name, call) in enumerate(calls):
            link = self._driver.links.get(name)
            if link is None:
                asyncio.get_running_loop().call_soon(self.replied, place, NOT_SENT)
            else:
                link.put(call, self, place)
        if not calls:
            asyncio.get_running_loop().call_soon(self.step, [])

    def _fire(self, request: Fire) -> None:
        for name, call in request.calls:
            link = self._driver.links.get(name)
            if link is not None:
                link.put(call, None, 0)
