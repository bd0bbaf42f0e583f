"""Acts on a plan: every write is a CAS on the version that was decided on, all writes of a step are one batch.

The order of the steps makes every crash between them curable by looking at both records: an assignment writes the
drone's intent before the delivery, an end writes the delivery before it frees the drone. What is taken from a drone is
recalled first (recalls.py), so that no parcel is fetched twice. A step that failed for one pair
stops that pair alone. What became of a write is learnt from its result, or (outcome unknown) by reading again: such keys
are in `Outcome.reread`.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from dronedispatch.dispatcher.core.etas import Etas
from dronedispatch.dispatcher.core.intents import (
    CannotCarryOut,
    DeliveryIntent,
    DroneIntent,
    assigned,
    moved_delivery,
    moved_drone,
    with_intent,
)
from dronedispatch.dispatcher.core.plan import Assign, Plan
from dronedispatch.dispatcher.core.recall import Recall, letting_go, undoing
from dronedispatch.dispatcher.core.state_cache import StateCache
from dronedispatch.dispatcher.locks import Held
from dronedispatch.dispatcher.recalls import Recalls
from dronedispatch.fleet.deliveries import Delivery, delivery_tags, transition_fields
from dronedispatch.fleet.documents import delivery_key, drone_key, encode, stamp, telemetry_key
from dronedispatch.fleet.drones import Drone, DroneStatus, drone_tags, move_drone
from dronedispatch.fleet.lifecycle import IllegalMove
from dronedispatch.kv.client import Cas, KVClient, OpResult
from dronedispatch.kv.errors import KVError, OutcomeUnknown, VersionConflict
from dronedispatch.kv.version import Version
from dronedispatch.runtime.clock import Clock

log = structlog.get_logger()


class PairLocks(Protocol):
    """dispatcher/locks.py: Locks, or NoLocks."""

    def dispute(self) -> None: ...

    async def take(self, assigns: Sequence[Assign]) -> list[Held]: ...

    def give_back(self) -> None: ...

    async def settled(self) -> None: ...


@dataclass(slots=True)
class Outcome:
    """What was written. `reread`: keys whose state is to be read before the next round decides on them."""

    deliveries: list[Delivery] = field(default_factory=list)
    drones: list[Drone] = field(default_factory=list)
    assigned: int = 0
    rolled_back: int = 0
    lost: int = 0  # writes that met another version, an error or a lock
    disputed: bool = (
        False  # a drone's write was lost: only dispatchers write drones, so another one may be at work
    )
    reread: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        parts = {"assigned": self.assigned, "rolled back": self.rolled_back, "lost": self.lost}
        return ", ".join(f"{word} {count}" for word, count in parts.items() if count)


@dataclass(frozen=True, slots=True)
class _Write:
    """One CAS to be sent: `record` replaces the version `expected`."""

    record: Delivery | Drone
    expected: Version
    fence: Version | None = None

    @property
    def key(self) -> str:
        is_drone = isinstance(self.record, Drone)
        return drone_key(self.record.id) if is_drone else delivery_key(self.record.id)

    def op(self) -> Cas:
        record = self.record
        tags = drone_tags(record) if isinstance(record, Drone) else delivery_tags(record)
        return Cas(self.key, self.expected, encode(record), tags=tags, fence=self.fence)


class CarryOut:
    """Carries plans out on the store, and keeps the cache as the writes went.

    `tell` is called with every record whose write has succeeded, after the fact, and its version.
    """

    def __init__(
        self,
        kv: KVClient,
        cache: StateCache,
        clock: Clock,
        tell: Callable[[Delivery | Drone, Version], None],
    ) -> None:
        self._kv = kv
        self._cache = cache
        self._clock = clock
        self._tell = tell
        self._etas = Etas()
        self._recalls = Recalls(kv)

    async def carry_out(self, plan: Plan, locks: PairLocks, *, assign_until_s: float = math.inf) -> Outcome:
        """Never raises for a write that failed: the next round sees why. Safe to repeat at any point.

        After `assign_until_s` (monotonic) nothing is assigned any more: where drones are, and with what battery, is too
        old by then.
        """
        outcome = Outcome()
        # At once: no drone or delivery has an intent in both, and nobody's assignment waits for others' ends.
        both = self._move(plan, outcome), self._assign_all(plan, locks, outcome, assign_until_s)
        for failed in await asyncio.gather(*both, return_exceptions=True):
            if failed is not None:
                raise failed
        if outcome.disputed:
            locks.dispute()
        return outcome

    # -- the steps -----------------------------------------------------------------------------------------------

    async def _move(self, plan: Plan, outcome: Outcome) -> None:
        """Recalls, then deliveries, then the drones that these set free."""
        kept = await self._kept(self._recalls_of(plan), outcome)
        undos = [undo for undo in plan.undos if (undo.drone_id, undo.delivery_id) not in kept]
        moved = await self._move_deliveries([*plan.advances, *plan.fails, *undos, *plan.finishes], outcome)
        frees = [
            free
            for free in plan.frees
            if (free.after_delivery is None and (free.drone_id, self._held_by(free.drone_id)) not in kept)
            or free.after_delivery in moved
        ]
        charges = [
            charge
            for charge in plan.charges
            if charge.after_delivery is None or charge.after_delivery in moved
        ]
        await self._move_drones([*frees, *charges, *plan.statuses], outcome)

    def _held_by(self, drone_id: str) -> str | None:
        stored = self._cache.drones.get(drone_id)
        return None if stored is None else stored.record.delivery_id

    def _recalls_of(self, plan: Plan) -> list[Recall]:
        """Of all orders that are to be taken away and by which a drone may still fetch something."""
        recalls = [
            undoing(stored.record, undo.drone_id)
            for undo in plan.undos
            if (stored := self._cache.deliveries.get(undo.delivery_id)) is not None
        ]
        recalls += [
            letting_go(drone.record)
            for free in plan.frees
            if free.after_delivery is None
            and (drone := self._cache.drones.get(free.drone_id)) is not None
            and drone.record.delivery_id is not None
        ]
        return recalls

    async def _kept(self, recalls: Sequence[Recall], outcome: Outcome) -> set[tuple[str, str]]:
        """The pairs that stay as they are: the next round reads what has become of them."""
        granted = await self._recalls.granted(recalls)
        kept = {recall.pair for recall in recalls} - granted
        for drone_id, delivery_id in kept:
            outcome.lost += 1
            outcome.reread |= {delivery_key(delivery_id), drone_key(drone_id), telemetry_key(drone_id)}
        return kept

    async def _assign_all(self, plan: Plan, locks: PairLocks, outcome: Outcome, until_s: float) -> None:
        """The assignments, under their locks."""
        if not plan.assigns:
            return
        try:
            await self._assign(await locks.take(plan.assigns), len(plan.assigns), outcome, until_s)
        finally:
            locks.give_back()

    async def _move_deliveries(self, intents: Sequence[DeliveryIntent], outcome: Outcome) -> set[str]:
        writes: list[_Write] = []
        for intent in intents:
            stored = self._cache.deliveries.get(intent.delivery_id)
            if stored is None or stored.version != intent.version:
                outcome.lost += 1
                continue
            try:
                after = moved_delivery(stored.record, intent, city=self._cache.city, at=self._at())
            except IllegalMove as exc:
                self._refuse(delivery_key(intent.delivery_id), exc, outcome)
                continue
            writes.append(_Write(after, intent.version))
        return {record.id for record in await self._write(writes, outcome)}

    async def _move_drones(self, intents: Sequence[DroneIntent], outcome: Outcome) -> None:
        writes: list[_Write] = []
        for intent in intents:
            stored = self._cache.drones.get(intent.drone_id)
            if stored is None or stored.version != intent.version:
                outcome.lost += 1
                continue
            try:
                after = moved_drone(stored.record, intent, city=self._cache.city, at=self._at())
            except (IllegalMove, CannotCarryOut) as exc:
                self._refuse(drone_key(intent.drone_id), exc, outcome)
                continue
            writes.append(_Write(after, intent.version))
        await self._write(writes, outcome)

    async def _assign(self, held: Sequence[Held], wanted: int, outcome: Outcome, until_s: float) -> None:
        """Intent on the drone, then the delivery, each for all pairs at once; what certainly failed is taken back."""
        outcome.lost += wanted - len(held)
        outcome.disputed = outcome.disputed or len(held) < wanted
        if self._clock.monotonic_s() > until_s:
            outcome.lost += len(held)
            return
        intents: dict[str, tuple[_Write, Held]] = {}
        for pair in held:
            write = self._intent(pair, outcome)
            if write is not None:
                intents[pair.assign.drone_id] = write, pair
        taken = await self._write([write for write, _ in intents.values()], outcome)
        finish: list[_Write] = []
        for drone in taken if self._clock.monotonic_s() <= until_s else ():
            assert isinstance(drone, Drone)
            write = self._finish(drone, intents[drone.id][1], outcome)
            if write is not None:
                finish.append(write)
        done = {record.id for record in await self._write(finish, outcome)}
        outcome.assigned += len(done)
        failed = [
            drone
            for drone in taken
            if isinstance(drone, Drone)
            and drone.delivery_id not in done
            and delivery_key(drone.delivery_id or "") not in outcome.reread  # it may be assigned
        ]
        kept = await self._kept([letting_go(drone) for drone in failed], outcome)
        back = [
            write
            for drone in failed
            if (drone.id, drone.delivery_id) not in kept
            if (write := self._take_back(drone, intents[drone.id][1])) is not None
        ]
        outcome.rolled_back += len(await self._write(back, outcome))

    def _intent(self, pair: Held, outcome: Outcome) -> _Write | None:
        assign = pair.assign
        drone = self._cache.drones.get(assign.drone_id)
        delivery = self._cache.deliveries.get(assign.delivery_id)
        if (
            drone is None
            or delivery is None
            or (drone.version, delivery.version) != (assign.drone_version, assign.delivery_version)
        ):
            outcome.lost += 1
            return None
        try:
            after = with_intent(drone.record, delivery.record, assign, at=self._at())
        except IllegalMove as exc:
            self._refuse(drone_key(assign.drone_id), exc, outcome)
            return None
        return _Write(after, assign.drone_version, pair.drone_token)

    def _finish(self, drone: Drone, pair: Held, outcome: Outcome) -> _Write | None:
        assign = pair.assign
        delivery = self._cache.deliveries.get(assign.delivery_id)
        if delivery is None:  # an event of its end came in between
            return None
        try:
            eta = self._etas.of(assign, self._clock.wall_s())
            after = assigned(delivery.record, assign, drone.orders.seq, eta, at=self._at())
        except IllegalMove as exc:
            self._refuse(delivery_key(assign.delivery_id), exc, outcome)
            return None
        return _Write(after, assign.delivery_version, pair.delivery_token)

    def _take_back(self, drone: Drone, pair: Held) -> _Write | None:
        """The drone idle again, unless somebody else has written it meanwhile."""
        stored = self._cache.drones.get(drone.id)
        if stored is None or stored.record is not drone:
            return None
        after = move_drone(
            drone, DroneStatus.IDLE, at=self._at(), cause="the assignment was taken back", stops=()
        )
        return _Write(after, stored.version, pair.drone_token)

    # -- writing -------------------------------------------------------------------------------------------------

    def _at(self) -> str:
        return stamp(self._clock.wall_s())

    def _refuse(self, key: str, exc: Exception, outcome: Outcome) -> None:
        log.warning("an intent does not fit the record", key=key, reason=str(exc))
        outcome.lost += 1
        outcome.reread.add(key)

    async def _write(self, writes: Sequence[_Write], outcome: Outcome) -> list[Delivery | Drone]:
        """One batch; returns the records that were written. Cache, outcome and listeners know the rest."""
        results = await self._kv.batch([write.op() for write in writes])
        written: list[Delivery | Drone] = []
        for write, result in zip(writes, results, strict=True):
            if self._learn(write, result, outcome):
                written.append(write.record)
        return written

    def _learn(self, write: _Write, result: OpResult, outcome: Outcome) -> bool:
        if isinstance(result, Version):
            if isinstance(write.record, Drone):
                self._cache.put_drone(write.record, result)
                outcome.drones.append(write.record)
                self._tell(write.record, result)
            else:
                before = self._cache.deliveries.get(write.record.id)
                if before is not None and before.record.status is not write.record.status:
                    log.info("transition", **transition_fields(before.record, write.record))
                self._cache.put_delivery(write.record, result)
                outcome.deliveries.append(write.record)
                self._etas.look(write.record)
                self._tell(write.record, result)
            return True
        outcome.lost += 1
        outcome.disputed = outcome.disputed or isinstance(write.record, Drone)
        self._fail(write.key, result, outcome)
        return False

    def _fail(self, key: str, result: OpResult, outcome: Outcome) -> None:
        if isinstance(result, VersionConflict):
            if result.current is None:
                self._cache.forget(key)
                return
            self._cache.take(result.current, self._clock.monotonic_s())
            return
        if isinstance(result, OutcomeUnknown):
            outcome.reread.add(key)
        if isinstance(result, KVError):
            log.info("a write failed", key=key, error=str(result))
