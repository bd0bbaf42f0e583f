"""Runs protocol generators inside a simulated process: the twin of the asyncio drivers of kvfront and kvstore."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dronedispatch.kvstore.core.local_effects import Commit, Probe, Reached
from dronedispatch.replication.calls import (
    SILENT,
    TOO_OLD,
    AnyCall,
    AnyReply,
    Prepare,
    Purge,
    Read,
    Relay,
    Relayed,
    Replicate,
)
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
from dronedispatch.replication.patience import ReplicaPatience
from dronedispatch.replication.view import View
from dronedispatch.testing.simulation.consul import Consul
from dronedispatch.testing.simulation.network import SimulatedNetwork, SimulatedProcess
from dronedispatch.testing.simulation.simulator import Simulator

if TYPE_CHECKING:
    from dronedispatch.testing.simulation.replica import SimulatedReplica

CALL_TIMEOUT_S = 0.25
CALL_TIMEOUT_MOST_S = 1.5
PING_TIMEOUT_S = 0.1
PING_TIMEOUT_MOST_S = 1.0
REPEATABLE = (Replicate, Read, Prepare, Purge)
"""R5 to R8 may arrive twice; an apply may not."""
TOO_OLD_SHARE = 0.1
"""Of the relays that are for replicas of an older release, or that have not said yet what they know."""


class Task:
    """A running generator. It ends with its process: whoever waits for its result then waits in vain."""

    __slots__ = ("done", "generator", "incarnation")

    def __init__(
        self, generator: Generator[Any, Any, Any], done: Callable[[Any], None], incarnation: int
    ) -> None:
        self.generator = generator
        self.done = done
        self.incarnation = incarnation


class Pending:
    """An Ask under way."""

    __slots__ = ("left", "limit_s", "replies", "since_s", "task")

    def __init__(self, task: Task, calls: int, since_s: float, limit_s: float) -> None:
        self.since_s = since_s
        self.limit_s = limit_s
        self.task: Task | None = task
        self.replies: list[AnyReply | None] = [None] * calls
        self.left = calls


class SimulatedDriver(SimulatedProcess):
    """A process that runs generators, with one cached view that lags behind Consul's."""

    def __init__(self, simulator: Simulator, network: SimulatedNetwork, consul: Consul, name: str) -> None:
        super().__init__(simulator, name)
        self.network = network
        self.consul = consul
        self.replicas: Mapping[str, SimulatedReplica] = {}
        self.peers: Sequence[SimulatedDriver] = ()
        self.view: View | None = None
        self.patience = ReplicaPatience(
            call_s=CALL_TIMEOUT_S,
            call_most_s=CALL_TIMEOUT_MOST_S,
            ping_s=PING_TIMEOUT_S,
            ping_most_s=PING_TIMEOUT_MOST_S,
        )
        self._waiting: list[tuple[int, Task]] = []
        self._slow: dict[type, Callable[[Task, Any], None]] = {
            Ask: self._ask,
            Sleep: self._sleep,
            ReadView: self._read_view,
            SwapView: self._swap_view,
            AwaitView: self._await_view,
            Ping: self._ping,
            RollCall: self._roll_call,
            SecondOpinion: self._second_opinion,
            Commit: self._commit,
            Probe: self._probe,
            Reached: self._reached,
        }

    def see(self, view: View) -> None:
        """A view has been met: keep it if it is newer."""
        if self.up and (self.view is None or view.epoch > self.view.epoch):
            self.view = view
            waiting, self._waiting = self._waiting, []
            for epoch, task in waiting:
                if view.epoch >= epoch:
                    self.resume(task, None)
                else:
                    self._waiting.append((epoch, task))
            self.on_view(view)

    def on_view(self, view: View) -> None:
        """For replicas: a newer view is there."""

    def start(self, generator: Generator[Any, Any, Any], done: Callable[[Any], None]) -> None:
        """Run `generator`; `done` gets its result."""
        self.resume(Task(generator, done, self.incarnation), None)

    def crash(self) -> None:
        """Everything in memory is gone."""
        self.up = False
        self.incarnation += 1
        self.view = None
        self._waiting.clear()

    def resume(self, task: Task, value: Any) -> None:
        """Give `task` the answer that it waits for, and carry out what it asks for next."""
        if task.incarnation != self.incarnation:
            return
        if self.paused_until_s > self.simulator.now_s:
            self.simulator.at(self.paused_until_s - self.simulator.now_s, self.resume, task, value)
            return
        send = task.generator.send
        while True:
            try:
                request = send(value)
            except StopIteration as stop:
                task.done(stop.value)
                return
            slow = self._slow.get(type(request))
            if slow is not None:
                slow(task, request)
                return
            value = self._at_once(request)

    def _at_once(self, request: Any) -> Any:
        match request:
            case Cached():
                return self.view
            case Now():
                return self.clock_s()
            case Note():
                self.simulator.count(request.event)
                if self.simulator.journal is not None:
                    self.simulator.tell(f"{self.name}: {request.event} {request.replica} {request.count}")
                return None
            case Nonce():
                return self.simulator.nonce()
            case Fire():
                for name, call in request.calls:
                    replica = self.replicas[name]
                    self.network.send(self, replica, replica.receive, self, call, None, 0)
                return None
        raise AssertionError(f"no driver for {request!r}")

    # --- requests that take time ---

    def _ask(self, task: Task, ask: Ask) -> None:
        calls, now_s = ask.calls, self.simulator.now_s
        pending = Pending(task, len(calls), now_s, self.patience.call_s(now_s))
        if not calls:
            self.simulator.at(0.0, self.resume, task, [])
            return
        send = self.network.send
        for place, (name, call) in enumerate(calls):
            replica = self.replicas[name]
            if type(call) is Relay and self.simulator.rng.random() < TOO_OLD_SHARE:
                self.simulator.count("too_old")
                self.simulator.at(0.0, self.hear, pending, place, call, TOO_OLD)
                continue
            twice = type(call) in REPEATABLE
            send(self, replica, replica.receive, self, call, pending, place, twice=twice)
        self.simulator.at(pending.limit_s, self._expire, pending)

    def hear(self, pending: Pending | None, place: int, call: AnyCall, reply: AnyReply) -> None:
        """A reply has arrived."""
        if pending is None or pending.task is None or pending.replies[place] is not None:
            return
        if self.simulator.journal is not None:
            self.simulator.tell(f"{self.name} <- {call} : {reply}")
        if type(reply) is Relayed:
            self.simulator.count("relayed")
        pending.replies[place] = reply
        pending.left -= 1
        now_s = self.simulator.now_s
        self.patience.took(now_s, now_s - pending.since_s)
        if pending.left == 0:
            task, pending.task = pending.task, None
            self.resume(task, pending.replies)

    def _asleep_s(self) -> float:
        """How long this process will not look up yet: its timers wait, and what has arrived by then comes first."""
        return max(0.0, self.paused_until_s - self.simulator.now_s)

    def _expire(self, pending: Pending) -> None:
        if (asleep_s := self._asleep_s()) > 0.0:
            self.simulator.at(asleep_s, self._expire, pending)
            return
        task = pending.task
        if task is not None:
            pending.task = None
            now_s = self.simulator.now_s
            self.patience.took(now_s, now_s - pending.since_s - pending.limit_s)
            self.simulator.counts["silent"] += pending.left
            self.resume(task, [reply if reply is not None else SILENT for reply in pending.replies])

    def _sleep(self, task: Task, sleep: Sleep) -> None:
        self.simulator.at(sleep.seconds / self.rate, self.resume, task, None)

    def _read_view(self, task: Task, _: ReadView) -> None:
        def answer(at: ViewAt | None) -> None:
            if task.incarnation == self.incarnation and at is not None and at.view is not None:
                self.see(at.view)
            self.resume(task, at)

        self.consul.read(self, answer)

    def _swap_view(self, task: Task, request: SwapView) -> None:
        def answer(swap: Swap) -> None:
            if task.incarnation == self.incarnation and swap is Swap.DONE:
                self.see(request.view)
            self.resume(task, swap)

        self.consul.swap(self, request.view, request.index, answer)

    def _await_view(self, task: Task, request: AwaitView) -> None:
        if self.view is not None and self.view.epoch >= request.epoch:
            self.simulator.at(0.0, self.resume, task, None)
            return
        entry = (request.epoch, task)
        self._waiting.append(entry)

        def give_up() -> None:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self.resume(task, None)

        self.simulator.at(request.timeout_s, give_up)

    def _ping(self, task: Task, request: Ping) -> None:
        self.ping(request.replica, lambda pulse: self.resume(task, pulse))

    def ping(self, name: str, answer: Callable[[Pulse], None]) -> None:
        """Call `answer` with what a look at the replica's health showed."""
        replica, since_s = self.replicas[name], self.simulator.now_s
        limit_s = self.patience.ping_s(since_s)
        open_ = [True]

        def hear(pulse: Pulse) -> None:
            if open_:
                open_.clear()
                if pulse is Pulse.ALIVE:
                    self.patience.took(self.simulator.now_s, self.simulator.now_s - since_s)
                answer(pulse)

        def expire() -> None:
            if (asleep_s := self._asleep_s()) > 0.0:
                self.simulator.at(asleep_s, expire)
            elif open_:
                now_s = self.simulator.now_s
                hear(self.patience.silence(now_s, limit_s, now_s - since_s))

        self.network.send(self, replica, replica.health, self, hear)
        self.simulator.at(limit_s, expire)

    def _roll_call(self, task: Task, request: RollCall) -> None:
        limit_s = self.patience.ping_s(self.simulator.now_s)
        pulses: dict[str, Pulse] = {}

        def hear(name: str, pulse: Pulse) -> None:
            pulses[name] = pulse
            if len(pulses) < len(request.replicas):
                return
            if not {Pulse.ALIVE, Pulse.REFUSED} & set(pulses.values()):
                self.patience.nobody(self.simulator.now_s, limit_s)
            self.resume(task, pulses)

        for name in sorted(request.replicas):
            self.ping(name, partial(hear, name))

    def _second_opinion(self, task: Task, request: SecondOpinion) -> None:
        peers = [peer for peer in self.peers if peer.up]
        if not peers:
            self.simulator.at(0.0, self.resume, task, None)
            return
        peer = self.simulator.rng.choice(peers)
        open_ = [True]

        def hear(opinion: bool | None) -> None:
            if open_:
                open_.clear()
                self.resume(task, opinion)

        def told(pulse: Pulse) -> None:
            self.network.send(peer, self, hear, pulse is Pulse.ALIVE)

        self.network.send(self, peer, peer.ping, request.replica, told)
        self.simulator.at(2 * self.patience.ping_s(self.simulator.now_s), hear, None)

    def _reached(self, task: Task, _: Reached) -> None:
        raise AssertionError(f"{self.name} is no replica")

    def _commit(self, task: Task, request: Commit) -> None:
        raise AssertionError(f"{self.name} has no disk")

    def _probe(self, task: Task, _: Probe) -> None:
        self.consul.write_probe(self, lambda done: self.resume(task, done))
