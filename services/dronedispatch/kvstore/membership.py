"""The replica's place in the view: it tells where it answers, joins what it lacks, and forgets what it no longer holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine
from functools import partial
from typing import Any

import structlog

from dronedispatch.kv.slots import SLOTS
from dronedispatch.kvstore.committer import Committer
from dronedispatch.kvstore.core.catch_up import forget, settle
from dronedispatch.kvstore.core.hold_down import HoldDown
from dronedispatch.kvstore.core.join import NotYet, join_once
from dronedispatch.kvstore.core.local_effects import Commit, NotCommitted, Probe, Reached
from dronedispatch.kvstore.core.membership import announce, leave
from dronedispatch.kvstore.engine import Engine
from dronedispatch.kvstore.txn import DiskFull, LmdbTxn
from dronedispatch.replication import view as views
from dronedispatch.replication.driver import Driver
from dronedispatch.replication.links import Links
from dronedispatch.replication.view import View
from dronedispatch.replication.view_store import ViewStore
from dronedispatch.runtime.clock import Clock

FORGET_KEYS = 500
HAND_OVER_S = 0.15
HAND_OVER_MAX_S = 1.0
LEAVE_MAX_S = 5.0
"""A Consul that stands still must not hold up a stop until whoever asked for it ends it by force."""

log = structlog.get_logger()


class ReplicaDriver(Driver):
    """A driver whose generators may also commit to the replica's own disk, probe Consul, and ask who reaches it.

    `leaving`: it commits nothing any more. So a join under way ends, which would bring back a replica that has left.
    """

    def __init__(
        self,
        views: ViewStore,
        links: Links,
        clock: Clock,
        committer: Committer,
        reached: Callable[[], Coroutine[Any, Any, bool | None]],
    ) -> None:
        super().__init__(views, links, clock, second_opinion=_nobody)
        self.leaving = False
        self._committer = committer
        self._reached = reached

    def carry_out(self, request: Any) -> Coroutine[Any, Any, Any]:
        """See Driver."""
        if isinstance(request, Commit):
            return self._commit(request)
        if isinstance(request, Probe):
            return self.views.probe()
        if isinstance(request, Reached):
            return self._reached()
        return super().carry_out(request)

    async def _commit(self, request: Commit) -> Any:
        if self.leaving:
            raise NotCommitted("this replica leaves")
        try:
            return await self._committer.run(request.step)
        except DiskFull as error:
            raise NotCommitted(f"the disk is full: {error}") from error


async def _nobody(_node: str) -> bool | None:
    """A replica votes on nobody, so it needs no second opinion."""
    return None


class Membership:
    """Run `once` at every change of the view and now and then; `leave` before the process closes its door."""

    def __init__(
        self, name: str, url: str, engine: Engine, committer: Committer, driver: ReplicaDriver
    ) -> None:
        self.name = name
        self.url = url
        self.wake = asyncio.Event()
        self.last_join = "nothing to join yet"
        self._engine = engine
        self._committer = committer
        self._driver = driver
        self._kept_epoch = self._unkept_epoch = 0
        self._clean_epoch = 0
        self._hold_down = HoldDown()
        self._no_room = False
        self._handed: list[frozenset[int]] = []
        driver.views.on_change(self._changed)

    def _changed(self, _view: View) -> None:
        self.wake.set()

    async def once(self) -> str:
        """One look at the view; says what it came to."""
        view = self._driver.views.cached
        if view is None:
            return "there is no view yet"
        if self._driver.leaving:
            return "leaving"
        replica = view.replicas.get(self.name)
        if replica is None:
            return f"the view of epoch {view.epoch} does not know {self.name}"
        if view.cluster != self._engine.state.cluster and not await self._belongs(view):
            return f"this disk belongs to cluster {self._engine.state.cluster}, the view is of {view.cluster}"
        await self._keep(view)
        if replica.url != self.url:
            told = await self._driver.run(announce(self.name, self.url))
            return told if isinstance(told, str) else f"announced {self.url} in epoch {told.epoch}"
        if view.lacking_slots(self.name, self._engine.disk.disk):
            return await self._join()
        forgotten = await self._forget(view)
        held = len(view.in_sync_slots(self.name, self._engine.disk.disk))
        return f"in sync for {held} slots" + (f", forgot {forgotten} keys" if forgotten else "")

    async def _belongs(self, view: View) -> bool:
        """Whether this disk is a replica of the view's cluster; a new disk becomes one."""
        if self._engine.state.cluster:
            return False
        await self._committer.run(lambda txn: txn.belong_to(view.cluster) if not txn.cluster else None)
        return self._engine.state.cluster == view.cluster

    async def _keep(self, view: View) -> None:
        """Settle the marks of a join that the view shows to be complete, and keep the view for `kvctl recover`."""
        if view.epoch <= self._kept_epoch:
            return
        document = views.encode(view)

        def keep(txn: LmdbTxn) -> None:
            settle(txn, view, self.name)
            txn.set_last_view(document)

        try:
            await self._committer.run(keep)
        except DiskFull as error:  # again at the next look: a mark that is not settled answers nobody
            if self._unkept_epoch != view.epoch:
                log.warning("no room to keep the view", error=str(error), epoch=view.epoch)
            self._unkept_epoch = view.epoch
            return
        self._kept_epoch = view.epoch

    async def _join(self) -> str:
        clock = self._driver.clock
        if (why_no_room := self._engine.why_no_room()) is not None:
            if not self._no_room:
                log.warning("cannot join", reason=why_no_room)
            self._no_room, self.last_join = True, why_no_room
            return f"not joined: {why_no_room}"
        if self._no_room:
            self._no_room = False
            self._hold_down.forgive()
        began_s = clock.monotonic_s()
        self._hold_down.lacks(began_s)
        if (wait_s := self._hold_down.wait_s(began_s)) > 0:
            return f"joins again in {wait_s:.0f} s: {self.last_join}"
        result = await self._driver.run(join_once(self.name))
        now_s = clock.monotonic_s()
        if isinstance(result, str):
            self._hold_down.failed(now_s, cheap=isinstance(result, NotYet))
            self.last_join = str(result)  # of the plain type: a NotYet is a str that no encoder takes
            log.warning(
                "join failed",
                reason=result,
                failures=self._hold_down.failures,
                too_soon=self._hold_down.too_soon,
            )
            return f"not joined: {result}"
        self._hold_down.joined(now_s)
        self.last_join = f"joined {len(result.slots)} slots in {now_s - began_s:.2f} s"
        log.info("joined", slots=len(result.slots), epoch=result.epoch, seconds=round(now_s - began_s, 3))
        self.wake.set()
        return self.last_join

    async def _forget(self, view: View) -> int:
        """Remove, a page at a time, what was kept of slots that have moved to others."""
        forgotten = 0
        if self._clean_epoch == view.epoch:
            return forgotten
        for slot in range(SLOTS):
            placed = view.slots[slot]
            while self.name not in placed.assigned and self.name not in placed.in_sync:
                removed = await self._committer.run(
                    partial(forget, view=view, name=self.name, slot=slot, limit=FORGET_KEYS)
                )
                forgotten += removed
                if removed < FORGET_KEYS:
                    break
        self._clean_epoch = view.epoch
        return forgotten

    def hand_over(self, slots: Collection[int]) -> None:
        """Begin no write in `slots` for at most HAND_OVER_MAX_S: who asks is about to give their lead to another replica.

        What was applied before reaches the other members meanwhile; else its clients might be told "unknown". A replica
        that leaves has given up every shared slot already, and takes none back.
        """
        if self._driver.leaving:
            return
        handed = frozenset(slots)
        self._handed.append(handed)
        self._committer.handing_over |= handed
        asyncio.get_running_loop().call_later(HAND_OVER_MAX_S, self._lead_again, handed)

    def _lead_again(self, handed: frozenset[int]) -> None:
        self._handed.remove(handed)
        if not self._driver.leaving:
            self._committer.handing_over = frozenset[int]().union(*self._handed)

    async def leave(self, linger_s: float) -> str:
        """Before a graceful stop: out of every set that has another member, then a moment for what began before.

        A primary first begins no more writes there (it answers `joining`, so coordinators ask again a moment later) and lets
        those that it has applied reach the others: else their clients would be told "unknown".
        """
        self._driver.leaving = True
        view = self._driver.views.cached
        if view is None:
            return "there is no view"
        shared = (
            number
            for number, slot in enumerate(view.slots)
            if self.name in slot.in_sync and len(slot.in_sync) > 1
        )
        self._committer.handing_over = frozenset(shared)
        await asyncio.sleep(HAND_OVER_S)
        try:
            async with asyncio.timeout(LEAVE_MAX_S):
                result = await self._driver.run(leave(self.name))
        except TimeoutError:
            result = f"Consul has not answered within {LEAVE_MAX_S:g} s"
        if isinstance(result, str):
            return f"could not leave: {result}"
        await asyncio.sleep(linger_s)
        return f"left in epoch {result.epoch}"
