"""A simulated kvstore: production's rules and JOIN over the memory engine, with a disk that is slow to be sure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from dronedispatch.kvstore.core import catch_up
from dronedispatch.kvstore.core.hold_down import HoldDown
from dronedispatch.kvstore.core.join import Joined, NotYet, join_once
from dronedispatch.kvstore.core.local_effects import Commit, Reached
from dronedispatch.kvstore.core.membership import leave
from dronedispatch.kvstore.core.rules import admit, carry_out, changes_disk, execute
from dronedispatch.replication.calls import DAMAGED, NO_SPACE, NOT_SENT, AnyCall, AnyReply
from dronedispatch.replication.effects import Pulse
from dronedispatch.replication.rules import Rules
from dronedispatch.replication.view import View
from dronedispatch.testing.simulation.consul import Consul
from dronedispatch.testing.simulation.driver import Pending, SimulatedDriver, Task
from dronedispatch.testing.simulation.engine import MemoryEngine
from dronedispatch.testing.simulation.network import SimulatedNetwork
from dronedispatch.testing.simulation.simulator import Simulator

HOLD_DOWN_SCALE = 0.2
"""Virtual minutes of hold-down would be time in which nothing happens; the doubling stays."""


class SimulatedReplica(SimulatedDriver):
    """One replica and its disk."""

    def __init__(
        self,
        simulator: Simulator,
        network: SimulatedNetwork,
        consul: Consul,
        name: str,
        engine: MemoryEngine,
        rules: Rules,
    ) -> None:
        super().__init__(simulator, network, consul, name)
        self.engine = engine
        self.rules = rules
        self.sync_s = 0.0003
        self.slow_sync = 0.0
        self.full = False
        self._durable_s = 0.0
        self._joining = False
        self.coordinators: Sequence[SimulatedDriver] = ()
        self._hold_down = HoldDown(HOLD_DOWN_SCALE)
        self._disks = 1

    # --- being asked ---

    def health(self, asker: SimulatedDriver, answer: Callable[[Pulse], None]) -> None:
        """A ping has arrived."""
        self.network.answer(self, asker, answer, Pulse.ALIVE if self.up else Pulse.REFUSED)

    def receive(self, asker: SimulatedDriver, call: AnyCall, pending: Pending | None, place: int) -> None:
        """A call has arrived: R1 to R8 in one step, and the reply when everything it saw is durable (R9)."""
        if not self.up:
            self.network.answer(self, asker, asker.hear, pending, place, call, NOT_SENT)
            return
        if self.full and changes_disk(call):
            self.simulator.count("no_space")
            self._reply(asker, call, pending, place, NO_SPACE)
            return
        if not self.rules.floor_checked_in_transaction:
            self._receive_without_rule_4(asker, call, pending, place)
            return
        reply = execute(self.engine, call, self.clock_s(), self.rules)
        if reply is DAMAGED:
            self.simulator.count("damaged_seen")
        self._reply(asker, call, pending, place, reply)

    def _receive_without_rule_4(
        self, asker: SimulatedDriver, call: AnyCall, pending: Pending | None, place: int
    ) -> None:
        """Check now, act a little later: what rule 4 forbids."""
        refusal = admit(self.engine, call, self.rules)
        if refusal is not None:
            self._reply(asker, call, pending, place, refusal)
            return
        incarnation = self.incarnation

        def act() -> None:
            if self.incarnation == incarnation:
                reply = carry_out(self.engine, call, self.clock_s())
                self._reply(asker, call, pending, place, reply)

        self.engine.commit(self.simulator.now_s, self.simulator.now_s)
        self.simulator.at(self.network.delay_s(), act)

    def _reply(
        self, asker: SimulatedDriver, call: AnyCall, pending: Pending | None, place: int, reply: AnyReply
    ) -> None:
        now_s = self.simulator.now_s
        self._sync()
        if self._durable_s <= now_s:
            self.network.answer(self, asker, asker.hear, pending, place, call, reply)
            return
        self.simulator.at(
            self._durable_s - now_s,
            self._reply_if_alive,
            self.incarnation,
            asker,
            pending,
            place,
            call,
            reply,
        )

    def _reply_if_alive(self, incarnation: int, asker: SimulatedDriver, *answer: Any) -> None:
        if incarnation == self.incarnation:
            self.network.answer(self, asker, asker.hear, *answer)

    def _sync(self) -> None:
        """Commit what the last step changed: visible at once, durable when the disk says so, in order."""
        now_s, random = self.simulator.now_s, self.simulator.rng.random
        took_s = self.sync_s * (0.5 + random())
        if self.slow_sync and random() < self.slow_sync:
            took_s = random() * 0.3
        durable_s = max(self._durable_s, now_s + took_s)
        if self.engine.commit(durable_s, now_s):
            self._durable_s = durable_s

    # --- its own doings ---

    def _commit(self, task: Task, request: Commit) -> None:
        value = request.step(self.engine)
        self._sync()
        self.simulator.at(max(0.0, self._durable_s - self.simulator.now_s), self.resume, task, value)

    def on_view(self, view: View) -> None:
        catch_up.settle(self.engine, view, self.name)
        for slot in range(len(view.slots)):
            if catch_up.forget(self.engine, view, self.name, slot, 1_000):
                self.simulator.count("forgotten")
        self._sync()
        self._join_if_lacking()

    def _join_if_lacking(self) -> None:
        view = self.view
        if self._joining or view is None or not view.lacking_slots(self.name, self.engine.disk):
            return
        now_s = self.simulator.now_s
        self._hold_down.lacks(now_s)
        self._joining = True
        if (wait_s := self._hold_down.wait_s(now_s)) > 0:
            self.simulator.at(wait_s, self._try_again, self.incarnation)
            return
        self.start(join_once(self.name, self.rules), self._joined)

    def _joined(self, result: Joined | str) -> None:
        self._joining = False
        if isinstance(result, Joined):
            self._hold_down.joined(self.simulator.now_s)
            self._join_if_lacking()
            return
        self.simulator.count("join_failed")
        self.simulator.tell(f"{self.name}: join failed: {result}")
        self._hold_down.failed(self.simulator.now_s, cheap=isinstance(result, NotYet))
        self._join_if_lacking()

    def _try_again(self, incarnation: int) -> None:
        if self.incarnation == incarnation:
            self._joining = False
            self._join_if_lacking()

    def _reached(self, task: Task, _: Reached) -> None:
        """As Reachability does: every coordinator that runs pings, and tells."""
        asked = [each for each in self.coordinators if each.up]
        open_ = [True]

        def end(reached: bool | None) -> None:
            if open_:
                open_.clear()
                self.resume(task, reached)

        def hear(reaches: bool) -> None:
            if reaches:
                end(True)

        def told(coordinator: SimulatedDriver, pulse: Pulse) -> None:
            self.network.send(coordinator, self, hear, pulse is Pulse.ALIVE)

        for coordinator in asked:
            self.network.send(self, coordinator, coordinator.ping, self.name, partial(told, coordinator))
        self.simulator.at(
            3 * self.patience.ping_s(self.simulator.now_s) if asked else 0.0, end, False if asked else None
        )

    def leave(self, done: Callable[[], None]) -> None:
        """Be voted out, linger a moment, stop."""
        incarnation = self.incarnation

        def stop() -> None:
            if self.incarnation == incarnation:
                self.kill()
                done()

        self.start(leave(self.name), lambda _: self.simulator.at(0.5, stop))

    def kill(self) -> None:
        """kill -9: memory is lost, and what was not yet durable."""
        self.crash()
        self.simulator.count("unsynced_lost", self.engine.crash(self.simulator.now_s))
        self.simulator.count("kills")
        self.simulator.tell(f"{self.name}: killed")

    def revive(self, *, wiped: bool = False) -> None:
        """Start again, with the same disk or an empty new one."""
        if wiped:
            self._disks += 1
            self.engine = MemoryEngine(self.engine.cluster, f"{self.name}{self._disks}")
            self.simulator.count("wiped")
        elif not self.rules.floor_survives_restart:
            self.engine.forget_floor()
        self.up = True
        self._joining = False
        self._hold_down = HoldDown(HOLD_DOWN_SCALE)
        self._durable_s = self.simulator.now_s
        self.paused_until_s = 0.0
        self.simulator.tell(f"{self.name}: started, disk {self.engine.disk}, floor {self.engine.floor}")
        self.consul.read(self, self._see_first)

    def _see_first(self, at: Any) -> None:
        if at is not None and at.view is not None:
            self.see(at.view)
