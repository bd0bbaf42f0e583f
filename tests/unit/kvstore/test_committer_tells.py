"""When a replica's coordinators hear of a commit: in the turn that has synced it, and once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from dronedispatch.kvstore.committer import CommitFailed, Committer
from dronedispatch.runtime.clock import SystemClock
from support.waiting import until
from unit.kvstore.test_committer import Counting, apply


async def test_who_asked_is_told_in_the_turn_that_has_synced_it(tmp_path: Path) -> None:
    engine = Counting(tmp_path / "disk")
    committer = Committer(engine, SystemClock())
    told: list[object] = []
    seen = asyncio.get_running_loop().create_future()
    committer.begin([apply(engine, "k")], told.append)
    asyncio.get_running_loop().call_soon(lambda: seen.set_result(len(told)))  # right behind the commit
    assert await seen == 1
    await committer.close()
    engine.close()


async def test_who_asked_is_told_once_of_a_commit_that_ended_in_an_error(tmp_path: Path) -> None:
    engine = Counting(tmp_path / "disk")
    committer = Committer(engine, SystemClock())
    asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
    told: list[tuple[str, type]] = []

    def mistaken(replies: object) -> None:
        told.append(("mistaken", type(replies)))
        if isinstance(replies, list):
            raise ZeroDivisionError

    committer.begin([apply(engine, "k")], mistaken)
    committer.begin([apply(engine, "l")], lambda replies: told.append(("behind", type(replies))))
    await until(lambda: len(told) >= 2, "both are told")
    assert told == [("mistaken", list), ("behind", CommitFailed)]
    await committer.close()
    engine.close()
