"""A hand-directed cluster: the same core code as in the simulation, with every message moved by the test that
tells the story.

A story starts operations, each stops whenever it waits for replicas, and the story says which of its calls arrive,
which are lost, which are carried out with the answer lost, and which stay on their way for later. Everything else
(Consul, pings, pauses) goes by itself.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvfront.core.pairing import write_pair
from dronedispatch.kvfront.core.reading import read
from dronedispatch.kvfront.core.resolution import Done
from dronedispatch.kvfront.core.scanning import Query, scan
from dronedispatch.kvfront.core.tombstone_gc import sweep
from dronedispatch.kvfront.core.writing import Write, write
from dronedispatch.kvstore.core import catch_up
from dronedispatch.kvstore.core.join import join_once
from dronedispatch.kvstore.core.local_effects import Commit, Probe, Reached
from dronedispatch.kvstore.core.rules import admit, carry_out, execute
from dronedispatch.replication import view as views
from dronedispatch.replication.calls import MUST_BE_ABSENT, SILENT, AnyCall, AnyReply
from dronedispatch.replication.effects import (
    Ask,
    AwaitView,
    Cached,
    Fire,
    Nonce,
    Note,
    Now,
    Ping,
    Pulse,
    ReadView,
    RollCall,
    SecondOpinion,
    Sleep,
    Swap,
    SwapView,
    ViewAt,
)
from dronedispatch.replication.rules import ALL, Rules
from dronedispatch.replication.view import Replica, View, bootstrap
from dronedispatch.testing.linearizability import why_not
from dronedispatch.testing.simulation.clients import History
from dronedispatch.testing.simulation.engine import MemoryEngine

CLUSTER = "staged"
DEADLINE_S = 1_000_000.0
KEY, FACING_KEY = (
    next(name for name in (f"key{number}" for number in range(1_000)) if slot_of(name) == slot)
    for slot in (0, 1)
)


class CallInFlight:
    """A call on its way."""

    def __init__(self, stage: Stage, name: str, call: AnyCall) -> None:
        self.stage = stage
        self.name = name
        self.call = call
        self._admitted = False

    def knock(self) -> None:
        """Reach the replica and wait in its queue: rule 4 says that nothing may be decided yet."""
        stage = self.stage
        if not stage.rules.floor_checked_in_transaction:
            self._admitted = admit(stage.engines[self.name], self.call, stage.rules) is None

    def arrive(self) -> AnyReply:
        """Be carried out, now."""
        stage, engine = self.stage, self.stage.engines[self.name]
        if self._admitted:
            reply = carry_out(engine, self.call, stage.now_s)
        else:
            reply = execute(engine, self.call, stage.now_s, stage.rules)
        engine.commit(stage.now_s, stage.now_s)
        return reply


class Running:
    """An operation that the story moves on. `result` is set when it has ended."""

    def __init__(self, stage: Stage, name: str, generator: Generator[Any, Any, Any]) -> None:
        self.stage = stage
        self.name = name
        self.result: Any = None
        self.ended = False
        self.waiting: list[CallInFlight | None] = []
        self._replies: list[AnyReply | None] = []
        self._generator = generator
        self._go_on(None)

    def asks(self) -> list[tuple[str, str]]:
        """(replica, kind of call) of each call that waits for the story's word."""
        return [(each.name, type(each.call).__name__) for each in self.waiting if each is not None]

    def until(self, kind: str, name: str) -> CallInFlight:
        """Deliver everything up to the first call of that kind to that replica; return it, still waiting."""
        while not self.ended:
            for each in self.waiting:
                if each is not None and (each.name, type(each.call).__name__) == (name, kind):
                    return each
            self.deliver()
        raise AssertionError(f"{self.name} ended with {self.result} before it asked {kind} of {name}")

    def deliver(self, name: str | None = None) -> None:
        """Carry out the waiting calls to that replica (default: all of them), and bring the answers back."""
        for place, each in enumerate(self.waiting):
            if each is not None and name in (None, each.name):
                self._answer(place, each.arrive())
        self._next_if_answered()

    def lose(self, name: str) -> CallInFlight:
        """The call never arrives, so far: its message is returned and may `arrive` later."""
        return self._silence(name)

    def refuse(self, name: str, reply: AnyReply) -> None:
        """The call is not carried out, and `reply` says so."""
        self._answer(self.waiting.index(self._take(name)), reply)
        self._next_if_answered()

    def deafen(self, name: str) -> None:
        """The call is carried out and its answer is lost."""
        self._take(name).arrive()
        self._silence(name)

    def again(self, name: str) -> CallInFlight:
        """A second copy of the waiting call, on its way for as long as the story likes."""
        taken = self._take(name)
        return CallInFlight(self.stage, taken.name, taken.call)

    def finish(self) -> Any:
        """Deliver everything until the operation ends; return its result."""
        while not self.ended:
            self.deliver()
        return self.result

    # --- within ---

    def _take(self, name: str) -> CallInFlight:
        return next(each for each in self.waiting if each is not None and each.name == name)

    def _silence(self, name: str) -> CallInFlight:
        taken = self._take(name)
        self._answer(self.waiting.index(taken), SILENT)
        self._next_if_answered()
        return taken

    def _answer(self, place: int, reply: AnyReply) -> None:
        self.waiting[place] = None
        self._replies[place] = reply

    def _next_if_answered(self) -> None:
        if not self.ended and all(reply is not None for reply in self._replies):
            self._go_on(list(self._replies))

    def _go_on(self, value: Any) -> None:
        self.stage.now_s += 0.001
        while True:
            try:
                request = self._generator.send(value)
            except StopIteration as stop:
                self.ended, self.result = True, stop.value
                return
            if isinstance(request, Ask) and request.calls:
                self.waiting = [CallInFlight(self.stage, name, call) for name, call in request.calls]
                self._replies = [None] * len(self.waiting)
                return
            value = self.stage.carry_out(self.name, request)


