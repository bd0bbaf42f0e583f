"""Clients of the simulated store: what they ask for, and how they write down what they were told."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, Literal

import msgspec

from dronedispatch.kv.record import Record
from dronedispatch.kv.slots import slot_of
from dronedispatch.kv.version import Version
from dronedispatch.kvfront.core.pairing import PairResolution, write_pair
from dronedispatch.kvfront.core.reading import read
from dronedispatch.kvfront.core.resolution import Conflict, Done, NotApplied, Resolution, Unknown
from dronedispatch.kvfront.core.scanning import Listing, Query, scan
from dronedispatch.kvfront.core.writing import LockWrite, Write, write
from dronedispatch.replication.calls import MUST_BE_ABSENT, MUST_EXIST
from dronedispatch.replication.rules import Rules
from dronedispatch.testing.linearizability import Observation, Seen
from dronedispatch.testing.simulation.driver import SimulatedDriver
from dronedispatch.testing.simulation.simulator import Simulator

OP_DEADLINE_S = 2.0
CLIENT_PATIENCE_S = 4.0
TAGS = ("colour=red", "colour=blue")

Verb = Literal["acquire", "renew", "release"]


def seen(record: Record | None) -> Seen | None:
    """`record` as a reader saw it; a tombstone is as good as nothing."""
    if record is None or record.tombstone:
        return None
    return Seen(record.write_id.hex(), record.version)


class History:
    """All observations of a run."""

    def __init__(self) -> None:
        self.observations: list[Observation] = []
        self.refusals: list[str] = []
        self.holders: dict[str, str] = {}
        self.pairs: list[tuple[Write, Write]] = []

    def wrote(
        self, key: str, client: str, call_s: float, return_s: float, op: Write | LockWrite, result: Any
    ) -> None:
        """One attempt of a write, a delete or a lock operation; None: its coordinator never answered."""
        if isinstance(result, NotApplied):
            self.refusals.append(result.reason)
            return
        unknown = result is None or isinstance(result, Unknown)
        done = isinstance(result, Done)
        record = result.record if isinstance(result, Done | Conflict) else None
        lock = isinstance(op, LockWrite)
        self.observations.append(
            Observation(
                key=key,
                client=client,
                kind=op.verb if isinstance(op, LockWrite) else "delete" if op.tombstone else "put",
                call_s=call_s,
                return_s=None if unknown else return_s,
                outcome="unknown" if unknown else "done" if done else "conflict",
                ident=op.write_id.hex(),
                expected=None if isinstance(op, LockWrite) else op.expected,
                fence=None if isinstance(op, LockWrite) else op.fence,
                version=record.version if done and record is not None else None,
                seen=None if done else seen(record),
                reason=result.reason if isinstance(result, Conflict) else "",
                owner=op.owner if isinstance(op, LockWrite) else "",
                token=op.token if isinstance(op, LockWrite) else None,
                ttl_s=op.ttl_ms / 1000.0 if lock and isinstance(op, LockWrite) else 0.0,
            )
        )

    def read(self, key: str, client: str, call_s: float, return_s: float, record: Record | None) -> None:
        """A read that was answered."""
        self.observations.append(Observation(key, client, "get", call_s, return_s, "done", seen=seen(record)))

    def in_order(self) -> list[Observation]:
        """The observations, with what a pair promises: a first write whose second has been seen was done by then."""
        met_s: dict[str, float] = {}
        for each in self.observations:
            ident = each.seen.ident if each.seen is not None else each.ident
            if each.return_s is not None and (each.seen is not None or each.outcome == "done"):
                met_s[ident] = min(each.return_s, met_s.get(ident, each.return_s))
        behind = {first.write_id.hex(): met_s.get(second.write_id.hex()) for first, second in self.pairs}
        return [
            msgspec.structs.replace(each, outcome="done", return_s=done_s)
            if each.outcome == "unknown" and (done_s := behind.get(each.ident)) is not None
            else each
            for each in self.observations
        ]


class Client:
    """Asks one thing after the other, of any coordinator; goes on alone when its coordinator never answers."""

    def __init__(
        self,
        simulator: Simulator,
        name: str,
        coordinators: Sequence[SimulatedDriver],
        keys: Sequence[str],
        lock: str,
        history: History,
        rules: Rules,
        *,
        pause_s: float,
        until_s: float,
    ) -> None:
        self.simulator = simulator
        self.name = name
        self.coordinators = coordinators
        self.keys = keys
        self.lock = lock
        self.history = history
        self.rules = rules
        self.pause_s = pause_s
        self.until_s = until_s
        self.known: dict[str, Version | None] = {}
        self.token: Version | None = None
        self.again: Write | None = None
        self._open: list[Callable[[], None]] = []
        simulator.at(simulator.rng.random() * pause_s, self.next)

    def next(self) -> None:
        """Ask for something, unless it is time to stop."""
        if self.simulator.now_s >= self.until_s:
            return
        rng = self.simulator.rng
        if self.again is not None and rng.random() < 0.5:
            op, self.again = self.again, None
            self.simulator.count("retries")
            self.write(op)
            return
        dice = rng.random()
        if dice < 0.30:
            self.get(rng.choice(self.keys))
        elif dice < 0.85 and len(self.keys) > 1 and rng.random() < 0.35:
            first, second = rng.sample(self.keys, 2)
            self.pair(self._some_write(first), self._some_write(second))
        elif dice < 0.85:
            self.write(self._some_write(rng.choice(self.keys)))
        elif dice < 0.96:
            self.write(self._some_lock())
        else:
            self.scan()

    def _some_write(self, key: str) -> Write:
        rng = self.simulator.rng
        write_id = rng.getrandbits(128).to_bytes(16, "big")
        dice, keyed = rng.random(), rng.random() < 0.3
        tags = (rng.choice(TAGS),) if rng.random() < 0.5 else ()
        make = partial(Write, key, slot_of(key), write_id, 0.0, tags=tags, keyed=keyed)
        if dice < 0.40:
            return make()
        if dice < 0.65 and key in self.known:
            return make(self.known[key] or MUST_BE_ABSENT)
        if dice < 0.75:
            return make(MUST_BE_ABSENT)
        if dice < 0.85 and self.token is not None and key == self.keys[0]:
            return make(fence=self.token)
        if dice < 0.90 and self.known.get(key) is not None:
            return make(self.known[key], tombstone=True, tags=(), keyed=False)
        return make(MUST_EXIST if dice < 0.92 else None, tombstone=True, tags=(), keyed=False)

    def _some_lock(self) -> LockWrite:
        rng = self.simulator.rng
        write_id = rng.getrandbits(128).to_bytes(16, "big")
        verb: Verb = "acquire"
        if self.token is not None and rng.random() < 0.7:
            verb = "renew" if rng.random() < 0.5 else "release"
        token = None if verb == "acquire" else self.token
        ttl_ms = rng.randrange(50, 800)
        return LockWrite(self.lock, slot_of(self.lock), write_id, 0.0, verb, self.name, ttl_ms, token)

    # --- asking ---

    def _ask(
        self,
        make: Callable[[SimulatedDriver, float], Generator[Any, Any, Any]],
        told: Callable[[float, Any], None],
    ) -> None:
        """Send to some coordinator; `told(call_s, result)` once: None when no answer ever came."""
        simulator = self.simulator
        coordinator = simulator.rng.choice(self.coordinators)
        if not coordinator.up:
            simulator.at(self._pause_s(), self.next)
            return
        call_s = simulator.now_s
        self._open = open_ = [lambda: told(call_s, None)]

        def answer(result: Any) -> None:
            if open_:
                open_.clear()
                told(call_s, result)
                simulator.at(self._pause_s(), self.next)

        def begin() -> None:
            if coordinator.up:
                deadline_s = coordinator.clock_s() + OP_DEADLINE_S
                coordinator.start(
                    make(coordinator, deadline_s), lambda result: simulator.at(0.0005, answer, result)
                )

        simulator.at(0.0005 * simulator.rng.random(), begin)
        simulator.at(CLIENT_PATIENCE_S, answer, None)

    def close(self) -> None:
        """The run is over: what is still under way has an unknown outcome."""
        for told in self._open:
            told()
        self._open.clear()

    def _pause_s(self) -> float:
        return self.simulator.rng.expovariate(1.0 / self.pause_s)

    def get(self, key: str) -> None:
        """A read."""

        def told(call_s: float, result: Any) -> None:
            if isinstance(result, Done):
                self.history.read(key, self.name, call_s, self.simulator.now_s, result.record)
                self._learn(key, result.record)
            elif isinstance(result, NotApplied):
                self.history.refusals.append(result.reason)

        self._ask(lambda _, deadline_s: read(key, slot_of(key), deadline_s, self.rules), told)

    def write(self, op: Write | LockWrite) -> None:
        """Any write; one that came to nothing certain may be tried again under its own name."""

        def told(call_s: float, result: Resolution | None) -> None:
            self.history.wrote(op.key, self.name, call_s, self.simulator.now_s, op, result)
            if isinstance(result, Done | Conflict):
                self.simulator.count(f"conflict_{result.reason}" if isinstance(result, Conflict) else "done")
                self._learn(op.key, result.record)
            if isinstance(op, LockWrite):
                if isinstance(result, Done):
                    assert result.record is not None
                    self._locked(op, result.record)
            elif op.keyed and (not isinstance(result, Done | Conflict) or self.simulator.rng.random() < 0.2):
                self.again = op

        self._ask(lambda _, deadline_s: write(op, deadline_s, rules=self.rules), told)

    def pair(self, first: Write, second: Write) -> None:
        """Two writes of which the second is begun only when the first is stored."""
        self.history.pairs.append((first, second))

        def told(call_s: float, result: PairResolution | None) -> None:
            for op, resolution in zip((first, second), result or (None, None), strict=True):
                if result is None or resolution is not None:
                    self.history.wrote(op.key, self.name, call_s, self.simulator.now_s, op, resolution)
                if isinstance(resolution, Done | Conflict):
                    self.simulator.count("done" if isinstance(resolution, Done) else "conflict_version")
                    self._learn(op.key, resolution.record)

        self._ask(lambda _, deadline_s: write_pair(first, second, deadline_s, rules=self.rules), told)

    def _locked(self, op: LockWrite, record: Record) -> None:
        holders = self.history.holders
        if op.verb == "acquire":
            self.token = record.version
            if holders.get(op.key, self.name) != self.name:
                self.simulator.count("lease_expired")
            holders[op.key] = self.name
        elif op.verb == "release":
            holders.pop(op.key, None)

    def scan(self) -> None:
        """A page of a list, which counts as a read of each key in its range."""
        rng = self.simulator.rng
        everything = sorted([*self.keys, self.lock])
        after = rng.choice([None, *everything])
        tag = rng.choice([None, None, TAGS[0]])
        query = Query(None, tag, after, rng.randrange(1, 6), reverse=rng.random() < 0.3)

        def told(call_s: float, result: Any) -> None:
            if not isinstance(result, Listing):
                return
            self.simulator.count("scans")
            found = dict(result.items)
            for key in everything:
                if key in found:
                    self.history.read(key, self.name, call_s, self.simulator.now_s, found[key])
                elif tag is None and _in_range(key, query, result.next_after):
                    self.history.read(key, self.name, call_s, self.simulator.now_s, None)

        self._ask(lambda _, deadline_s: scan(query, deadline_s, self.rules), told)

    def _learn(self, key: str, record: Record | None) -> None:
        self.known[key] = record.version if record is not None and not record.tombstone else None


def _in_range(key: str, query: Query, end: str | None) -> bool:
    if query.reverse:
        return (query.after is None or key < query.after) and (end is None or key >= end)
    return (query.after is None or key > query.after) and (end is None or key <= end)
