"""What a replica does for itself now and then."""

from __future__ import annotations

from dronedispatch.kvstore.committer import Committer
from dronedispatch.kvstore.engine import Engine
from dronedispatch.kvstore.set_aside import SHORT_S, ended_well
from dronedispatch.kvstore.txn import LmdbTxn
from dronedispatch.runtime.clock import Clock

HINTS_A_ROUND = 500


class Housekeeping:
    """Notes beside the data file how far it has come, and forgets hints that are too old."""

    def __init__(self, engine: Engine, committer: Committer, clock: Clock, hint_age_max_s: float) -> None:
        self._engine = engine
        self._committer = committer
        self._clock = clock
        self._hint_age_max_s = hint_age_max_s
        self._began_s = clock.monotonic_s()
        self._noted: tuple[int, int] | None = None

    async def once(self) -> str:
        """One round; says what it did."""
        if self._clock.monotonic_s() - self._began_s > SHORT_S:
            ended_well(self._engine.disk.path)
        progress = self._engine.disk.progress()
        if progress == self._noted:
            return "nothing new to note"
        self._engine.disk.note()
        self._noted = progress
        return "noted"

    async def expire(self) -> str:
        """Forget hints that are too old, some at a time; says how many."""
        if not self._engine.hint_bytes:
            return "no hints"
        oldest_s = self._clock.wall_s() - self._hint_age_max_s

        def expire(txn: LmdbTxn) -> int:
            old = txn.old_hints(oldest_s, HINTS_A_ROUND)
            for target, key in old:
                txn.drop_hint(target, key)
            return len(old)

        return f"expired {await self._committer.run(expire)} hints"