class Stage:
    """Replicas A, B, .. that share one slot in that order, and any coordinator that the story names, each with its
    own view. `facing`: they share another one, in opposite order.
    """

    def __init__(
        self, rules: Rules = ALL, *, rf: int = 2, copies: int | None = None, facing: bool = False
    ) -> None:
        copies = rf if copies is None else copies
        self.rules = rules
        self.now_s = 1.0
        self.history = History()
        self.events: list[str] = []
        self.unreachable: set[str] = set()
        names = [chr(ord("A") + number) for number in range(rf)]
        replicas = {name: Replica(f"stage://{name}", f"{name}1") for name in names}
        slots = [tuple(names[:copies]), tuple(reversed(names[:copies]))]
        self.view = bootstrap(CLUSTER, replicas, rf, slots if facing else slots[:1], "0")
        self.index = 1
        self.engines = {name: MemoryEngine(CLUSTER, f"{name}1") for name in names}
        self._views: dict[str, View] = {}
        self._nonces = 0
        self._running: list[_Observed] = []

    # --- operations ---

    def look(self, front: str) -> None:
        """Let `front` know the newest view."""
        self._views[front] = self.view

    def get(self, front: str, *, patience_s: float = DEADLINE_S) -> Running:
        """A read through `front`, which keeps the view that it had (at first: the newest)."""
        return self._observed(front, read(KEY, 0, self.now_s + patience_s, self.rules), None)

    def put(
        self,
        front: str,
        ident: str,
        expected: Version | None = None,
        *,
        tombstone: bool = False,
        keyed: bool = False,
        min_in_sync: int = 1,
        patience_s: float = DEADLINE_S,
    ) -> Running:
        """A write whose name is `ident` (up to 16 ASCII letters)."""
        op = Write(KEY, 0, ident.encode().ljust(16, b"_"), 0.0, expected, tombstone=tombstone, keyed=keyed)
        return self._observed(
            front, write(op, self.now_s + patience_s, min_in_sync=min_in_sync, rules=self.rules), op
        )

    def pair(self, front: str, *, expected: Version | None = None, min_in_sync: int = 1) -> Running:
        """KEY := "first" under `expected`, and behind it FACING_KEY := "second"; its result is a PairResolution."""
        first, second = (
            Write(key, slot_of(key), ident.ljust(16, b"_"), 0.0, condition)
            for key, ident, condition in ((KEY, b"first", expected), (FACING_KEY, b"second", MUST_BE_ABSENT))
        )
        return Running(
            self, front, write_pair(first, second, DEADLINE_S, min_in_sync=min_in_sync, rules=self.rules)
        )

    def _observed(self, front: str, generator: Generator[Any, Any, Any], op: Write | None) -> Running:
        running = _Observed(self, front, generator, op)
        self._running.append(running)
        return running

    def sweep(self, front: str) -> Running:
        """A purge of all tombstones."""
        return Running(self, front, sweep(10, self.rules))

    def scan(self, front: str, query: Query) -> Running:
        """A page of a list."""
        return Running(self, front, scan(query, DEADLINE_S, self.rules))

    def join(self, name: str) -> Running:
        """The replica's own attempt to come into sync."""
        return Running(self, name, join_once(name, self.rules))

    def restart(self, name: str, *, wiped: bool = False) -> None:
        """Kill the replica and start it again, with its disk or with an empty one."""
        engine = self.engines[name]
        engine.crash(self.now_s)
        if wiped:
            self.engines[name] = MemoryEngine(CLUSTER, f"{engine.disk}+")
        elif not self.rules.floor_survives_restart:
            engine.forget_floor()

    def move(self, names: Sequence[str]) -> None:
        """An operator assigns the slot anew."""
        self._publish(views.reassigned(self.view, {0: names}, self._nonce()))

    def view_without(self, name: str) -> None:
        """Somebody votes `name` out."""
        disk = self.engines[name].disk
        self._publish(views.vote_out(self.view, {name: disk}, self._nonce(), seen=self.view.epoch))

    def close(self) -> None:
        """The story is over: writes that have not ended have an unknown outcome."""
        for running in self._running:
            running.abandon()
        self._running.clear()

    def why_not(self) -> str | None:
        """The judgement of the story so far."""
        return why_not(self.history.observations)

    # --- what operations ask for beside replica calls ---

    def carry_out(self, name: str, request: Any) -> Any:
        """The answer to anything but a replica call, at once."""
        match request:
            case Cached():
                return self._views.setdefault(name, self.view)
            case Now():
                return self.now_s
            case Nonce():
                return self._nonce()
            case Sleep():
                self.now_s += request.seconds
            case Note():
                self.events.append(request.event)
            case ReadView():
                self.look(name)
                return ViewAt(self.view, self.index)
            case SwapView():
                return self._swap(name, request)
            case Ping():
                return self._pulse(request.replica)
            case RollCall():
                return {name: self._pulse(name) for name in request.replicas}
            case Commit():
                return self._commit(name, request)
            case Probe():
                return True
            case Reached():
                return name not in self.unreachable
            case Ask():
                return []
            case Fire() | AwaitView() | SecondOpinion():
                return None
        return None

    def _pulse(self, name: str) -> Pulse:
        return Pulse.SILENT if name in self.unreachable else Pulse.ALIVE

    def _nonce(self) -> str:
        self._nonces += 1
        return str(self._nonces)

    def _swap(self, name: str, request: SwapView) -> Swap:
        if request.index != self.index:
            return Swap.LOST
        self._publish(request.view)
        self.look(name)
        return Swap.DONE

    def _publish(self, view: View) -> None:
        self.view = view
        self.index += 1
        for name, engine in self.engines.items():
            catch_up.settle(engine, view, name)
            catch_up.forget(engine, view, name, 0, 1_000)
            engine.commit(self.now_s, self.now_s)

    def _commit(self, name: str, request: Commit) -> Any:
        engine = self.engines[name]
        value = request.step(engine)
        engine.commit(self.now_s, self.now_s)
        return value


class _Observed(Running):
    """A client's operation: it goes into the history when it ends, or is abandoned."""

    def __init__(
        self, stage: Stage, front: str, generator: Generator[Any, Any, Any], op: Write | None
    ) -> None:
        self._op = op
        stage.now_s += 0.001  # strictly after whatever has ended
        self._call_s = stage.now_s
        super().__init__(stage, front, generator)
        self._noted()

    def _go_on(self, value: Any) -> None:
        super()._go_on(value)
        if self.ended and value is not None:
            self._noted()

    def _noted(self) -> None:
        if not self.ended:
            return
        history, now_s = self.stage.history, self.stage.now_s
        if self._op is not None:
            history.wrote(KEY, self.name, self._call_s, now_s, self._op, self.result)
        elif isinstance(self.result, Done):
            history.read(KEY, self.name, self._call_s, now_s, self.result.record)

    def abandon(self) -> None:
        """Its coordinator dies here: the outcome is unknown."""
        if self._op is not None and not self.ended:
            self.stage.history.wrote(KEY, self.name, self._call_s, self.stage.now_s, self._op, None)
